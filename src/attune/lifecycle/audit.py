"""The audit of a recipe's rows, with what the rooms below hand to it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune.core.recipe import Recipe
from attune.core.records import Input
from attune.data.audit import Audit, audit
from attune.data.splits import Splits, split
from attune.lifecycle.judge import embedder
from attune.model.assemble import BACKBONES, check

LONGEST_COUNTED = 20_000


@dataclass(frozen=True)
class Audited:
    """What was found, and the rows it was found in."""

    audit: Audit
    splits: Splits


@contextlib.contextmanager
def audited(recipe: Recipe, root: Path, *, sample: int = 20_000) -> Generator[Audited]:
    """Audits the rows a recipe names.

    Args:
        recipe: Which rows, and which backbone would read them.
        root: The data root.
        sample: Rows for the checks that cannot look at all of them.

    Yields:
        The audit and the split rows, which are there until the context ends.
    """
    files = check(recipe, root)
    task: Any = recipe.task
    family: Any = recipe.backbone
    with tempfile.TemporaryDirectory(prefix="attune-audit-") as scratch:
        splits = split(recipe.data, root, Path(scratch), multi_label=task.multi_label, keep_empty=True)
        reader = BACKBONES.get(family.family)(files, family)

        def token_counts(texts: list[str]) -> list[int]:
            encoding = reader.encode([Input(text[:LONGEST_COUNTED]) for text in texts], max_length=LONGEST_COUNTED)
            return [len(row) for row in encoding.ids]

        found = audit(
            splits, recipe.data, embed=embedder(files), token_counts=token_counts,
            max_length=reader.max_length, sample=sample, seed=recipe.data.seed,
        )  # fmt: skip
        yield Audited(found, splits)
