"""Every source format and encoding gives the same rows."""

import csv
import gzip
import io
import json
import sqlite3
from pathlib import Path

import pandas
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import zstandard

from attune.data import sources
from attune.data.batches import values
from attune.errors import DataError, MachineError

ROWS = [("I lost my card", "card"), ("退款什么时候到账，谢谢", "refund"), ('a "quoted", two\nline cell', "card")]
NAMES = ("text", "label")


def scanned(location: str, root: Path, **options: object) -> list[tuple[str, str]]:
    problems: list = []
    rows: list[tuple[str, str]] = []
    for batch in sources.scan(location, root, problems=problems, **options):
        assert batch.schema.field("__line__").type == pa.int64()
        rows += zip(values(batch, "text"), values(batch, "label"), strict=True)
    assert problems == []
    return rows


def delimited(separator: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows([NAMES, *ROWS])
    return out.getvalue()


def lines() -> str:
    return "".join(json.dumps(dict(zip(NAMES, row, strict=True)), ensure_ascii=False) + "\n" for row in ROWS)


def array() -> str:
    return json.dumps([dict(zip(NAMES, row, strict=True)) for row in ROWS], ensure_ascii=False, indent=1)


TEXTS = {
    "a.csv": delimited(","),
    "b.csv": delimited(";"),
    "a.tsv": delimited("\t"),
    "a.jsonl": lines(),
    "a.ndjson": lines(),
    "a.json": array(),
    "wrapped.json": json.dumps({"version": 1, "data": json.loads(array())}),
    "lines.json": lines(),
}


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", TEXTS)
def test_text_formats_plain_and_packed(tmp_path: Path, name: str, packing: str) -> None:
    content = TEXTS[name].encode()
    packed = {"": content, ".gz": gzip.compress(content), ".zst": zstandard.compress(content)}[packing]
    (tmp_path / f"{name}{packing}").write_bytes(packed)
    assert scanned(f"{name}{packing}", tmp_path) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_encodings_are_detected(tmp_path: Path, name: str, encoding: str) -> None:
    bom = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    (tmp_path / name).write_bytes(bom + TEXTS[name].encode(encoding))
    assert scanned(name, tmp_path) == ROWS


def test_an_encoding_that_shows_only_after_a_long_ascii_head_is_detected(tmp_path: Path) -> None:
    head = '{"text": "plain words, nothing else", "label": "a"}\n' * 40_000
    (tmp_path / "a.jsonl").write_bytes((head + lines()).encode("gb18030"))
    assert scanned("a.jsonl", tmp_path)[-3:] == ROWS


def test_a_single_byte_encoding_is_guessed_on_evidence_or_named(tmp_path: Path) -> None:
    words = [
        "Où est ma carte bancaire, s'il vous plaît ?",
        "Le virement n'est pas encore arrivé",
        "déjà payé, merci à vous",
    ]
    text = "text,label\n" + "".join(f'"{word}",a\n' for word in words * 5)
    (tmp_path / "a.csv").write_bytes(text.encode("cp1252"))
    assert scanned("a.csv", tmp_path)[0][0] == words[0]
    assert scanned("a.csv", tmp_path, encoding="cp1252")[1][0] == words[1]


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TEXTS["a.csv"])
    with pytest.raises(DataError, match="unknown encoding 'utf-ate'"):
        scanned("a.csv", tmp_path, encoding="utf-ate")


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.arrow", "stream.arrow", "a.xlsx"])
def test_binary_formats(tmp_path: Path, name: str) -> None:
    frame = pandas.DataFrame(ROWS, columns=list(NAMES))
    table = pa.Table.from_pandas(frame)
    if name.endswith("parquet"):
        pyarrow.parquet.write_table(table, tmp_path / name)
    elif name.endswith("feather"):
        pyarrow.feather.write_feather(table, str(tmp_path / name), compression="zstd")
    elif name.endswith("xlsx"):
        frame.to_excel(tmp_path / name, index=False)
    else:
        new = pa.ipc.new_stream if name == "stream.arrow" else pa.ipc.new_file
        with new(str(tmp_path / name), table.schema) as writer:
            writer.write_table(table)
    assert scanned(name, tmp_path) == ROWS


def test_a_folder_of_text_files_by_class(tmp_path: Path) -> None:
    for label, name, text in [
        ("card", "1.txt", "lost"),
        ("card", "2.txt", "found\nagain"),
        ("refund", "1.txt", "退款"),
    ]:
        (tmp_path / "mail" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "mail" / label / name).write_bytes(text.encode("gb18030"))
    assert scanned("mail", tmp_path) == [("lost", "card"), ("found\nagain", "card"), ("退款", "refund")]
    batch = next(iter(sources.scan("mail", tmp_path, problems=[])))
    assert values(batch, "__file__")[1] == "mail/card/2.txt"


def test_datasets_folders_with_class_names(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    one = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, -1]}, features=features)
    one.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(str(tmp_path / "two"))
    expected = [("a", "no"), ("b", "yes"), ("c", None)]
    assert scanned("one", tmp_path) == expected
    assert scanned("two#test", tmp_path) == expected
    with pytest.raises(DataError, match=r"several splits[\s\S]*two#train"):
        scanned("two", tmp_path)
    with pytest.raises(DataError, match="did you mean 'test'"):
        scanned("two#tset", tmp_path)


def test_a_query(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "desk.db") as connection:
        connection.execute("create table mail (text text, label text)")
        connection.executemany("insert into mail values (?, ?)", ROWS)
    connection.close()
    query = "select text, label from mail order by rowid"
    assert scanned("sqlite:///desk.db", tmp_path, query=query) == ROWS
    first = sources.fingerprint("sqlite:///desk.db", tmp_path, query)
    assert first != sources.fingerprint("sqlite:///desk.db", tmp_path, query + " limit 2")


@pytest.mark.parametrize(
    ("location", "query", "said"),
    [
        ("sqlite:///none.db", "select 1", "no such file"),
        ("sqlite:///there.db", "", "without a query"),
        ("sqlite:///there.db", "select text from nowhere", "refused: no such table"),
        ("oracle9://u:secret@host/x", "select 1", "unknown kind of database"),
    ],
)
def test_databases_that_cannot_be_read(tmp_path: Path, location: str, query: str, said: str) -> None:
    (tmp_path / "there.db").touch()
    with pytest.raises((DataError, MachineError), match=said) as caught:
        scanned(location, tmp_path, query=query)
    assert "secret" not in str(caught.value)


def test_limit_stops_early(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines() * 3000)
    assert len(scanned("a.jsonl", tmp_path, limit=5000)) == 5000


def test_batches_are_bounded_by_characters(tmp_path: Path) -> None:
    row = json.dumps({"text": "x" * 1_000_000, "label": "a"})
    (tmp_path / "a.jsonl").write_text(f"{row}\n" * 12)
    sizes = [batch.num_rows for batch in sources.scan("a.jsonl", tmp_path, problems=[])]
    assert max(sizes) <= 5
    assert sum(sizes) == 12


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.parquet", b"PAR1 not really", "cannot be read"),
        ("a.arrow", b"ARROW1 not really", "cannot be read"),
        ("a.xlsx", b"no zip", "cannot be read"),
        ("a.csv.gz", b"no gzip", "cannot be read"),
        ("a.jsonl.zst", b"no zstd", "cannot be read"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b'"text"', "text at the top"),
        ("a.xls", b"x", "old Excel"),
        ("a.docx", b"x", "unknown format"),
        ("a.csv", b"\n\n", "no header row"),
        ("a.csv", b"a,a\n1,2\n", "there twice"),
        ("a.csv", b"", "an empty file"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        scanned(name, tmp_path)
    assert caught.value.where.startswith(name)


def test_a_truncated_gzip_is_damage_not_an_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines().encode() * 1000)[:-200])
    with pytest.raises(DataError, match="cannot be read"):
        scanned("a.jsonl.gz", tmp_path)


def test_fingerprints_follow_content_and_names(tmp_path: Path) -> None:
    (tmp_path / "a" / "x").mkdir(parents=True)
    (tmp_path / "a" / "x" / "1.txt").write_text("one")
    first = sources.fingerprint("a", tmp_path)
    (tmp_path / "a" / "x" / "1.txt").rename(tmp_path / "a" / "x" / "2.txt")
    renamed = sources.fingerprint("a", tmp_path)
    (tmp_path / "a" / "x" / "2.txt").write_text("two")
    assert len({first, renamed, sources.fingerprint("a", tmp_path)}) == 3
    file = sources.fingerprint("a/x/2.txt", tmp_path)
    assert file == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"


def test_many_bad_rows_in_a_row_are_handed_on_before_a_good_one(tmp_path) -> None:
    (tmp_path / "a.jsonl").write_text("nope\n" * 5000 + '{"text": "x", "label": "a"}\n')
    problems: list = []
    seen = [(batch.num_rows, len(problems)) for batch in sources.scan("a.jsonl", tmp_path, problems=problems)]
    assert seen == [(0, 4096), (1, 5000)]
