"""Cuts are disjoint, seeded, stable under new rows, recorded and honest."""

import json
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attune.core.form import Form
from attune.core.recipe import DataOptions
from attune.data.external import normalised
from attune.data.splits import Splits, digest_of, split
from attune.errors import DataError

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
TEXTS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), min_size=12, max_size=60)


def made(rows: list[dict], into: str = "run", root: Path | None = None, **options) -> Splits:
    """Cuts rows given as dictionaries; with no root, in a folder that stays for the test."""
    root = root or Path(tempfile.mkdtemp(prefix="attune-splits-"))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "rows.jsonl").write_text(lines, encoding="utf-8")
    accepted = {"acknowledge": ("rare_classes",), **options}
    return split(DataOptions(train="rows.jsonl", **accepted), root, root / into, form=Form())


def table_of(done: Splits) -> dict[str, str]:
    rows = pq.read_table(done.assignments).to_pylist()
    return {row["id"]: row["split"] for row in rows}


def plain(count: int, start: int = 0) -> list[dict]:
    return [{"id": str(i), "text": f"text number {i}", "label": "ab"[i % 2]} for i in range(start, start + count)]


def texts(done: Splits) -> dict[str, set[str]]:
    return {name: {normalised(text) for text in table.texts()} for name, table in done.tables().items()}


def crossing(parts: dict[str, set[str]]) -> set[str]:
    names = list(parts)
    pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
    return {value for a, b in pairs for value in parts[a] & parts[b]}


@QUICK
@given(TEXTS, st.integers(0, 5))
def test_every_row_is_on_one_side_and_equal_texts_together(tmp_path, drawn, seed) -> None:
    rows = [
        {"text": f"Text {number}" if place % 2 else f" text  {number} ", "label": label}
        for place, (number, label) in enumerate(drawn)
    ]
    if len({row["label"] for row in rows}) < 2:
        return
    done = made(rows, root=tmp_path, seed=seed)
    lines = sorted(row["line"] for table in done.tables().values() for row in table.rows())
    assert lines == list(range(1, len(rows) + 1))
    assert len(table_of(done)) == len(rows)
    assert not crossing(texts(done))


@QUICK
@given(st.lists(st.integers(0, 12), min_size=30, max_size=80), st.integers(0, 3))
def test_no_group_is_in_two_splits(tmp_path, drawn, seed) -> None:
    if len(set(drawn)) < 6:
        return
    rows = [{"text": f"t{i}", "label": "ab"[i % 2], "who": f"g{group}"} for i, group in enumerate(drawn)]
    done = made(rows, root=tmp_path, split="grouped", group="who", seed=seed)
    groups = {name: set(table.column("group")) for name, table in done.tables().items()}
    assert not crossing(groups)
    assert set(groups) == {"train", "validation", "test"}


def test_shares_are_kept_within_every_class(tmp_path) -> None:
    rows = [{"text": f"t{i}", "label": "abbbb"[i % 5]} for i in range(500)]
    done = made(rows, root=tmp_path, test_share=0.2, validation_share=0.1)
    for label, count in (("a", 100), ("b", 400)):
        sizes = {name: table.labels().count(label) for name, table in done.tables().items()}
        assert sizes == {"train": count * 0.72, "validation": count * 0.08, "test": count * 0.2}


def test_a_seed_gives_one_cut_and_another_seed_another(tmp_path) -> None:
    rows = plain(200)
    first, again = (made(rows, into, tmp_path, id="id", seed=1) for into in ("one", "two"))
    assert first.digest == again.digest == digest_of(again.assignments)
    assert (tmp_path / "one/splits.parquet").read_bytes() == (tmp_path / "two/splits.parquet").read_bytes()
    assert made(rows, "three", tmp_path, id="id", seed=2).digest != first.digest


def test_new_rows_move_few_others(tmp_path) -> None:
    before = table_of(made(plain(1000), "one", tmp_path, id="id"))
    after = table_of(made(plain(1050), "two", tmp_path, id="id"))
    moved = sum(before[row] != after[row] for row in before)
    assert moved <= 25
    assert len(after) == 1050


def test_the_order_of_rows_changes_no_assignment(tmp_path) -> None:
    before = table_of(made(plain(300), "one", tmp_path, id="id"))
    assert table_of(made(plain(300)[::-1], "two", tmp_path, id="id")) == before


@pytest.mark.parametrize("rule", ["stratified", "grouped", "time"])
def test_an_earlier_cut_holds_and_only_new_rows_are_assigned(tmp_path, rule) -> None:
    def rows(count: int) -> list[dict]:
        return [{**row, "who": f"g{i % 40}", "when": i} for i, row in enumerate(plain(count))]

    options = {"id": "id", "split": rule, "group": "who", "time": "when"}
    before = table_of(made(rows(200), "one", tmp_path, seed=1, **options))
    done = made(rows(260), "two", tmp_path, seed=2, splits="one/splits.parquet", **options)
    after = table_of(done)
    assert {row: after[row] for row in before} == before
    assert len(after) == 260
    assert "200 of 260 rows keep their split of one/splits.parquet" in done.notices


def test_an_earlier_cut_that_is_none_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="no such file"):
        made(plain(50), root=tmp_path, splits="none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="not an earlier run's splits"):
        made(plain(50), root=tmp_path, splits="bad.parquet")
    assert not (tmp_path / "run").exists()


def test_the_newest_rows_are_the_test_rows(tmp_path) -> None:
    rows = [{**row, "when": f"2026-01-{1 + (i * 7) % 28:02}T{i % 24:02}:00:00"} for i, row in enumerate(plain(100))]
    done = made(rows, root=tmp_path, split="time", time="when", test_share=0.2, validation_share=0.1)
    times = {name: table.column("time") for name, table in done.tables().items()}
    assert max(times["train"]) < min(times["validation"]) <= max(times["validation"]) < min(times["test"])
    assert 15 <= len(times["test"]) <= 20


def test_times_that_cannot_be_read_are_listed(tmp_path) -> None:
    rows = [{**row, "when": "yesterday" if i in {3, 5} else i} for i, row in enumerate(plain(50))]
    with pytest.raises(DataError, match="2 rows without a time") as caught:
        made(rows, root=tmp_path, split="time", time="when")
    assert [problem.where for problem in caught.value.problems] == ["rows.jsonl:4", "rows.jsonl:6"]
    with pytest.raises(DataError, match="one moment"):
        made([{**row, "when": 1} for row in plain(50)], root=tmp_path, split="time", time="when")


def test_a_text_that_a_group_cut_would_leak_is_left_out(tmp_path) -> None:
    rows = [{**row, "who": f"g{i % 20}"} for i, row in enumerate(plain(100))]
    rows += [{"id": f"x{i}", "text": "everybody says this", "label": "a", "who": f"g{i}"} for i in range(20)]
    done = made(rows, root=tmp_path, id="id", split="grouped", group="who")
    assert not crossing(texts(done))
    left = [row for row, side in table_of(done).items() if side == "left_out"]
    assert left and set(left) <= {f"x{i}" for i in range(20)}
    assert f"{len(left)} rows are left out" in " ".join(done.notices)


def test_too_few_groups_are_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="groups cannot be cut"):
        made([{**row, "who": "one"} for row in plain(50)], root=tmp_path, split="grouped", group="who")


@pytest.mark.parametrize("rule", ["grouped", "time"])
def test_a_rule_without_its_column_is_refused(tmp_path, rule) -> None:
    with pytest.raises(DataError, match="no column is named for it"):
        made(plain(50), root=tmp_path, split=rule)


def test_given_files_are_taken_whole(tmp_path, jsonl) -> None:
    jsonl([{**row, "id": f"t{row['id']}"} for row in plain(30, 1000)], "test.jsonl")
    done = made(plain(100), root=tmp_path, id="id", test="test.jsonl", validation_share=0)
    assert {name: len(table) for name, table in done.tables().items()} == {"train": 100, "test": 30}
    assert set(done.fingerprints) == {"train", "test"}


def test_one_class_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match=r"one class only \('a'\)"):
        made([{"text": f"t{i}", "label": "a"} for i in range(20)], root=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_class_with_one_row_is_refused_unless_accepted(tmp_path) -> None:
    rows = [*plain(40), {"id": "x", "text": "alone", "label": "lonely"}]
    with pytest.raises(DataError, match="1 class has one row: 'lonely'") as caught:
        made(rows, root=tmp_path, acknowledge=())
    assert 'data.acknowledge = ["rare_classes"]' in caught.value.remedy
    assert not (tmp_path / "run").exists()
    assert "lonely" in made(rows, root=tmp_path).train.labels()


def test_classes_that_only_the_test_file_has_are_a_notice(tmp_path, jsonl) -> None:
    jsonl([{"text": "x", "label": "new"}], "test.jsonl")
    done = made(plain(40), root=tmp_path, test="test.jsonl")
    assert done.notices == ["test: 1 classes that train does not have: 'new'"]


def test_other_data_than_the_recipe_was_resolved_with_is_refused(tmp_path) -> None:
    marks = made(plain(40), root=tmp_path).fingerprints
    made(plain(40), root=tmp_path, fingerprints=marks)
    with pytest.raises(DataError, match="other content than the recipe was resolved with"):
        made(plain(41), root=tmp_path, fingerprints=marks)


def test_labels_of_several_kinds_are_cut_by_the_rarest(tmp_path, jsonl) -> None:
    rows = [{"text": f"t{i}", "label": ["common", "rare"] if i % 10 == 0 else ["common"]} for i in range(200)]
    name = jsonl(rows)
    done = split(DataOptions(train=name), tmp_path, tmp_path / "run", form=Form(several=True))
    for table in done.tables().values():
        assert any("rare" in labels for labels in table.labels())
