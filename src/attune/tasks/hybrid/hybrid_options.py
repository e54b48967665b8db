"""How texts are made from data by several sources, as a recipe says it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, field_validator

from attune.core.recipe import Options
from attune.tasks.hybrid.templates import given


class HybridOptions(Options):
    """What stands beside the network, and how."""

    templates: tuple[str, ...] = ()
    """Templates of your own, with `{slot}` where a value is to stand: `{name} serves {food} food.`"""
    learn: bool = True
    """Whether templates are learned from the training rows too: from every text without slot error."""
    phrases: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)
    """By slot and value phrases that say it, besides the value itself and what is learned; of a slot of yes and no
    those of `yes`."""
    order: int = Field(4, ge=2, le=6)
    """Words of the longest n-gram."""
    draws: int = Field(20, ge=0, le=1000)
    """Texts drawn from n-grams for each row; 0: none."""
    seed: int = Field(0, ge=0)
    """Seed of draws. A row's draws depend on its slots and `seed` alone."""

    @field_validator("templates")
    @classmethod
    def with_places(cls, texts: Sequence[str]) -> Sequence[str]:
        """Refuses a template without a place, or with the same twice."""
        given(texts)
        return texts
