"""Well-known public sets, from their publishers: by URL, checked by SHA-256, turned into JSON lines."""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import json
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attune.core.files import whole_folder
from attune.errors import DataError, RecipeError, nearest

Row = dict[str, Any]
Splits = Mapping[str, Iterable[Row]]
CHUNK = 1 << 16
SECONDS = 30

EMOTIONS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip
TWEET_EMOTIONS = ("anger", "joy", "optimism", "sadness")


@dataclass(frozen=True)
class Download:
    """One published file.

    Attributes:
        url: Where its publisher keeps it.
        sha256: Of its bytes.
        size: In bytes.
    """

    url: str
    sha256: str
    size: int


@dataclass(frozen=True)
class PublicSet:
    """A published labelled set.

    Attributes:
        about: What it is, in a line.
        licence: Its terms, as its publisher states them.
        files: What is downloaded, by the name it is read under.
        rows: Makes rows by split out of the bytes of the files.
        data: Keys of [data] that its recipe needs.
    """

    about: str
    licence: str
    files: Mapping[str, Download]
    rows: Callable[[Mapping[str, bytes]], Splits]
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


def _comma_separated(files: Mapping[str, bytes]) -> Splits:
    return {
        split: ({"text": row["text"], "label": row["category"]} for row in csv.DictReader(_text(content)))
        for split, content in files.items()
    }


def _clinc(files: Mapping[str, bytes]) -> Splits:
    parts = json.loads(files["all"])
    names = {"train": "train", "validation": "val", "test": "test"}
    return {
        split: ({"text": text, "label": label} for part in (name, f"oos_{name}") for text, label in parts[part])
        for split, name in names.items()
    }


def _tweets(files: Mapping[str, bytes]) -> Splits:
    def paired(split: str) -> Iterator[Row]:
        texts, labels = _lines(files[f"{split}.text"]), _lines(files[f"{split}.labels"])
        for text, label in zip(texts, labels, strict=True):
            yield {"text": text.strip(), "label": TWEET_EMOTIONS[int(label)]}

    return {split: paired(split) for split in ("train", "validation", "test")}


def _emotions(files: Mapping[str, bytes]) -> Splits:
    def read(content: bytes) -> Iterator[Row]:
        for text, numbers, identity in csv.reader(_text(content), delimiter="\t"):
            yield {"id": identity, "text": text, "labels": [EMOTIONS[int(number)] for number in numbers.split(",")]}

    return {split: read(content) for split, content in files.items()}


def _news_titles(files: Mapping[str, bytes]) -> Splits:
    archive = zipfile.ZipFile(io.BytesIO(files["all"]))

    def read(name: str) -> Iterator[Row]:
        for line in _lines(archive.read(name)):
            row = json.loads(line)
            yield {"text": row["sentence"], "label": row["label_desc"]}

    return {"train": read("train.json"), "test": read("dev.json")}


def _text(content: bytes) -> io.StringIO:
    """Content as csv wants it: line ends inside quotes are the text's own."""
    return io.StringIO(content.decode("utf-8"), newline="")


def _lines(content: bytes) -> Iterator[str]:
    """Lines as the file has them: broken at line feeds only, without their ends."""
    return (line.rstrip("\r\n") for line in io.StringIO(content.decode("utf-8"), newline="\n"))


_GITHUB = "https://raw.githubusercontent.com"
_BANKING = f"{_GITHUB}/PolyAI-LDN/task-specific-datasets/dfe22170dcf22ab022af2e2696cebc612fccb03d/banking_data"
_CLINC = f"{_GITHUB}/clinc/oos-eval/48a0e1cff8f43dd4d0836ecb4ed5df08733e3d2e/data"
_TWEETS = f"{_GITHUB}/cardiffnlp/tweeteval/8df207ad6fcdab017000ad5196f797cd21f9a30f/datasets/emotion"
_EMOTIONS = f"{_GITHUB}/google-research/google-research/b91598b43297db06cca27a29fe2d0442dffea029/goemotions/data"

SETS: Mapping[str, PublicSet] = {
    "banking77": PublicSet(
        "English banking questions, 77 intents, 10,003 train and 3,080 test rows",
        "CC BY 4.0",
        {
            "train": Download(
                f"{_BANKING}/train.csv", "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b", 839_073
            ),
            "test": Download(
                f"{_BANKING}/test.csv", "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d", 239_961
            ),
        },
        _comma_separated,
        {"acknowledge": ["leakage"]},
    ),
    "clinc150": PublicSet(
        "English requests to an assistant, 150 intents and out-of-scope (oos), 15,250 train rows",
        "CC BY 3.0",
        {
            "all": Download(
                f"{_CLINC}/data_oos_plus.json",
                "bfcca9ae515623541dc1983c94c4ed7cae9d26b42ae47d74b972e51bb6f7a21f",
                2_509_789,
            )
        },
        _clinc,
    ),
    "tweeteval-emotion": PublicSet(
        "English tweets, 4 emotions, 3,257 train, 374 validation and 1,421 test rows",
        "no licence of its own; the terms of SemEval-2018 Task 1 and of Twitter apply",
        {
            "train.text": Download(
                f"{_TWEETS}/train_text.txt", "2c62f67aeb3eac1aea0e5a9c3d0f4bc337992581f3f858061786a1fb4d79d95e", 306_630
            ),
            "train.labels": Download(
                f"{_TWEETS}/train_labels.txt", "987e767d8679e18abdf7de37a6d2bcd0a40a296ddd704e8d515cf0e3033c8d9c", 6_514
            ),
            "validation.text": Download(
                f"{_TWEETS}/val_text.txt", "e2e30c86b8cbb97944d6543aedc06eace3bb275cb2f381aba787b838b4f23ca5", 34_556
            ),
            "validation.labels": Download(
                f"{_TWEETS}/val_labels.txt", "313730630160b7e0a6b4235b800c76683f4aeeb72d094eb69646630cd5cfe338", 748
            ),
            "test.text": Download(
                f"{_TWEETS}/test_text.txt", "7e1070f5d3e3fcece5bc73680bff9981e90d8f7b2f1009bfe7a01d059d1c6091", 132_523
            ),
            "test.labels": Download(
                f"{_TWEETS}/test_labels.txt", "245072348c711961785be6d395997f97cf7fcda3effeae7805664171dc75f913", 2_842
            ),
        },
        _tweets,
    ),
    "go-emotions": PublicSet(
        "English comments, several of 27 emotions or neutral, 43,410 train rows",
        "CC BY 4.0",
        {
            "train": Download(
                f"{_EMOTIONS}/train.tsv", "1c254a142be5c00e80d819b9ae1bbd36d94b2eeb8f4b1271846508d57e57d9c5", 3_519_053
            ),
            "validation": Download(
                f"{_EMOTIONS}/dev.tsv", "575489c079c9de1097062a01738f998590d6b7ead66dd1c9fd1d2ba01fd8bc62", 439_059
            ),
            "test": Download(
                f"{_EMOTIONS}/test.tsv", "0587b2dd8b27b97352adbfc3fb083d46005c8946657fdc2b1ca8b1cc7f1f8be4", 436_706
            ),
        },
        _emotions,
    ),
    "tnews": PublicSet(
        "Chinese news titles, 15 topics, 53,360 train rows; the 10,000 development rows are the test",
        "unstated by its publisher (CLUE)",
        {
            "all": Download(
                "https://storage.googleapis.com/cluebenchmark/tasks/tnews_public.zip",
                "77c476e70cfe0b014a81b84c6e1db2142a8a2f52f4ae0a8216aa75e673933462",
                5_123_575,
            )
        },
        _news_titles,
    ),
}
"""Sizes and digests as the dataset_infos.json of Hugging Face's `datasets` 2.x published them."""


def named(name: str) -> PublicSet:
    """A public set by name.

    Args:
        name: One of `SETS`.

    Returns:
        The set.

    Raises:
        RecipeError: There is no such set.
    """
    if name not in SETS:
        known = "; ".join(f"{known}: {found.about} ({found.licence})" for known, found in SETS.items())
        raise RecipeError(
            f"no public set is named {name!r}. {nearest(name, list(SETS))}", where="--from", expected=known,
            remedy="choose one of these, or give a data file of your own: attune init DATA",
        )  # fmt: skip
    return SETS[name]


def publish(name: str, target: Path, told: Callable[[str], None]) -> PublicSet:
    """Downloads a public set and writes `train.jsonl` and the other splits, whole or not at all.

    Args:
        name: One of `SETS`.
        target: The folder to make.
        told: Hears of each download.

    Returns:
        The set.

    Raises:
        RecipeError: There is no such set, or the folder is not empty.
        DataError: A file cannot be had, or is not what was published.
    """
    found = named(name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RecipeError(f"{target} is there already", where="--from", expected="a new folder",
                          remedy=f"name another: attune init FOLDER --from {name}")  # fmt: skip
    content: dict[str, bytes] = {}
    for key, file in found.files.items():
        told(f"downloading {file.url} ({file.size / 1e6:.1f} MB)")
        content[key] = download(file)
    with whole_folder(target) as folder:
        for split, rows in found.rows(content).items():
            with (folder / f"{split}.jsonl").open("w", encoding="utf-8", newline="\n") as out:
                out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        files = [{"url": file.url, "sha256": file.sha256} for file in found.files.values()]
        source = {"name": name, "about": found.about, "licence": found.licence, "files": files}
        (folder / "source.json").write_text(json.dumps(source, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def download(file: Download) -> bytes:
    """The bytes of a published file.

    Args:
        file: What and where.

    Returns:
        Its content, of the published size and digest.

    Raises:
        DataError: It cannot be reached, or something else lies there.
    """
    content = bytearray()
    try:
        with urllib.request.urlopen(file.url, timeout=SECONDS) as answer:
            while len(content) <= file.size and (part := answer.read(CHUNK)):
                content += part
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise DataError(
            f"cannot be downloaded: {getattr(error, 'reason', None) or error}", where=file.url,
            expected="this machine to reach its publisher",
            remedy="this needs the network (HTTPS_PROXY is heeded). Without it, fetch the set on another machine by "
            "the same command and copy the folder here, or start from a file of your own: attune init DATA",
        ) from error  # fmt: skip
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise DataError(
            f"something else lies there: SHA-256 {digest[:16]}…, {len(content):,} bytes or more", where=file.url,
            expected=f"the published file, SHA-256 {file.sha256[:16]}…, {file.size:,} bytes",
            remedy="nothing was kept. A proxy may have answered in its place; if the publisher changed the file, tell "
            "us, and give the new file to attune init yourself",
        )  # fmt: skip
    return bytes(content)
