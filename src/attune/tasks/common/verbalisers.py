"""Words that stand for labels (verbalisers): the recipe's, or the labels' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attune.errors import RecipeError
from attune.tasks.common.names import readable

REMEDY = "name others in [task.verbalisers]"


def words_of(told: Mapping[str, str | Sequence[str]], names: Sequence[str]) -> list[list[str]]:
    """The words of each label: the recipe's, or its name as a person would say it."""
    found = [told.get(name, readable(name)) for name in names]
    return [[words] if isinstance(words, str) else list(words) for words in found]


def pieces_of(tokenizer: Any, word: str, spaced: bool) -> list[int]:
    """The tokens of a word as it stands in a pattern: behind a space, or behind anything else."""
    return list(tokenizer(" " + word if spaced else word, add_special_tokens=False)["input_ids"])


def single(tokenizer: Any, words: Sequence[str], spaced: bool) -> str:
    """Why words cannot stand at one mask; empty where each is one token that the vocabulary holds.

    Args:
        tokenizer: The backbone's.
        words: Verbalisers.
        spaced: Whether a space stands before the mask.

    Returns:
        A clause with their pieces.
    """
    odd: list[str] = []
    for word in words:
        pieces = pieces_of(tokenizer, word, spaced)
        if len(pieces) != 1 or pieces[0] == tokenizer.unk_token_id:
            told = " ".join(tokenizer.convert_ids_to_tokens(pieces))
            odd.append(f"{word!r} is {told!r}")
    if not odd:
        return ""
    return f"{len(odd)} word(s) are not one token of its vocabulary, and one mask holds one: {', '.join(odd[:10])}"


def refuse_equal(ids: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
    """Stops where two labels have the same words, so that nothing could tell them apart.

    Args:
        ids: Of each label what stands for it, as tokens.
        names: The labels.

    Raises:
        RecipeError: Two have.
    """
    seen: dict[tuple[Any, ...], str] = {}
    for own, name in zip(ids, names, strict=True):
        key = tuple(sorted(own))
        if key in seen:
            raise RecipeError(
                f"labels {seen[key]!r} and {name!r} are the same tokens",
                where="task.verbalisers",
                expected="other words for every label",
                remedy=REMEDY,
            )
        seen[key] = name
