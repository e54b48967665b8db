"""Public sets: what is downloaded is checked, turned into rows, and lies there whole or not at all."""

import csv
import hashlib
import io
import json
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from attune.core.recipe import parse
from attune.data import public
from attune.lifecycle.init import draft
from attune.model.assemble import AXES

LINES = [("I lost my card", "lost_card"), ('It said, "declined"', "declined"), ("two\nlines", "lost_card")] * 20


def banking(rows=LINES) -> bytes:
    """In the form of the publisher: quoted where needed, lines ended by CR LF."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("text", "category"), *rows])
    return out.getvalue().encode()


def packed(**files: list[dict[str, str]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, rows in files.items():
            archive.writestr(f"{name}.json", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    return out.getvalue()


@pytest.fixture
def publisher(monkeypatch) -> Iterator:
    """A publisher on loopback: what it gives and what the catalogue says of it."""
    given: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = given.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def offer(name: str, **contents: bytes) -> None:
        files = {}
        for key, content in contents.items():
            given[f"/{name}/{key}"] = content
            url = f"http://127.0.0.1:{server.server_address[1]}/{name}/{key}"
            files[key.replace("_", ".")] = public.Download(url, hashlib.sha256(content).hexdigest(), len(content))
        monkeypatch.setitem(public.SETS, name, replace(public.SETS[name], files=files))

    offer.given = given
    yield offer
    server.shutdown()
    thread.join()
    server.server_close()


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_the_catalogue_is_whole():
    for name, found in public.SETS.items():
        assert found.licence, name
        for file in found.files.values():
            assert file.url.startswith("https://"), name
            assert len(bytes.fromhex(file.sha256)) == 32, name
            assert file.size > 0


def test_init_from_gets_a_set_and_writes_a_recipe_that_runs(run, publisher, workshop, tmp_path):
    publisher("banking77", train=banking(), test=banking(LINES[:9]))
    outcome = run("init", "--from", "banking77", "--json")
    assert outcome.code == 0, outcome.err
    folder = tmp_path / "here" / "banking77"
    assert {path.name for path in folder.iterdir()} == {"train.jsonl", "test.jsonl", "source.json", "recipe.toml"}
    assert [(row["text"], row["label"]) for row in read(folder / "train.jsonl")] == LINES
    assert json.loads((folder / "source.json").read_text())["licence"] == "CC BY 4.0"
    document = tomllib.loads((folder / "recipe.toml").read_text())
    assert document["data"]["test"] == "test.jsonl"
    assert document["data"]["acknowledge"] == ["leakage"]
    trained = run(
        "train", folder / "recipe.toml", "--out", "out", "--json", "--set", f"backbone.name={workshop.root / 'tiny'}",
        "--set", "backbone.max_unknown=1.0", "--set", "training.epochs=1",
    )  # fmt: skip
    assert trained.code == 0, trained.err


def test_forms_of_publishers(publisher, tmp_path):
    parts = {f"{oos}{split}": [[f"{oos}{split} {n}", f"label {n}"] for n in range(3)]
             for split in ("train", "val", "test") for oos in ("", "oos_")}  # fmt: skip
    publisher("clinc150", all=json.dumps(parts).encode())
    publisher(
        "tweeteval-emotion",
        train_text=b"so angry \nfine, at last \n", train_labels=b"0\n1\n",
        validation_text="höpe \n".encode(), validation_labels=b"2\n",
        test_text="sad\u2028 still one line \n".encode(), test_labels=b"3\n",
    )  # fmt: skip
    quoted = b'"He said ""no"", then left"\t3,27\tabc\r\nLovely\t17\tabd\n'
    publisher("go-emotions", train=quoted, validation=quoted, test=quoted)
    titles = [{"label": "108", "label_desc": "news_edu", "sentence": "上课时学生手机响个不停", "keywords": ""}]
    publisher("tnews", all=packed(train=titles, dev=titles, test=[{"sentence": "unlabelled"}]))
    for name in public.SETS:
        if name != "banking77":
            public.publish(name, tmp_path / name, lambda _: None)
    assert len(read(tmp_path / "clinc150" / "train.jsonl")) == 6
    assert read(tmp_path / "clinc150" / "validation.jsonl")[-1] == {"text": "oos_val 2", "label": "label 2"}
    assert read(tmp_path / "tweeteval-emotion" / "train.jsonl")[1] == {"text": "fine, at last", "label": "joy"}
    assert [row["label"] for row in read(tmp_path / "tweeteval-emotion" / "test.jsonl")] == ["sadness"]
    first = read(tmp_path / "go-emotions" / "validation.jsonl")[0]
    assert first == {"id": "abc", "text": 'He said "no", then left', "labels": ["annoyance", "neutral"]}
    assert read(tmp_path / "tnews" / "test.jsonl") == [{"text": titles[0]["sentence"], "label": "news_edu"}]


def test_something_else_lies_there(run, publisher, tmp_path):
    publisher("banking77", train=banking(), test=banking(LINES[:9]))
    publisher.given["/banking77/test"] = b"<html>log in to this network</html>"
    outcome = run("init", "--from", "banking77")
    assert outcome.code == 2
    assert "something else lies there" in outcome.err
    assert "what to do" in outcome.err
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("given", [None, b""])
def test_a_publisher_that_is_not_there(run, publisher, tmp_path, given):
    publisher("banking77", train=banking(), test=banking())
    del publisher.given["/banking77/train"]
    if given is None:  # nobody answers at all
        gone = replace(public.SETS["banking77"].files["train"], url="http://127.0.0.1:9/train.csv")
        public.SETS["banking77"].files["train"] = gone
    outcome = run("init", "--from", "banking77")
    assert outcome.code == 2
    assert "cannot be downloaded" in outcome.err
    assert "network" in outcome.err
    assert "Traceback" not in outcome.err
    assert not list((tmp_path / "here").iterdir())


def test_unknown_name_and_folder_in_use(run, publisher, tmp_path):
    outcome = run("init", "--from", "bankin77")
    assert outcome.code == 2
    assert "banking77" in outcome.err
    publisher("banking77", train=banking(), test=banking())
    (tmp_path / "here" / "kept").mkdir()
    (tmp_path / "here" / "kept" / "mine.txt").write_text("mine")
    outcome = run("init", "kept", "--from", "banking77")
    assert (outcome.code, "is there already" in outcome.err) == (2, True)
    assert (tmp_path / "here" / "kept" / "mine.txt").read_text() == "mine"


def test_a_draft_for_a_script_the_backbone_cannot_read(tmp_path):
    texts = ["我的银行卡丢了怎么办", "请帮我退款", "订单什么时候发货", "无法登录账户"]
    rows = [{"text": f"{text}{n}", "label": f"label {n % 4}"} for n in range(40) for text in texts]
    (tmp_path / "zh.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    drafted = draft("zh.jsonl", tmp_path)
    recipe = parse(tomllib.loads(drafted.text), AXES)
    assert recipe.backbone.max_unknown > 0.3
    assert any("unknown to the embedded English backbone" in reason for reason in drafted.reasons)
    english = [{"text": f"where is my order {n}", "label": f"label {n % 4}"} for n in range(80)]
    (tmp_path / "en.jsonl").write_text("\n".join(json.dumps(row) for row in english))
    assert "max_unknown" not in draft("en.jsonl", tmp_path).text
