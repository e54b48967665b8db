"""Exports that need no attune: a plain transformers folder, or a plain PEFT adapter."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from attune.core.files import canonical, whole_folder
from attune.errors import UnsupportedError
from attune.model.bundle import Bundle

SCRIPT = '''"""Answers texts with this folder; needs only torch, transformers and safetensors. Made by attune."""
import json, sys
from pathlib import Path
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

here = Path(__file__).parent
settings = json.loads((here / "head.json").read_text(encoding="utf-8"))
tokenizer, model = AutoTokenizer.from_pretrained(here), AutoModel.from_pretrained(here).eval()
head = load_file(here / "head.safetensors")

@torch.inference_mode()
def probabilities(texts):
    batch = tokenizer(texts, padding=True, truncation=True, max_length=settings["max_length"], return_tensors="pt")
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    mask = inputs["attention_mask"].unsqueeze(-1).float()
    pooled = (model(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)
    if settings["unit"]:
        pooled = torch.nn.functional.normalize(pooled, dim=-1)
    logits = pooled @ head["weight"].T + head["bias"]
    return logits.sigmoid() if settings["multi_label"] else logits.softmax(-1)

if __name__ == "__main__":
    lines = [line.rstrip("\\n") for line in sys.stdin if line.strip()]
    for start in range(0, len(lines), 32):
        for row in probabilities(lines[start : start + 32]):
            above = (row > settings["threshold"]).nonzero().flatten().tolist()
            given = above if settings["multi_label"] else [int(row.argmax())]
            print(json.dumps([settings["labels"][index] for index in given], ensure_ascii=False))
'''


def to_transformers(bundle: Bundle, out: Path) -> str:
    """Writes a folder that plain transformers loads, adapters merged, the temperature folded into the head.

    Args:
        bundle: A loaded bundle; it is not changed.
        out: The folder to write.

    Returns:
        What was written and why in this form.

    Raises:
        UnsupportedError: The head is no affine map, or compares directions and the backbone pools by the first token.
    """
    name = bundle.model.task.options.head
    if not hasattr(bundle.model.head, "affine"):
        raise UnsupportedError(
            f"head {name} is not one affine map", where=str(bundle.path), expected="a head such as linear",
            remedy="serve the bundle with attune",
        )  # fmt: skip
    backbone = copy.deepcopy(bundle.model.backbone)
    bundle.model.method.merge(backbone)
    head: Any = bundle.model.head
    scale = 1.0 / bundle.model.temperature
    weight, bias = ((value.detach() * scale).cpu().contiguous() for value in head.affine())
    if backbone.final and head.unit:
        raise UnsupportedError(
            f"head {name} scales features to length one, which the family's own classification model does not",
            where=str(bundle.path), expected="mean pooling, or head linear",
            remedy='train with backbone.pooling = "mean", or serve the bundle with attune',
        )  # fmt: skip
    with whole_folder(out) as folder:
        copy_tokenizer(bundle, folder)
        if backbone.final:
            return whole_classifier(bundle, backbone, weight, bias, folder)
        return encoder_and_script(bundle, backbone, weight, bias, folder)


def copy_tokenizer(bundle: Bundle, folder: Path) -> None:
    """Writes the tokenizer, told to cut where the bundle cuts."""
    tokenizer = copy.deepcopy(bundle.model.backbone.tokenizer)
    tokenizer.model_max_length = bundle.model.backbone.max_length
    tokenizer.save_pretrained(folder)


def whole_classifier(bundle: Bundle, backbone: Any, weight: torch.Tensor, bias: torch.Tensor, folder: Path) -> str:
    """First-token pooling: the family's own classification model, with label names."""
    network = backbone.network
    final = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        final.weight.copy_(weight)
        final.bias.copy_(bias)
    network.set_submodule(backbone.final, final)
    config = network.config
    config.num_labels = len(bundle.labels)
    config.id2label = dict(enumerate(bundle.labels))
    config.label2id = {label: index for index, label in enumerate(bundle.labels)}
    config.problem_type = (
        "multi_label_classification" if bundle.model.task.multi_label else "single_label_classification"
    )
    config.architectures = [type(network).__name__]
    network.num_labels = len(bundle.labels)
    network.save_pretrained(folder)
    return (
        f"{type(network).__name__} for plain `transformers.pipeline('text-classification')`, because first-token "
        "pooling is the family's own classification head"
    )


def encoder_and_script(bundle: Bundle, backbone: Any, weight: torch.Tensor, bias: torch.Tensor, folder: Path) -> str:
    """Mean pooling: the encoder, the head beside it, and a script that joins them."""
    network = backbone.network
    network.save_pretrained(folder)
    save_file({"weight": weight, "bias": bias}, folder / "head.safetensors")
    settings = {
        "labels": bundle.labels,
        "max_length": backbone.max_length,
        "multi_label": bundle.model.task.multi_label,
        "threshold": bundle.model.task.options.threshold,
        "unit": bundle.model.head.unit,
    }
    (folder / "head.json").write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "predict.py").write_text(SCRIPT, encoding="utf-8")
    return (
        f"{type(network).__name__} weights, head.safetensors and predict.py (torch, transformers, safetensors): "
        f"the {network.config.model_type} family has no stock class that pools by mean"
    )


def to_peft(bundle: Bundle, out: Path) -> str:
    """Writes the adapter as plain PEFT loads it, the head beside it.

    Args:
        bundle: A loaded bundle.
        out: The folder to write.

    Returns:
        What was written.

    Raises:
        UnsupportedError: The bundle's method has no PEFT layout.
    """
    if not (bundle.path / "moved" / "adapter_config.json").is_file():
        raise UnsupportedError(
            f"method {bundle.manifest.method} has no PEFT layout",
            where=str(bundle.path),
            expected="a bundle tuned with lora",
            remedy="export it with --format transformers",
        )
    with whole_folder(out) as folder:
        for path in sorted((bundle.path / "moved").iterdir()):
            shutil.copyfile(path, folder / path.name)
        shutil.copyfile(bundle.path / "heads" / f"{bundle.manifest.task}.safetensors", folder / "head.safetensors")
        (folder / "labels.json").write_text(canonical(bundle.labels), encoding="utf-8")
    backbone: Any = bundle.model.backbone
    kind = "AutoModelForSequenceClassification" if backbone.final else "AutoModel"
    return f"the adapter for `PeftModel.from_pretrained({kind}.from_pretrained({backbone.checkpoint.name!r}), folder)`"
