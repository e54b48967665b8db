"""`attune predict`: from texts, standard input and files, to lines and files, the same answers everywhere."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from support.bundles import made_up, write_rows

ROWS = made_up(30, seed=7)
TEXTS = [row["text"] for row in ROWS]


@pytest.fixture
def expected(workshop):
    """The answers by the Python API."""
    return [found.as_dict() for found in workshop.bundle().predict(TEXTS)]


@pytest.fixture
def path(workshop):
    """The bundle's folder."""
    return workshop.bundle().path


def same(found, expected) -> None:
    """Checks answers; probabilities may differ by the batch's shape in the last digit."""
    assert [row["answer"] for row in found] == [row["answer"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["confidence"] == pytest.approx(other["confidence"], abs=2e-6)


def test_texts(run, path, expected):
    same(run("predict", path, *TEXTS, "--json").lines, expected)
    plain = run("predict", path, *TEXTS[:2])
    assert plain.code == 0
    assert plain.out.startswith(expected[0]["answer"])
    assert "else:" in plain.out


def test_standard_input(run, path, expected):
    as_text = "\r\n".join(TEXTS).encode()
    as_json = b"\n".join(json.dumps({"text": text}).encode() for text in TEXTS)
    same(run("predict", path, stdin=as_text).lines, expected)
    same(run("predict", path, stdin=b"\xef\xbb\xbf" + as_json).lines, expected)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_files(run, path, expected, tmp_path, kind):
    here = tmp_path / "here"
    write_rows(here / "in.jsonl", ROWS)
    outcome = run("predict", path, "--file", "in.jsonl", "--out", f"deep/out.{kind}")
    assert (outcome.code, outcome.out) == (0, "")
    target = here / "deep" / f"out.{kind}"
    if kind == "jsonl":
        rows = [json.loads(line) for line in target.read_text().splitlines()]
    elif kind == "parquet":
        rows = pq.read_table(target).to_pylist()
    else:
        with target.open(newline="") as stream:
            rows = [
                {**row, "confidence": float(row["confidence"]), "line": int(row["line"])}
                for row in csv.DictReader(stream)
            ]
        assert json.loads(rows[0]["alternatives"])[0]["label"] == rows[0]["answer"]
    same(rows, expected)
    assert [row["text"] for row in rows] == TEXTS
    assert [row["line"] for row in rows] == list(range(1, 31))


def test_another_column_and_a_folder_elsewhere(run, path, expected, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_rows(elsewhere / "in.jsonl", [{"utterance": text} for text in TEXTS])
    same(run("predict", path, "--file", elsewhere / "in.jsonl", "--column", "utterance").lines, expected)
    wrong = run("predict", path, "--file", elsewhere / "in.jsonl", "--column", "uterance")
    assert (wrong.code, "did you mean 'utterance'" in wrong.err) == (2, True)


def test_multi_label_files(run, workshop, tmp_path):
    bundle = workshop.bundle(multi_label=True)
    write_rows(tmp_path / "here" / "in.jsonl", ROWS)
    wanted = [found.as_dict()["answer"] for found in bundle.predict(TEXTS)]
    assert run("predict", bundle.path, "--file", "in.jsonl", "--out", "out.parquet").code == 0
    assert pq.read_table(tmp_path / "here" / "out.parquet").column("answer").to_pylist() == wanted
    assert run("predict", bundle.path, "--file", "in.jsonl", "--out", "out.csv").code == 0
    with (tmp_path / "here" / "out.csv").open(newline="") as stream:
        assert [row["answer"] for row in csv.DictReader(stream)] == ["|".join(one) for one in wanted]
    assert run("predict", bundle.path, *TEXTS).code == 0


BAD = [b'{"text": "my parcel"}', b'{"text": null}', b"{broken", b'{"text": ""}', b'{"text": "refund"}', b'{"text": 3}']


def test_bad_rows_are_listed_and_the_others_answered(run, path, tmp_path):
    (tmp_path / "here" / "in.jsonl").write_bytes(b"\n".join(BAD))
    outcome = run("predict", path, "--file", "in.jsonl", "--out", "out.jsonl")
    assert outcome.code == 1
    for line in (2, 3, 4, 6):
        assert f"in.jsonl:{line}" in outcome.err
    assert "2 rows answered, 4 bad rows left out" in outcome.err
    rows = [json.loads(line) for line in (tmp_path / "here" / "out.jsonl").read_text().splitlines()]
    assert [row["line"] for row in rows] == [1, 5]


def test_strict_writes_nothing(run, path, tmp_path):
    (tmp_path / "here" / "in.jsonl").write_bytes(b"\n".join(BAD))
    outcome = run("predict", path, "--file", "in.jsonl", "--out", "out.jsonl", "--strict")
    assert outcome.code == 2
    assert "in.jsonl:3" in outcome.err
    assert [item.name for item in (tmp_path / "here").iterdir()] == ["in.jsonl"]
    printed = run("predict", path, "--file", "in.jsonl", "--strict")
    assert (printed.code, printed.out) == (2, "")


def test_bad_lines_of_standard_input(run, path):
    outcome = run("predict", path, stdin=b"my parcel\n\xff\xfe\n\n{broken\na\0b\nrefund\n[1]\n")
    assert outcome.code == 1
    assert [row["line"] for row in outcome.lines] == [1, 6, 7]
    for line in (2, 4, 5):
        assert f"standard input:{line}" in outcome.err
    assert run("predict", path, "--strict", stdin=b"fine\n\xff\n").out == ""


def test_bad_texts(run, path):
    outcome = run("predict", path, "fine", " ", "--json")
    assert (outcome.code, len(outcome.lines)) == (1, 1)
    assert "text:2" in outcome.err or "text 2" in outcome.err


def test_nothing_to_answer(run, path, tmp_path):
    assert run("predict", path, stdin=b"").code == 0
    (tmp_path / "here" / "in.jsonl").write_text("\n")
    for kind in ("jsonl", "csv", "parquet"):
        run("predict", path, "--file", "in.jsonl", "--out", f"out.{kind}")


def test_an_ending_that_cannot_be_written(run, path, tmp_path):
    write_rows(tmp_path / "here" / "in.jsonl", ROWS)
    outcome = run("predict", path, "--file", "in.jsonl", "--out", "out.xlsx")
    assert (outcome.code, ".parquet" in outcome.err) == (2, True)


def test_a_very_long_row_is_answered_with_a_notice(run, path):
    outcome = run("predict", path, stdin=b"refund " * 28_572)
    assert outcome.code == 0
    assert outcome.lines[0]["notices"]


def test_the_input_is_not_written_over_by_a_failure(run, path, tmp_path):
    target = tmp_path / "here" / "out.jsonl"
    target.write_text("old\n")
    assert run("predict", path, "--strict", "--out", "out.jsonl", stdin=b"\xff\n").code == 2
    assert target.read_text() == "old\n"
