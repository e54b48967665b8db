"""Plain text files: a text a line, documents between empty lines; and tables without labels."""

import gzip

import pytest

from attune.core.form import Form
from attune.core.recipe import DataOptions
from attune.data import sources
from attune.data.audit import audit
from attune.data.batches import values
from attune.data.cleaned import fix
from attune.data.splits import split
from attune.errors import DataError

TEXT = "\n  \nOne line .\r\n = Two = \n\n\n中文一行\nlast, without an end"
FORM = Form(labelled=False)


def lines(count: int) -> str:
    """Documents of four lines."""
    return "".join(f"line {number} of a long text\n" + "\n" * (number % 4 == 3) for number in range(count))


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_lines_are_rows_and_empty_ones_part_documents(tmp_path, name):
    raw = TEXT.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    (batch,) = sources.scan(name, tmp_path, problems=[])
    assert values(batch, "text") == ["One line .", " = Two = ", "中文一行", "last, without an end"]
    assert values(batch, "document") == ["1", "1", "2", "2"]
    assert values(batch, "__line__") == [3, 4, 7, 8]


def test_lines_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"good\nb\x00d\n\xff\xfe\xfdworse \xff\ngood again\n" + b"plain\n" * 20)
    problems = []
    rows = [text for batch in sources.scan("a.txt", tmp_path, problems=problems) for text in values(batch, "text")]
    assert rows[:2] == ["good", "good again"]
    assert [(problem.where, problem.found) for problem in problems] == [
        ("a.txt:2", "NUL bytes"), ("a.txt:3", "bytes that do not decode"),
    ]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), [("", "an empty file"), (" \n\n\t\n", "no rows")])
def test_a_file_without_texts_is_refused(tmp_path, content, said):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DataError, match=said):
        split(DataOptions(train="a.txt"), tmp_path, tmp_path / "into", form=FORM)


def test_texts_without_labels_are_split_and_the_same_again(tmp_path):
    (tmp_path / "a.txt").write_text(lines(200))
    first, again = (split(DataOptions(train="a.txt"), tmp_path, tmp_path / name, form=FORM) for name in ("one", "two"))
    assert {name: len(table) for name, table in first.tables().items()} == {"train": 144, "validation": 16, "test": 40}
    assert first.digest == again.digest
    assert first.train.golds(3, 5) == [None, None] and len(first.train.golds()) == 144
    assert not first.train.labelled


def test_documents_stay_whole_where_they_are_the_group(tmp_path):
    (tmp_path / "a.txt").write_text(lines(200))
    options = DataOptions(train="a.txt", group="document", split="grouped")
    found = split(options, tmp_path, tmp_path / "into", form=FORM)
    sides = [set(table.column("group")) for table in found.tables().values()]
    assert len(sides) == 3 and sum(map(len, sides)) == 50 == len(set.union(*sides))


def test_the_audit_finds_what_needs_no_labels(tmp_path):
    (tmp_path / "train.txt").write_text(lines(60) + "twice\ntwice\nleaked into the test file\n")
    (tmp_path / "test.txt").write_text("leaked into the test file\nsomething else\n")
    options = DataOptions(train="train.txt", test="test.txt", validation_share=0.0)
    splits = split(options, tmp_path, tmp_path / "into", form=FORM)
    found = audit(splits, options, embed=None, token_counts=None, max_length=0)
    assert {"leakage", "duplicates"} <= {one.kind for one in found.findings}
    assert [one.kind for one in found.stops()] == ["leakage"]
    assert found.tables["classes"] == {}
    assert found.sampled["label_errors"] == "not run: rows have no labels"
    assert not {"contradictory_labels", "rare_classes", "label_typos"} & {one.kind for one in found.findings}
    changes = fix(found, splits, tmp_path / "clean")
    assert changes[-1]["counts"] == {"leakage": 1, "duplicates": 1}
    assert '"label"' not in (tmp_path / "clean" / "train.jsonl").read_text()
