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

from attune.backbones.generating import phrases
from attune.backbones.language import with_head
from attune.compression.script import needed, script
from attune.core.files import canonical, whole_folder
from attune.errors import CannotMerge, UnsupportedError
from attune.model.assemble import reads_of
from attune.model.bundle import INSIDE, Bundle


def to_transformers(bundle: Bundle, out: Path) -> str:
    """Writes a folder that plain transformers loads, adapters merged, the temperature folded into the head.

    Args:
        bundle: A loaded bundle; it is not changed.
        out: The folder to write.

    Returns:
        What was written and why in this form.

    Raises:
        CannotMerge: The bundle's method changes what no weights of the backbone can say.
        UnsupportedError: The network is a part of another; first-token pooling of two texts read apart, for which
            transformers has no class; or the head is no affine map, or compares directions and the backbone pools by
            the first token.
    """
    refuse(bundle)
    backbone = merged(bundle)
    head: Any = bundle.model.head
    if hasattr(bundle.model.task, "tell"):
        return writing_network(bundle, backbone, out)
    if hasattr(head, "tied"):
        return language_model(bundle, backbone, out)
    found = bundle.model.task.affine(head, bundle.model.temperature)
    weight, bias = (value.detach().float().cpu().contiguous() for value in found)
    with whole_folder(out) as folder:
        copy_tokenizer(bundle, folder)
        if backbone.final:
            return whole_classifier(bundle, backbone, weight, bias, folder)
        return encoder_and_script(bundle, backbone, weight, bias, folder)


def refuse(bundle: Bundle) -> None:
    """Stops, before anything is copied, where no plain folder can answer as the bundle does."""
    task = bundle.model.task
    if bundle.manifest.tasks:
        raise UnsupportedError(
            "no plain folder answers several tasks", where=str(bundle.path), expected="a bundle of one task",
            remedy="serve the bundle with attune, or export its adapter with --format peft",
        )  # fmt: skip
    if getattr(task.options, "hybrid", None):
        raise UnsupportedError(
            "no plain folder has the templates and n-grams that answer beside its network", where=str(bundle.path),
            expected="a bundle without task.hybrid", remedy="serve the bundle with attune",
        )  # fmt: skip
    if hasattr(task, "tell") or hasattr(bundle.model.head, "tied"):
        return
    if reads_of(task) == "tokens":
        raise UnsupportedError(
            f"no plain folder answers as the task {task.options.name} does", where=str(bundle.path),
            expected="a task whose answer is a label of a text or a pair", remedy="serve the bundle with attune",
        )  # fmt: skip
    name, first_token = task.options.head, bundle.model.backbone.final
    head: Any = bundle.model.head
    if not hasattr(bundle.model.task, "affine"):
        raise UnsupportedError(
            f"task {bundle.manifest.task} is no affine map of what is read of a row", where=str(bundle.path),
            expected="a task such as classification, pair or regression", remedy="serve the bundle with attune",
        )  # fmt: skip
    if not hasattr(head, "affine"):
        raise UnsupportedError(
            f"head {name} is not one affine map", where=str(bundle.path), expected="a head such as linear",
            remedy="serve the bundle with attune",
        )  # fmt: skip
    if not bundle.model.backbone.whole:
        raise UnsupportedError(
            "an encoder without its decoder is no network that transformers' AutoModel makes of a folder",
            where=str(bundle.path),
            expected="a bundle of the family text or causal",
            remedy="serve the bundle with attune, or take the adapter with --format peft",
        )
    if first_token and bundle.model.task.pieces() > 1:
        raise UnsupportedError(
            "no stock class reads two texts apart and joins their vectors",
            where=str(bundle.path),
            expected='task.encoder = "cross", or backbone.pooling = "mean", whose export is a script',
            remedy="tune it in one of these ways, or serve it with attune",
        )
    if first_token and head.unit:
        raise UnsupportedError(
            f"head {name} scales features to length one, which the family's own classification model does not",
            where=str(bundle.path), expected="mean pooling, or head linear",
            remedy='train with backbone.pooling = "mean", or serve the bundle with attune',
        )  # fmt: skip


def merged(bundle: Bundle) -> Any:
    """A copy of the bundle's backbone, what was tuned folded into its own weights."""
    backbone = copy.deepcopy(bundle.model.backbone)
    try:
        bundle.model.method.merge(backbone)
    except CannotMerge as error:
        raise CannotMerge(
            f"method {bundle.manifest.method} cannot be exported as plain weights: {error.found}",
            where=str(bundle.path),
            expected=error.expected,
            remedy=f"answer with `attune predict` or `attune serve`; {error.remedy}",
        ) from error
    return backbone


def language_model(bundle: Bundle, backbone: Any, out: Path) -> str:
    """A language head: the family's own language model, or the encoder with the head beside it.

    Either is a backbone for further tuning, by its folder.
    """
    head = {name: value.detach().cpu().contiguous() for name, value in bundle.model.head.state_dict().items()}
    whole = with_head(backbone.network, head)
    with whole_folder(out) as folder:
        bundle.model.backbone.tokenizer.save_pretrained(folder)  # with its own limit: what is tuned next may read more
        if whole is not None:
            whole.save_pretrained(folder)
            return f"{type(whole).__name__} for plain transformers, and a backbone for further tuning by its folder"
        backbone.network.save_pretrained(folder)
        save_file(head, folder / "head.safetensors")
    return (
        f"{type(backbone.network).__name__} weights and head.safetensors; a backbone for further tuning by its folder"
    )


def copy_tokenizer(bundle: Bundle, folder: Path, side: str = "right") -> None:
    """Writes the tokenizer, told to cut where the bundle cuts and to give the token types that the network reads.

    Args:
        bundle: For its tokenizer.
        folder: Where.
        side: Where rows are padded.
    """
    tokenizer = copy.deepcopy(bundle.model.backbone.tokenizer)
    tokenizer.model_max_length, tokenizer.padding_side = bundle.model.backbone.max_length, side
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(bundle.model.backbone.pad)
    if bundle.model.backbone.typed and "token_type_ids" not in tokenizer.model_input_names:
        tokenizer.model_input_names = [*tokenizer.model_input_names, "token_type_ids"]
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names
    tokenizer.save_pretrained(folder)


def writing_network(bundle: Bundle, backbone: Any, out: Path) -> str:
    """A network that writes is whole as it is; how texts are chosen goes into its generation config."""
    network, options = backbone.network, bundle.model.task.options
    asks = hasattr(options, "decoding")  # what is learned from plain texts has no way of writing of its own
    with whole_folder(out) as folder:
        copy_tokenizer(bundle, folder, side="left" if backbone.onward else "right")
        if asks:
            network.generation_config = chosen_by(
                network.generation_config, options.decoding, options.max_target, backbone
            )
        network.save_pretrained(folder)
    if not asks:
        return f"{type(network).__name__} for plain `transformers`"
    prompts = bundle.model.task.asked
    what = "conversations by its chat template" if prompts.talks else repr(prompts.whole("{text}"))
    left = "; required phrases are not said" if options.decoding.required else ""
    left += "; a long text is cut, and not read in segments" if options.segments else ""
    return f"{type(network).__name__} for plain `transformers`, which reads {what} and writes with generate(){left}"


def chosen_by(config: Any, decoding: Any, longest: int, backbone: Any) -> Any:
    """A generation config that says how a recipe chooses texts; what is as usual stays out of it.

    Args:
        config: The checkpoint's own.
        decoding: The recipe's options.
        longest: Tokens written at most.
        backbone: For its special tokens and those of phrases.

    Returns:
        A copy with them.
    """
    wanted: dict[str, Any] = {
        "max_new_tokens": longest, "max_length": None, "min_length": None, "min_new_tokens": decoding.shortest or None,
        "num_beams": decoding.beams, "length_penalty": decoding.length if decoding.beams > 1 else 1.0,
        "early_stopping": False, "do_sample": decoding.sample, "repetition_penalty": decoding.repetition,
        "no_repeat_ngram_size": decoding.no_repeat,
    }  # fmt: skip
    drawn = {"temperature": decoding.temperature, "top_k": decoding.top_k, "top_p": decoding.top_p}
    wanted |= drawn if decoding.sample else {"temperature": 1.0, "top_k": 50, "top_p": 1.0}
    if decoding.forbidden:
        wanted["bad_words_ids"] = [*(config.bad_words_ids or []), *phrases(backbone.tokenizer, decoding.forbidden)]
    found = copy.deepcopy(config)
    found.update(**wanted)
    found.eos_token_id = list(backbone.stops) or None
    found.pad_token_id = backbone.pad if found.pad_token_id is None else found.pad_token_id
    return found


def whole_classifier(bundle: Bundle, backbone: Any, weight: torch.Tensor, bias: torch.Tensor, folder: Path) -> str:
    """First-token pooling: the family's own classification model, with label names."""
    network = backbone.network
    final = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        final.weight.copy_(weight)
        final.bias.copy_(bias)
    network.set_submodule(backbone.final, final)
    config = network.config
    names = bundle.labels or [bundle.manifest.task]
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {label: index for index, label in enumerate(names)}
    config.problem_type = bundle.model.task.problem
    config.architectures = [type(network).__name__]
    network.num_labels = len(names)
    network.save_pretrained(folder)
    asked = "" if len(bundle.model.task.form.texts) == 1 else """, asked with {"text": …, "text_pair": …},"""
    return (
        f"{type(network).__name__} for plain `transformers.pipeline('text-classification')`{asked} because first-token "
        "pooling is the family's own classification head"
    )


def encoder_and_script(bundle: Bundle, backbone: Any, weight: torch.Tensor, bias: torch.Tensor, folder: Path) -> str:
    """Pooling that no stock class has: the network, the head beside it, and a script that joins them."""
    network = backbone.network
    texts, pieces = len(bundle.model.task.form.texts), bundle.model.task.pieces()
    network.save_pretrained(folder)
    save_file({"weight": weight, "bias": bias}, folder / "head.safetensors")
    settings = {
        "labels": bundle.labels,
        "inputs": needed(texts, pieces, backbone.typed),
        "max_length": backbone.max_length,
        "multi_label": bundle.model.task.multi_label,
        "threshold": getattr(bundle.model.task, "threshold", None),
        "number": not bundle.labels,
        "unit": bundle.model.head.unit,
    }
    (folder / "head.json").write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    alike = getattr(bundle.model.task.options, "encoder", "") == "cosine"
    pooling = backbone.options.pooling
    (folder / "predict.py").write_text(script(texts, pieces, pooling, alike=alike), encoding="utf-8")
    lacks = "pools by mean" if pooling == "mean" else f"has an affine head on the {pooling} token"
    return (
        f"{type(network).__name__} weights, head.safetensors and predict.py (torch, transformers, safetensors): "
        f"the {network.config.model_type} family has no stock class that {lacks}"
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
            expected="a bundle tuned with lora, adalora or ia3",
            remedy="answer with `attune predict` or `attune serve`"
            if bundle.model.method.cannot_merge
            else "export it with --format transformers",
        )
    with whole_folder(out) as folder:
        for path in sorted((bundle.path / "moved").iterdir()):
            shutil.copyfile(path, folder / path.name)
        tasks = bundle.manifest.tasks
        heads = {name: f"head-{name}" for name in tasks} or {bundle.manifest.task: "head"}
        for task, name in heads.items():
            shutil.copyfile(bundle.path / "heads" / f"{task}.safetensors", folder / f"{name}.safetensors")
        labels = {name: task.labels for name, task in tasks.items()} or bundle.labels
        (folder / "labels.json").write_text(canonical(labels), encoding="utf-8")
        if bundle.model.backbone.checkpoint.weights == "made":
            shutil.copytree(bundle.path / INSIDE, folder / INSIDE)
    backbone = bundle.model.backbone
    base = INSIDE if backbone.checkpoint.weights == "made" else backbone.checkpoint.name
    return f"the adapter for `PeftModel.from_pretrained({backbone.plainly(base)}, folder)`"
