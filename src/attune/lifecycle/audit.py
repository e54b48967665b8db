"""The audit of a recipe's rows, with what the rooms below hand to it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from attune.core.form import Form
from attune.core.recipe import Recipe
from attune.core.texts import each, row_of
from attune.data.audit import Audit, audit
from attune.data.splits import Splits, split
from attune.lifecycle.backbone import ready, texts_read
from attune.lifecycle.candidates import usable
from attune.lifecycle.judge import embedder, pair_embedder
from attune.model.assemble import BACKBONES, task_of

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
    recipe, files = usable(recipe, root)
    family: Any = recipe.backbone
    with tempfile.TemporaryDirectory(prefix="attune-audit-") as scratch:
        asked: Any = task_of(recipe)
        form: Form = asked.form
        splits = split(recipe.data, root, Path(scratch), form=asked.form, keep_empty=True)
        made = ready(recipe, files, root, Path(scratch) / "backbone", partial(texts_read, asked, splits.train))
        files = made.checkpoint
        reader = BACKBONES.get(family.family)(files, family)

        def token_counts(texts: list[str]) -> list[int]:
            rows = [row_of(each(lambda text: text[:LONGEST_COUNTED], joined), form.texts) for joined in texts]
            inputs = [asked.inputs(row) for row in rows]
            flat = [item for row in inputs for item in row]
            lengths = iter(len(row) for row in reader.encode(flat, max_length=2 * LONGEST_COUNTED).ids)
            return [max(next(lengths) for _ in row) for row in inputs]

        embed = embedder(files, family.family)
        embed = embed if len(form.texts) == 1 else pair_embedder(embed)
        counted = None if form.also or not asked.cuts else token_counts
        found = audit(
            splits, recipe.data, embed=embed, token_counts=counted,
            max_length=reader.max_length, sample=sample, seed=recipe.data.seed,
        )  # fmt: skip
        yield Audited(found, splits)
