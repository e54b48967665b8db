"""Text encoders: any Hugging Face encoder with a fast tokenizer, its pooling and its layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from attune.backbones.checkpoints import Checkpoint
from attune.core.recipe import Options
from attune.core.records import Input
from attune.errors import BackboneError

SAFE = {"local_files_only": True, "trust_remote_code": False}


class TextOptions(Options):
    """A text encoder and how it reads."""

    family: Literal["text"] = "text"
    name: str = "all-MiniLM-L6-v2"
    """The embedded all-MiniLM-L6-v2, a folder relative to the data root, or a Hugging Face name."""
    pooling: Literal["mean", "first"] = "mean"
    """How tokens become one vector: their mean, or the first token through the family's own classification head."""
    max_length: int = Field(0, ge=0)
    """Tokens read of a row. 0: the longest training row, rounded up, within what the backbone can read."""
    max_unknown: float = Field(0.05, ge=0, le=1)
    """Share of unknown tokens among the training rows above which a run stops."""
    sha256: str = ""
    """SHA-256 of the weights; written into the resolved recipe and verified when present."""


@dataclass(frozen=True)
class Encoding:
    """Rows as token ids, ragged, on the host.

    Attributes:
        ids: One int32 array a row, special tokens included.
        truncated: `(N,)` bool: the row had more tokens than the backbone reads.
        unknown: `(N,)` int64: tokens the vocabulary does not hold.
        words: `(N,)` int64: tokens that are not special.
    """

    ids: list[NDArray[np.int32]]
    truncated: NDArray[np.bool_]
    unknown: NDArray[np.int64]
    words: NDArray[np.int64]


class Text(nn.Module):
    """A pretrained text encoder with its tokenizer.

    Args:
        checkpoint: Where config, tokenizer and weights are.
        options: Pooling and length.
        dropout: Dropout probability inside the network, in place of the checkpoint's own.
        config_folder: Where config and tokenizer are read from, if not from the checkpoint (a bundle's copy).

    Raises:
        BackboneError: The checkpoint cannot be read as a text encoder.
    """

    Options: ClassVar[type[TextOptions]] = TextOptions
    provides: ClassVar[frozenset[str]] = frozenset({"tokens", "pooled", "linear_layers"})
    summary: ClassVar[str] = "encoders: BERT, RoBERTa, ModernBERT, DistilBERT, ELECTRA and their like"

    def __init__(
        self, checkpoint: Checkpoint, options: TextOptions, *, dropout: float = 0.0, config_folder: Path | None = None
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.options = options
        source = config_folder or checkpoint.folder
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, **SAFE)
            config = with_dropout(AutoConfig.from_pretrained(source, **SAFE), dropout)
            network, info = load_network(checkpoint.folder, config, options.pooling)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise BackboneError(
                f"cannot be read as a text encoder: {error}",
                where=str(checkpoint.folder),
                expected="a Hugging Face encoder with config, fast tokenizer and safetensors weights",
                remedy="try `transformers.AutoModel.from_pretrained` on that folder; decoders are another family",
            ) from error
        if not getattr(self.tokenizer, "is_fast", False):
            raise BackboneError("has no fast tokenizer", where=str(checkpoint.folder), expected="tokenizer.json")
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
        self.network: Any = network
        self.fresh: frozenset[str] = frozenset(info["missing_keys"])
        self.final = final_linear(network) if options.pooling == "first" else ""
        if self.final:
            self.fresh -= {f"{self.final}.weight", f"{self.final}.bias"}
            self.width = int(network.get_submodule(self.final).in_features)
            network.set_submodule(self.final, nn.Identity())
        else:
            self.width = int(config.hidden_size)
            self.fresh = frozenset()
        self.layers_path, self.layers_count = find_layers(network, config)

    @property
    def limit(self) -> int:
        """The most tokens the network can read, special tokens included."""
        positions = int(getattr(self.network.config, "max_position_embeddings", 512) or 512)
        reserved = 2 if self.network.config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
        return max(8, min(positions - reserved, int(min(self.tokenizer.model_max_length, 8192))))

    @property
    def max_length(self) -> int:
        """Tokens read of a row."""
        return min(self.options.max_length or self.limit, self.limit)

    def encode(self, inputs: Sequence[Input], *, max_length: int | None = None) -> Encoding:
        """Turns texts into token ids.

        Args:
            inputs: One text a row.
            max_length: Tokens to keep, special tokens included; default the recipe's.

        Returns:
            The ragged encoding.
        """
        texts = [item.text for item in inputs]
        batch = self.tokenizer(
            texts, truncation=True, max_length=max_length or self.max_length, return_attention_mask=False,
            return_token_type_ids=False, return_special_tokens_mask=True,
        )  # fmt: skip
        unknown_id = self.tokenizer.unk_token_id
        ids = [np.asarray(row, dtype=np.int32) for row in batch["input_ids"]]
        special = batch["special_tokens_mask"]
        return Encoding(
            ids=ids,
            truncated=np.asarray([bool(item.overflowing) for item in batch.encodings or ()], dtype=np.bool_),
            unknown=np.asarray([int((row == unknown_id).sum()) for row in ids], dtype=np.int64),
            words=np.asarray([len(mask) - sum(mask) for mask in special], dtype=np.int64),
        )

    def collate(self, rows: Sequence[NDArray[np.int32]]) -> dict[str, Tensor]:
        """Pads rows to the longest of them.

        Args:
            rows: Token ids, ragged.

        Returns:
            `input_ids` and `attention_mask`, each `(B, T)` int64.
        """
        longest = max(len(row) for row in rows)
        pad = self.tokenizer.pad_token_id or 0
        ids = np.full((len(rows), longest), pad, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """One vector a row.

        Args:
            inputs: A collated batch, each `(B, T)`.

        Returns:
            `pooled` `(B, D)`.
        """
        if self.final:
            return self.network(**inputs).logits
        tokens = self.network(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1).to(tokens.dtype)
        return (tokens * mask).sum(1) / mask.sum(1).clamp(min=1)

    def attend(self, kernel: str) -> None:
        """Switches the attention kernel; the answers stay the same within rounding.

        Args:
            kernel: `sdpa` or `eager`.
        """
        base = self.network.get_base_model() if hasattr(self.network, "get_base_model") else self.network
        base.set_attn_implementation(kernel)

    def used(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters that the pooled vector depends on, by name."""
        for name, parameter in self.network.named_parameters():
            if self.final or not re.search(r"(^|\.)pooler\.", name):
                yield name, parameter

    def depth(self, name: str) -> int:
        """How far up a parameter is: 0 for embeddings, 1 to L for the layers, L + 1 above them."""
        match = re.search(rf"(^|\.){re.escape(self.layers_path)}\.(\d+)\.", name)
        if match:
            return int(match.group(2)) + 1
        return 0 if "embed" in name else self.layers_count + 1


@dataclass(frozen=True)
class Outline:
    """A checkpoint's network without its weights.

    Attributes:
        network: The encoder, on torch's meta device.
        layers_path: Module path of its stacked layers.
    """

    network: nn.Module
    layers_path: str


def outline(checkpoint: Checkpoint) -> Outline:
    """Builds the network from its config alone; takes no memory for weights.

    Args:
        checkpoint: Where the config is.

    Returns:
        The network and where its layers are.

    Raises:
        BackboneError: Transformers knows no encoder for that config, or it has no stack of layers.
    """
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, **SAFE)
        with torch.device("meta"):
            network = AutoModel.from_config(config)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BackboneError(
            f"cannot be built as a text encoder: {error}",
            where=str(checkpoint.folder),
            expected="config.json of a text encoder that transformers knows",
            remedy="check the folder with `transformers.AutoModel.from_pretrained`",
        ) from error
    path, _ = find_layers(network, config)
    return Outline(network, path)


def with_dropout(config: Any, dropout: float) -> Any:
    """Sets every dropout probability of a config; attention's is read from there at every forward pass."""
    for key, value in config.to_dict().items():
        if "dropout" in key and isinstance(value, int | float) and not isinstance(value, bool):
            setattr(config, key, dropout)
    return config


def load_network(folder: Path, config: Any, pooling: str) -> tuple[Any, dict[str, Any]]:
    """Loads the encoder alone, or with the family's own classification head for first-token pooling."""
    kind = AutoModel if pooling == "mean" else AutoModelForSequenceClassification
    torch.manual_seed(0)
    return kind.from_pretrained(
        folder, config=config, dtype=torch.float32, output_loading_info=True, use_safetensors=True,
        attn_implementation="sdpa", **SAFE,
    )  # fmt: skip


def final_linear(network: nn.Module) -> str:
    """The name of the layer that a family's classification head ends with."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return names[-1]


def find_layers(network: nn.Module, config: Any) -> tuple[str, int]:
    """The path and the number of the stacked layers.

    Args:
        network: The encoder.
        config: Its config, for `num_hidden_layers`.

    Returns:
        Module path and count.

    Raises:
        BackboneError: No module list of that length is there.
    """
    count = int(config.num_hidden_layers)
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, count
    raise BackboneError(f"no list of {count} layers in {type(network).__name__}", expected="a stack of layers")
