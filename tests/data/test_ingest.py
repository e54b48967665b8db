"""What ingest refuses, what it notes, and that it leaves nothing behind."""

import errno
import json
from pathlib import Path

import pandas
import pyarrow as pa
import pytest

from attune.core.files import disk
from attune.core.form import Form
from attune.data.table import Table
from attune.errors import DataError, MachineError

GOOD = [{"text": "hello", "label": "a"}, {"text": "bye", "label": "b"}]


def left_over(tmp_path: Path) -> list[str]:
    return [path.name for path in tmp_path.rglob("*") if path.suffix not in {".jsonl", ".csv", ".parquet", ".json"}]


def refused(read, *arguments, **options) -> DataError:
    with pytest.raises(DataError) as caught:
        read(*arguments, **options)
    assert caught.value.found and caught.value.where
    return caught.value


def test_a_missing_file(read, tmp_path) -> None:
    assert "no such file" in refused(read, "none.jsonl").found
    assert left_over(tmp_path) == []


def test_an_empty_file(read, tmp_path) -> None:
    (tmp_path / "a.jsonl").touch()
    assert refused(read, "a.jsonl").found == "an empty file"


@pytest.mark.parametrize(("name", "content"), [("a.csv", "text,label\n"), ("a.jsonl", "\n\n"), ("a.json", "[]")])
def test_no_rows(read, tmp_path, name, content) -> None:
    (tmp_path / name).write_text(content)
    assert refused(read, name).found == "no rows"
    assert left_over(tmp_path) == []


def test_an_unknown_column_names_the_nearest_and_all(read, jsonl) -> None:
    error = refused(read, jsonl(GOOD), text="texts")
    assert "unknown column 'texts'" in error.found
    assert error.remedy == "did you mean 'text'? Known: label, text"


def test_five_per_cent_malformed_lines_are_collected(read, jsonl, tmp_path) -> None:
    rows = [json.dumps({"text": f"row {i}", "label": "ab"[i % 2]}) for i in range(200)]
    for line in range(7, 200, 20):
        rows[line] = rows[line][:-1]
    error = refused(read, jsonl(rows))
    assert [problem.where for problem in error.problems] == [f"rows.jsonl:{i + 1}" for i in range(7, 200, 20)]
    assert "10 bad rows, 190 good ones" in str(error)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a\\u0000b", "label": "a"}', "NUL"),
        ('{"text": "a\x00b", "label": "a"}', "NUL"),
        ('["text", "label"]', "a list where an object"),
        ("17", "a number where an object"),
        ('{"text": "\\ud800", "label": "a"}', "surrogate"),
        ('{"text": null, "label": "a"}', "no text"),
        ('{"label": "a"}', "no text"),
        ('{"text": " \\n", "label": "a"}', "an empty text"),
        ('{"text": 5, "label": "a"}', "a number where text"),
        ('{"text": "x", "label": null}', "no label"),
        ('{"text": "x"}', "no label"),
        ('{"text": "x", "label": ""}', "no label"),
        ('{"text": "x", "label": 1.5}', "fractional number (1.5)"),
        ('{"text": "x", "label": 2.0}', "fractional number (2.0)"),
        ('{"text": "x", "label": NaN}', "no label"),
        ('{"text": "x", "label": ["a"]}', "multi_label = true"),
        ('{"text": "x", "label": {"a": 1}}', "an object where a label"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_one_bad_row_is_named_by_its_line(read, jsonl, line, said) -> None:
    error = refused(read, jsonl([*GOOD, line, *GOOD]))
    assert [problem.where for problem in error.problems] == ["rows.jsonl:3"]
    assert said in error.problems[0].found


def test_bad_csv_rows_are_named_by_the_line_on_which_they_start(read, tmp_path) -> None:
    content = b'text,label\n"two\nlines",a\nx,y,z\n\nonly\nNUL \x00,b\n\xff\xfe bytes,a\nfine,b\n'
    (tmp_path / "a.csv").write_bytes(content)
    error = refused(read, "a.csv")
    assert [(problem.where, problem.found) for problem in error.problems] == [
        ("a.csv:4", "3 cells where the header has 2"),
        ("a.csv:6", "1 cells where the header has 2"),
        ("a.csv:7", "NUL bytes"),
        ("a.csv:8", "bytes that do not decode"),
    ]


def test_invalid_utf8_is_collected_with_the_remedy(read, tmp_path) -> None:
    rows = [json.dumps({"text": f"naïve {i}", "label": "ab"[i % 2]}, ensure_ascii=False).encode() for i in range(20)]
    rows[4] = rows[4].replace("ï".encode(), b"\xef")
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(rows))
    error = refused(read, "a.jsonl")
    assert [str(problem) for problem in error.problems] == ["a.jsonl:5: bytes that do not decode"]
    assert "data.encoding" in error.remedy


def test_a_guessed_encoding_is_a_notice(read, tmp_path) -> None:
    words = ["Où est ma carte, s'il vous plaît ?", "pas encore arrivé", "déjà payé, merci à vous"]
    text = "text,label\n" + "".join(f'"{word}",{label}\n' for word in words * 5 for label in "ab")
    (tmp_path / "a.csv").write_bytes(text.encode("cp1252"))
    done = read("a.csv")
    assert done.table.texts(0, 1) == words[:1]
    assert "read as cp1252, which is a guess" in done.notices[0]
    assert read("a.csv", encoding="cp1252").notices == []


def test_a_very_long_row_is_a_notice(read, jsonl) -> None:
    done = read(jsonl([*GOOD, {"text": "x" * 200_000, "label": "a"}]))
    assert done.notices == ["rows.jsonl: 1 rows have more than 100,000 characters: rows.jsonl:3 (200,000 characters)"]
    assert len(done.table.texts(2, 3)[0]) == 200_000


@pytest.mark.parametrize("flat", [False, True])
def test_whole_number_labels_are_text_with_one_notice(read, jsonl, tmp_path, flat) -> None:
    if flat:
        (tmp_path / "a.csv").write_text("text,label\nx,1\ny,2\n")
    done = read("a.csv" if flat else jsonl([{"text": "x", "label": 1}, {"text": "y", "label": 2}]))
    assert done.table.labels() == ["1", "2"]
    assert len(done.notices) == 1
    assert "2 labels are whole numbers" in done.notices[0]


def test_labels_of_a_flat_file_that_are_fractions_are_refused_but_not_among_words(read, tmp_path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,1\ny,2.0\nz,0.5\n")
    assert [problem.where for problem in refused(read, "a.csv").problems] == ["a.csv:3", "a.csv:4"]
    (tmp_path / "b.csv").write_text("text,label\nx,3.11\ny,3.12\nz,python\n")
    assert read("b.csv").table.labels() == ["3.11", "3.12", "python"]


def test_a_float_column_of_whole_numbers_is_refused(read, tmp_path) -> None:
    pandas.DataFrame({"text": ["x", "y"], "label": [1.0, None]}).to_parquet(tmp_path / "a.parquet")
    assert [p.found.split(" (")[0] for p in refused(read, "a.parquet").problems] == [
        "a label that is a fractional number",
        "no label",
    ]


def test_labels_are_not_even_stripped(read, jsonl) -> None:
    assert read(jsonl([{"text": "x", "label": "Refund "}, {"text": "y", "label": "refund"}])).table.labels() == [
        "Refund ",
        "refund",
    ]


def test_mixed_label_types_name_only_the_bad_rows(read, jsonl) -> None:
    rows = [{"text": "x", "label": label} for label in ("a", 1, True, 1.5, "b")]
    assert [problem.where for problem in refused(read, jsonl(rows)).problems] == ["rows.jsonl:4"]
    done = read(jsonl(rows[:3]))
    assert done.table.labels() == ["a", "1", "true"]
    assert len(done.notices) == 2


def test_several_labels_as_lists_or_joined(read, jsonl, tmp_path) -> None:
    rows = [{"text": "x", "label": ["a", "b", "a"]}, {"text": "y", "label": []}, {"text": "z", "label": "b|c"}]
    assert read(jsonl(rows), form=Form(several=True)).table.labels() == [["a", "b"], [], ["b", "c"]]
    (tmp_path / "a.csv").write_text("text,label\nx,a;b\ny,\n")
    assert read("a.csv", form=Form(several=True), label_separator=";").table.labels() == [["a", "b"], []]
    bad = [{"text": "x", "label": None}, {"text": "y", "label": ["a", None]}, {"text": "z", "label": "a||b"}]
    assert len(refused(read, jsonl(bad), form=Form(several=True)).problems) == 3


def test_repeated_ids_are_problems(read, jsonl) -> None:
    rows = [{"text": f"t{i}", "label": "a", "id": i % 5} for i in range(7)]
    error = refused(read, jsonl(rows), id="id")
    assert sorted((p.where, p.found) for p in error.problems) == [
        ("rows.jsonl:6", "id '0' is already on rows.jsonl:1"),
        ("rows.jsonl:7", "id '1' is already on rows.jsonl:2"),
    ]


def test_missing_and_fractional_ids_are_problems(read, jsonl) -> None:
    rows = [{"text": "t", "label": "a", "id": key} for key in ("x", None, "", 1.5)]
    assert [p.where[-1] for p in refused(read, jsonl(rows), id="id").problems] == ["2", "3", "4"]


def test_ids_from_content_are_stable_and_unique(read, jsonl) -> None:
    rows = [{"text": "same", "label": "a"}] * 3 + [{"text": "same", "label": "b"}, {"text": "other", "label": "a"}]
    ids = read(jsonl(rows)).table.ids()
    assert len(set(ids)) == 5
    again = read(jsonl([{"text": "new", "label": "a"}, *rows])).table.ids()
    assert again[1:] == ids


def test_a_mistyped_id_column_shows_no_rows_lost(read, jsonl) -> None:
    assert "unknown column 'ID'" in refused(read, jsonl([{**row, "id": "1"} for row in GOOD]), id="ID").found


def test_unlabelled_rows_need_no_label_column(read, jsonl) -> None:
    done = read(jsonl([{"text": "x"}]), labelled=False)
    assert not done.table.labelled
    assert "label" not in done.table.columns


def test_rows_without_text_are_kept_for_an_audit(read, jsonl) -> None:
    rows = [*GOOD, {"text": "", "label": "a"}, {"text": None, "label": "a"}]
    assert read(jsonl(rows), keep_empty=True).table.texts() == ["hello", "bye", "", ""]


def test_reading_stops_at_ten_thousand_problems(read, jsonl) -> None:
    error = refused(read, jsonl(["nope"] * 30_000 + [json.dumps(GOOD[0])]))
    assert 10_000 <= len(error.problems) <= 10_000 + 4096
    assert "reading stopped there" in error.found


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_clear_message_and_leaves_nothing(read, jsonl, tmp_path, monkeypatch, code) -> None:
    name = jsonl(GOOD)

    def full(*_: object, **__: object) -> None:
        raise OSError(code, "No space left on device")

    monkeypatch.setattr(pa.ipc.RecordBatchFileWriter, "write_batch", full)
    with pytest.raises(MachineError, match="the disk is full"):
        read(name)
    assert left_over(tmp_path) == []


def test_a_full_device_is_told_apart(tmp_path) -> None:
    with pytest.raises(MachineError, match="the disk is full"), disk(tmp_path), Path("/dev/full").open("w") as out:
        out.write("x" * 100_000)


def test_a_table_gives_rows_by_range_and_by_number(read, jsonl) -> None:
    done = read(jsonl([{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(10_000)]))
    table = Table(done.table.path)
    assert len(table) == 10_000
    assert table.texts(4090, 4100) == [f"t{i}" for i in range(4090, 4100)]
    assert [row["text"] for row in table.select([9999, 0, 4096])] == ["t9999", "t0", "t4096"]
    assert [len(batch["id"]) for batch in table.batches(3000)] == [3000, 1096, 3000, 1096, 1808]
    assert table.rows(5, 6)[0]["line"] == 6
    with pytest.raises(IndexError):
        table.select([10_000])
