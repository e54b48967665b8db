"""Every bad input: one clear message, exit status 2, no traceback, nothing partial left."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file

from attune.apps.cli.main import main
from attune.core.files import canonical, read_json
from attune.core.recipe import prune
from attune.model import bundle as bundles
from support.bundles import Outcome, Row, Workshop, document, made_up, write_recipe, write_rows

ROWS = made_up(60)


def refused(outcome: Outcome, *said: str, remedy: bool = True) -> str:
    """Checks that a command refused as it should.

    Args:
        outcome: What it did.
        *said: What the message must hold.
        remedy: Whether it must say what to do.

    Returns:
        The message.
    """
    assert outcome.code == 2, outcome
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, outcome.err
    assert "Traceback" not in outcome.err
    for text in said:
        assert text in outcome.err
    if remedy:
        assert "what to do: " in outcome.err
    return outcome.err


def nothing_left(folder: Path, *but: str) -> None:
    """Checks that a folder holds nothing, or nothing but some names."""
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert left == set(but)


@pytest.fixture
def train(run, workshop: Workshop, tmp_path: Path):
    """Trains on a file's content and says what came of it; the run's folder is `here/out`."""

    def go(content: bytes | list[Row], name: str = "bad.jsonl", **tables):
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        if not (root / "tiny").exists():
            shutil.copytree(workshop.root / "tiny", root / "tiny")
        if isinstance(content, list):
            write_rows(root / name, content)
        else:
            (root / name).write_bytes(content)
        data = {"train": name, **tables.pop("data", {})}
        write_recipe(root / "recipe.toml", data=data, **tables)
        outcome = run("train", root / "recipe.toml", "--out", "out", "--json")
        if outcome.code:
            nothing_left(tmp_path / "here")
            assert {path.name for path in root.iterdir()} == {"tiny", name, "recipe.toml"}
        return outcome

    return go


def changed(at: int, **values) -> list[Row]:
    """Good rows, but one."""
    return [{**row, **values} if index == at else row for index, row in enumerate(ROWS)]


def lines(rows: list[Row]) -> list[bytes]:
    return [json.dumps(row).encode() for row in rows]


def test_good_rows_train(train):
    assert train(ROWS).code == 0


def test_a_missing_file(run, workshop, tmp_path):
    recipe = write_recipe(workshop.root / "missing.toml", data={"train": "nowhere.csv"})
    for command in (("train", recipe, "--out", "out"), ("train", recipe, "--plan"), ("audit", recipe)):
        refused(run(*command), "nowhere.csv", "no such file")
    refused(run("init", "nowhere.csv"), "no such file")
    refused(run("audit", "nowhere.csv"), "nowhere.csv")
    refused(run("train", "nowhere.toml"), "no such recipe", "nowhere.toml")
    refused(run("evaluate", workshop.bundle().path, "--data", "nowhere.csv"), "no such file")
    refused(run("predict", workshop.bundle().path, "--file", "nowhere.csv", "--out", "a.csv"), "no such file")
    nothing_left(tmp_path / "here")


@pytest.mark.parametrize(
    "name", ["bad.jsonl", "bad.csv", "bad.json", "bad.parquet", "bad.tsv", "bad.xlsx", "bad.arrow"]
)
def test_an_empty_file(train, name):
    refused(train(b"", name), "empty file", name)


@pytest.mark.parametrize(
    ("name", "content"), [("bad.csv", b"text,label\n"), ("bad.jsonl", b"\n\n"), ("bad.json", b"[]")]
)
def test_no_rows(train, name, content):
    refused(train(content, name), "no rows", name)


def test_one_class(train):
    refused(train([{**row, "label": "same"} for row in ROWS]), "one class only", "same", "at least two classes")


def test_a_class_with_one_row(train):
    refused(train(changed(0, label="rare")), "rare", "rare_classes")


def test_an_unknown_column(train):
    refused(train(ROWS, data={"label": "lable"}), "unknown column 'lable'", "did you mean 'label'")
    refused(train(ROWS, data={"text": "txt"}), "unknown column 'txt'", "did you mean 'text'")


def test_malformed_lines_are_all_named(train):
    content = lines(made_up(300))
    bad = range(3, 300, 20)
    for index in bad:
        content[index] = content[index][:-5]
    told = refused(train(b"\n".join(content)), "15 bad rows")
    assert all(f"bad.jsonl:{index + 1}:" in told for index in bad)


def test_nul_bytes(train):
    content = lines(ROWS)
    content[4] = content[4].replace(b"a", b"\0", 1)
    refused(train(b"\n".join(content)), "bad.jsonl:5", "NUL")
    refused(train(changed(6, text="a\0b")), "bad.jsonl:7", "NUL")


def test_invalid_utf8(train):
    content = lines(ROWS)
    content[30] = b'{"text": "\xff\xfe\x80\x81", "label": "refund"}'
    refused(train(b"\n".join(content), data={"encoding": "utf-8"}), "bad.jsonl:31", "decode")


def test_a_very_long_row_is_a_notice(train):
    outcome = train(changed(5, text="refund " * 28_572))
    assert outcome.code == 0
    assert any("more than 100,000 characters" in notice for notice in outcome.json["evaluation"]["notices"])


def test_whole_numbers_are_a_notice(train):
    numbers = {"account": 1, "delivery": 2, "refund": 3}
    outcome = train([{**row, "label": numbers[row["label"]]} for row in ROWS])
    assert outcome.code == 0
    assert any("whole numbers" in notice for notice in outcome.json["evaluation"]["notices"])
    assert outcome.json["evaluation"]["labels"] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("label", "said"),
    [(1.5, "fractional"), (None, "no label"), ("", "no label"), ([], "a list of labels"), ({}, "an object")],
)
def test_labels_that_are_none(train, label, said):
    refused(train(changed(7, label=label)), "bad.jsonl:8, field 'label'", said)


def test_fractions_in_a_flat_file(train):
    content = "text,label\n" + "".join(f"{row['text']},{index % 3 + 0.5}\n" for index, row in enumerate(ROWS))
    refused(train(content.encode(), "bad.csv"), "bad.csv:2", "fractional")


@pytest.mark.parametrize("text", [None, "", "  ", 3, ["a"]])
def test_texts_that_are_none(train, text):
    refused(train(changed(9, text=text)), "bad.jsonl:10, field 'text'")


def test_repeated_ids(train):
    rows = [{**row, "id": index} for index, row in enumerate(ROWS)]
    assert train(rows, data={"id": "id"}).code == 0


def test_repeated_ids_are_refused(train):
    rows = [{**row, "id": max(index, 2)} for index, row in enumerate(ROWS)]
    refused(train(rows, data={"id": "id"}), "bad.jsonl:2", "bad.jsonl:3", "already on bad.jsonl:1")


@pytest.mark.parametrize(
    "name", ["bad.parquet", "bad.arrow", "bad.xlsx", "bad.csv.gz", "bad.jsonl.zst", "bad.json", "bad.jsonl"]
)
def test_a_file_that_is_not_what_it_says(train, name):
    refused(train(b"\x01\x02 nonsense \x03" * 100, name), name)


def test_an_unknown_format(train):
    refused(train(b"hello", "bad.docx"), "unknown format", remedy=False)


def text_of(**tables) -> str:
    import tomlkit

    return tomlkit.dumps(prune(document(**tables)))


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"training": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"method": {"name": "lorra"}}, "did you mean 'lora'"),
        ({"task": {"name": "clasification"}}, "did you mean 'classification'"),
        ({"task": {"head": "linaer"}}, "did you mean 'linear'"),
        ({"training": {"metric": "acuracy"}}, "did you mean 'accuracy'"),
        ({"method": {"name": "frozen", "trainable_layers": 3}}, "use at most 2"),
        ({"method": {"name": "lora", "rank": 33}}, "at most 32"),
    ],
)
def test_a_recipe_that_cannot_be_used(run, workshop, tmp_path, tables, said):
    path = tmp_path / "bad.toml"
    path.write_text(text_of(**tables))
    refused(run("train", path, "--out", "out", "--data-root", workshop.root), said)
    nothing_left(tmp_path / "here")


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "some/where/else", "nobody/nothing-at-all"])
def test_an_unknown_backbone(run, workshop, tmp_path, name):
    outcome = run("train", workshop.root / "recipe.toml", "--out", "out", "--set", f"backbone.name={name}")
    refused(outcome, name.removeprefix("./"), "all-MiniLM-L6-v2")
    nothing_left(tmp_path / "here")


@pytest.mark.parametrize(
    "harm", ["no weights", "pickled", "no config", "broken config", "cut weights", "other weights", "no tokenizer"]
)
def test_a_backbone_that_is_not_whole(run, workshop, tmp_path, harm):
    folder = tmp_path / "harmed"
    shutil.copytree(workshop.root / "tiny", folder)
    weights = folder / "model.safetensors"
    if harm in ("no weights", "pickled"):
        weights.unlink()
    if harm == "pickled":
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    if harm == "no config":
        (folder / "config.json").unlink()
    if harm == "broken config":
        (folder / "config.json").write_text("{")
    if harm == "cut weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    if harm == "no tokenizer":
        for path in folder.glob("tokenizer*"):
            path.unlink()
    overrides = ["--set", f"backbone.name={folder}"]
    if harm == "other weights":
        overrides += ["--set", f"backbone.sha256={'0' * 64}"]
    outcome = run("train", workshop.root / "recipe.toml", "--out", "out", *overrides)
    told = refused(outcome, "harmed")
    assert ("unpickles nothing" in told) == (harm == "pickled")
    nothing_left(tmp_path / "here")


def test_a_file_changed_since_the_recipe_was_resolved(train):
    refused(train(ROWS, data={"fingerprints": {"train": "0" * 64}}), "bad.jsonl", "0000")


def test_a_folder_that_is_taken(run, workshop, tmp_path):
    (tmp_path / "here" / "out").mkdir()
    (tmp_path / "here" / "out" / "mine.txt").write_text("keep")
    refused(run("train", workshop.root / "recipe.toml", "--out", "out"), "is not empty", "--out")
    refused(run("train", "--resume", "out"), "no run there")
    refused(run("train", "--resume", "nowhere"), "no run there")
    refused(run("train"), "recipe or --resume")
    nothing_left(tmp_path / "here", "out", "out/mine.txt")


def test_a_full_disk_while_packing(run, workshop, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(bundles, "save_file", full)
        refused(run("train", workshop.root / "recipe.toml", "--out", "out"), "the disk is full", "free")
    left = [path.name for path in (tmp_path / "here").rglob("*")]
    assert "bundle" not in left
    assert not [name for name in left if name.endswith(".partial")]
    resumed = run("train", "--resume", "out", "--json")
    assert resumed.code == 0
    assert resumed.json["digest"] == workshop.bundle().digest


@pytest.mark.parametrize("place", ["events.jsonl", "train.ids"])
def test_a_full_disk_before_the_first_step(run, workshop, tmp_path, monkeypatch, place):
    opened = Path.open

    def full(path, *args, **options):
        if path.name.startswith(place) and args and args[0] != "r":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    outcome = run("train", workshop.root / "recipe.toml", "--out", "out")
    if outcome.code:
        refused(outcome, "the disk is full")
        nothing_left(tmp_path / "here")


def test_full_disks_of_other_commands(run, workshop, tmp_path, monkeypatch):
    bundle = workshop.bundle().path
    (tmp_path / "rows.jsonl").write_text('{"text": "my parcel"}\n')
    replace = Path.replace

    def full(path, target):
        if path.name.endswith(".partial"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    refused(run("predict", bundle, "--file", tmp_path / "rows.jsonl", "--out", "a.csv"), "the disk is full")
    refused(run("evaluate", bundle, "--data", workshop.root / "fresh.jsonl", "--report", "a.html"), "the disk is full")
    refused(run("init", workshop.root / "rows.jsonl", "--out", "a.toml"), "the disk is full")
    refused(run("audit", workshop.root / "recipe.toml", "--html", "a.html"), "the disk is full")
    nothing_left(tmp_path / "here")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_standard_output(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["attune", "show", "schema"])
    with open("/dev/full", "w") as full, pytest.raises(SystemExit) as done:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", full)
        main()
    assert done.value.code == 2
    assert "the disk is full" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_one_may_not_write_to(run, workshop, tmp_path):
    (tmp_path / "here").chmod(0o500)
    refused(run("train", workshop.root / "recipe.toml", "--out", "out"), "not allowed")


def flip(folder: Path) -> None:
    path = folder / "heads" / "classification.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def leave(folder: Path) -> None:
    manifest = read_json(folder / "manifest.json")
    manifest["files"]["../outside.json"] = "0" * 64
    (folder / "manifest.json").write_text(canonical(manifest))


def pickled(folder: Path) -> None:
    (folder / "moved" / "weights.pkl").write_bytes(b"\x80\x04N.")


def newer(folder: Path) -> None:
    manifest = read_json(folder / "manifest.json")
    (folder / "manifest.json").write_text(canonical({**manifest, "format": 3}))


def headless(folder: Path) -> None:
    save_file({}, folder / "heads" / "classification.safetensors")


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


HARMS = {
    flip: "has SHA-256",
    leave: "outside of the bundle",
    pickled: "unpickles nothing",
    newer: "bundle format 3",
    headless: "has SHA-256",
    gone: "",
}


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_harmed_bundle(run, workshop, tmp_path, harm):
    folder = workshop.copy(tmp_path / "bundle")
    harm(folder)
    commands = [
        ("predict", folder, "hello"),
        ("show", folder),
        ("evaluate", folder, "--data", workshop.root / "fresh.jsonl"),
        ("export", folder, "--format", "transformers", "--out", "out"),
        ("serve", folder),
    ]
    for command in commands:
        refused(run(*command), HARMS[harm], str(folder))
    nothing_left(tmp_path / "here")


def test_contradictory_labels_stop_a_run(train):
    refused(
        train(ROWS + [{**row, "label": "refund"} for row in ROWS[:20]]), "audit", "contradictory_labels", "acknowledge"
    )
