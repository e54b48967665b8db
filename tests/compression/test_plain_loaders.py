"""The embedded backbone, tuned on 200 real rows by every method that plain peft or plain transformers can load."""

from __future__ import annotations

import inspect
import itertools
import json
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from attune.backbones.checkpoints import embedded
from attune.compression.export import to_transformers
from attune.core.recipe import parse
from attune.lifecycle.train import train
from attune.methods import peft_layout
from attune.model.assemble import AXES
from attune.model.bundle import Bundle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:The following rank_pattern keys did not match:RuntimeWarning"
    ),  # peft of its own
]

ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"name": "lora", "rank": 8},
    "lora-attention": {"name": "lora", "rank": 4, "targets": "attention"},
    "rslora": {"name": "lora", "rank": 8, "rslora": True},
    "dora": {"name": "lora", "rank": 4, "dora": True},
    "pissa": {"name": "lora", "rank": 8, "init": "pissa"},
    "olora-rslora": {"name": "lora", "rank": 8, "init": "olora", "rslora": True},
    "pissa-dora": {"name": "lora", "rank": 4, "init": "pissa", "dora": True},
    "adalora": {"name": "adalora", "target_rank": 3, "initial_rank": 6, "interval": 1},
    "ia3": {"name": "ia3"},
}
MERGED = {
    **ADAPTERS,
    "full": {"name": "full"},
    "frozen": {"name": "frozen", "trainable_layers": 2},
    "bias": {"name": "bias"},
}
FIRST_TOKEN = ("dora", "pissa", "adalora", "ia3", "full")
"""Merging is the same for both poolings; these are tried with the family's own class as well."""
ROWS, LABELS = 200, 10
TOLERANCE = 5e-5


@pytest.fixture(scope="module")
def rows(public_data: Path) -> list[dict[str, str]]:
    """Twenty training rows of each of ten labels."""
    lines = (public_data / "banking77" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    by_label: dict[str, list[dict[str, str]]] = {}
    for row in map(json.loads, lines):
        by_label.setdefault(row["label"], []).append({"text": " ".join(row["text"].split()), "label": row["label"]})
    of_ten = [by_label[label][: ROWS // LABELS] for label in sorted(by_label)[:LABELS]]
    return list(itertools.chain.from_iterable(of_ten))


@pytest.fixture(scope="module")
def tuned(rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Bundle]:
    """Bundles by method and pooling, each tuned when first asked for."""
    root = tmp_path_factory.mktemp("plain")
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made: dict[tuple[str, str], Bundle] = {}

    def of(name: str, pooling: str = "mean") -> Bundle:
        if (name, pooling) not in made:
            rate = {"learning_rate": 2e-4} if "init" in MERGED[name] else {}  # as the guide says of pissa and olora
            document = {
                "data": {"train": "rows.jsonl", "validation_share": 0.0, "test_share": 0.0},
                "backbone": {"pooling": pooling},
                "method": MERGED[name],
                "training": {"epochs": 2, "precision": "float32", "attention": "sdpa", "threads": 1, **rate},
            }
            made[name, pooling] = train(parse(document, AXES), root, root / f"{name}-{pooling}")
        return made[name, pooling]

    return of


def batches(texts: Sequence[str]) -> list[list[str]]:
    return [list(texts[start : start + 32]) for start in range(0, len(texts), 32)]


@torch.inference_mode()
def pooled(network: Any, tokenizer: Any, texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """Mean-pooled features `(N, D)` by plain transformers."""
    parts: list[torch.Tensor] = []
    for some in batches(texts):
        inputs = tokenizer(some, padding=True, truncation=True, max_length=512, return_tensors="pt")
        mask = inputs["attention_mask"].unsqueeze(-1)
        parts.append((network(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1))
    return torch.cat(parts).numpy()


@torch.inference_mode()
def plain_logits(folder: Path, pooling: str, texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """Logits `(N, K)` of an export by what lies in it and plain transformers."""
    if pooling == "mean":
        made = runpy.run_path(str(folder / "predict.py"), run_name="plain")
        found = [made["pooled"](some) @ made["head"]["weight"].T + made["head"]["bias"] for some in batches(texts)]
        return torch.cat(found).numpy()
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = [
        network(**tokenizer(some, padding=True, truncation=True, return_tensors="pt")).logits for some in batches(texts)
    ]
    return torch.cat(found).numpy()


def ids_of(bundle: Bundle, texts: Sequence[str]) -> Any:
    return bundle.model.encode([{"text": text} for text in texts]).ids


@pytest.mark.parametrize("name", ADAPTERS)
def test_plain_peft_gives_the_features_of_200_rows(tuned: Callable[..., Bundle], rows: Any, name: str) -> None:
    bundle, texts = tuned(name), [row["text"] for row in rows]
    assert len(texts) == ROWS
    published = AutoModel.from_pretrained(embedded()).eval()
    tokenizer = AutoTokenizer.from_pretrained(embedded())
    untuned = pooled(published, tokenizer, texts)
    theirs = pooled(PeftModel.from_pretrained(published, str(bundle.path / "moved")).eval(), tokenizer, texts)
    ours = bundle.model.features(ids_of(bundle, texts))
    assert np.abs(ours - untuned).max() > 5e-3, "nothing was tuned, so nothing is tried"
    np.testing.assert_allclose(theirs, ours, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("name", "pooling"), [*((name, "mean") for name in MERGED), *((name, "first") for name in FIRST_TOKEN)]
)
def test_plain_transformers_gives_the_logits_of_200_rows(
    tuned: Callable[..., Bundle], rows: Any, tmp_path: Path, name: str, pooling: str
) -> None:
    bundle, texts = tuned(name, pooling), [row["text"] for row in rows]
    ours = bundle.model.logits(ids_of(bundle, texts)) / bundle.model.temperature
    to_transformers(bundle, tmp_path / "plain")
    theirs = plain_logits(tmp_path / "plain", pooling, texts)
    assert theirs.shape == (ROWS, LABELS)
    np.testing.assert_allclose(theirs, ours, atol=TOLERANCE * max(1.0, np.abs(ours).max()), rtol=0)


def test_every_method_in_peft_s_layout_is_among_them(tuned: Callable[..., Bundle]) -> None:
    of_method = {name: inspect.getmodule(AXES["method"].get(name)) for name in AXES["method"].names()}
    by_peft = {name for name, module in of_method.items() if vars(module).get("layout") is peft_layout}
    assert by_peft == {options["name"] for options in ADAPTERS.values()}
    assert all((tuned(name).path / "moved" / peft_layout.CONFIG).is_file() for name in ADAPTERS)
