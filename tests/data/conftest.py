"""Helpers for the tests of the data room."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from attune.core.form import Form
from attune.core.recipe import DataOptions
from attune.data.ingest import Ingested, ingest
from attune.data.splits import Splits, split

SINGLE = Form()

Write = Callable[..., str]


@pytest.fixture
def jsonl(tmp_path: Path) -> Write:
    """Writes rows as JSON lines below the test's folder and returns the name."""

    def write(rows: Sequence[dict[str, Any] | str], name: str = "rows.jsonl") -> str:
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return name

    return write


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Ingested]:
    """Ingests a source below the test's folder."""

    def run(name: str, *, form: Form = SINGLE, labelled: bool = True, keep_empty: bool = False, **options: Any):
        return ingest(
            name,
            tmp_path,
            DataOptions(**options),
            form=form,
            labelled=labelled,
            into=tmp_path / "out" / "table.arrow",
            keep_empty=keep_empty,
        )

    return run


@pytest.fixture
def cut(tmp_path: Path) -> Callable[..., Splits]:
    """Splits a source below the test's folder."""

    def run(name: str, into: str = "run", *, form: Form = SINGLE, keep_empty: bool = False, **options: Any):
        return split(
            DataOptions(train=name, **options),
            tmp_path,
            tmp_path / into,
            form=form,
            keep_empty=keep_empty,
        )

    return run
