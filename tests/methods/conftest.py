"""Tiny backbones, and models of a method on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModel

from support import cells
from support.cells import Bench


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    """Folder with one tiny backbone a kind."""
    return cells.backbones(tmp_path_factory.mktemp("backbones"))


@pytest.fixture
def make(root, tmp_path) -> Callable[..., Bench]:
    """Assembles a method with its options on a kind of tiny backbone."""
    count = iter(range(99))

    def made(method: str, kind: str = "bert", *, training: Any = None, **options: Any) -> Bench:
        wanted = ("classification", "descriptions", method, kind, "mean")
        variant = next(v for v in cells.every() if (v.task, v.head, v.method, v.kind, v.pooling) == wanted)
        recipe = variant.recipe(**(training or {})).having("method", **options)
        return cells.bench(variant, root, tmp_path / f"bench-{next(count)}", recipe=recipe)

    return made


@pytest.fixture
def features(root) -> Callable[..., torch.Tensor]:
    """Features of a bench's rows, by its own model or by plain peft on the published weights."""

    def found(on: Bench, adapter: Path | None = None) -> torch.Tensor:
        network = on.model.backbone.network
        if adapter:
            network = PeftModel.from_pretrained(AutoModel.from_pretrained(root / on.checkpoint.name), str(adapter))
        inputs = on.model.collate(on.rows.rows(range(len(on.rows))))
        with torch.inference_mode():
            return network.eval()(**inputs).last_hidden_state

    return found
