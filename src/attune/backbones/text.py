"""Text encoders: any Hugging Face encoder with a fast tokenizer, its pooling and its layers."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from attune.backbones.checkpoints import Checkpoint
from attune.backbones.language import own_head
from attune.core.encoding import Encoding
from attune.core.packing import ids_of, marks_of, pieces_of, types_of, with_types
from attune.core.recipe import Options
from attune.core.records import Input
from attune.errors import BackboneError

SAFE = {"local_files_only": True, "trust_remote_code": False}
FEWEST = 8
"""Tokens of text below which a backbone reads nothing worth reading."""


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
    provides: ClassVar[frozenset[str]] = frozenset(
        {
            "tokens",
            "pooled",
            "linear_layers",
            "bias_terms",
            "pairs",
            "inputs_embeds",
            "key_value_prefix",
            "masks",
            "both_sides",
        }
    )
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
        self.typed = reads_types(network)
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
        self.taken = 0
        self.kernels: dict[str, str] = {}

    @staticmethod
    def lacks(config: Any) -> frozenset[str]:
        """What the family provides and a network of this config does not, told from its class without weights.

        Args:
            config: The checkpoint's config.

        Returns:
            A part of `provides`.
        """
        bare = outline(config)
        network = bare.network
        missing: set[str] = set()
        if not any(name.endswith(".bias") for name, _ in network.get_submodule(bare.layers_path).named_parameters()):
            missing.add("bias_terms")
        if "inputs_embeds" not in inspect.signature(network.forward).parameters:
            missing.add("inputs_embeds")
        # a bottleneck makes attention narrower than the config's hidden size, by a width that only its code knows
        narrow = getattr(config, "true_hidden_size", config.hidden_size) != config.hidden_size
        if narrow or not getattr(network, "_supports_attention_backend", False):
            missing.add("key_value_prefix")
        return frozenset(missing)

    @property
    def limit(self) -> int:
        """The most tokens of a text the network can read, special tokens included and virtual ones not."""
        room = positions(self.network.config) - self.taken
        return max(FEWEST, min(room, int(min(self.tokenizer.model_max_length, 8192))))

    @property
    def max_length(self) -> int:
        """Tokens read of a row."""
        return min(self.options.max_length or self.limit, self.limit)

    def encode(self, inputs: Sequence[Input], *, max_length: int | None = None, placed: bool = False) -> Encoding:
        """Turns texts into token ids.

        Args:
            inputs: What to read; all of them pairs, or none. Of a pair that is too long the longer text is cut.
            max_length: Tokens to keep, special tokens included; default the recipe's.
            placed: Whether to tell where each token stands.

        Returns:
            The ragged encoding.
        """
        texts, seconds = [item.text for item in inputs], [item.pair for item in inputs if item.pair is not None]
        batch = self.tokenizer(
            texts, seconds or None, truncation="longest_first", max_length=max_length or self.max_length,
            return_attention_mask=False, return_token_type_ids=self.typed, return_special_tokens_mask=True,
        )  # fmt: skip
        return self._encoding(batch, placed=placed)

    def windows(self, inputs: Sequence[Input], *, overlap: int) -> tuple[Encoding, list[int]]:
        """Turns texts into token ids; a text that is too long is read in several windows, so that nothing is cut.

        Args:
            inputs: What to read; all of them pairs, or none. Of a pair the second is the one read in windows.
            overlap: Tokens that two neighbouring windows share.

        Returns:
            The encoding, a window an entry, with places; and how many windows each input has.
        """
        texts, seconds = [item.text for item in inputs], [item.pair for item in inputs if item.pair is not None]
        room = self.max_length - self.tokenizer.num_special_tokens_to_add(pair=bool(seconds))
        batch = self.tokenizer(
            texts, seconds or None, truncation="only_second" if seconds else "only_first", max_length=self.max_length,
            stride=max(0, min(overlap, room // 2 - 1)), return_overflowing_tokens=True, return_attention_mask=False,
            return_token_type_ids=self.typed, return_special_tokens_mask=True,
        )  # fmt: skip
        counts = np.bincount(batch["overflow_to_sample_mapping"], minlength=len(texts))
        found = self._encoding(batch, placed=True)
        return replace(found, truncated=np.zeros(len(found.ids), dtype=np.bool_)), [int(count) for count in counts]

    def _encoding(self, batch: Any, *, placed: bool) -> Encoding:
        unknown_id = self.tokenizer.unk_token_id
        ids = [np.asarray(row, dtype=np.int64) for row in batch["input_ids"]]
        special = batch["special_tokens_mask"]
        return Encoding(
            ids=[with_types(*row) for row in zip(ids, batch["token_type_ids"], strict=True)] if self.typed else ids,
            truncated=np.asarray([bool(item.overflowing) for item in batch.encodings or ()], dtype=np.bool_),
            unknown=np.asarray([int((row == unknown_id).sum()) for row in ids], dtype=np.int64),
            words=np.asarray([len(mask) - sum(mask) for mask in special], dtype=np.int64),
            longest=max(map(len, ids), default=0),
            places=[places_of(item) for item in batch.encodings] if placed else None,
        )

    def collate(self, rows: Sequence[NDArray[np.int64]]) -> dict[str, Tensor]:
        """Pads pieces to the longest of them; a row of several pieces becomes several sequences.

        Args:
            rows: Token ids, ragged, with types and pieces as `encode` packed them.

        Returns:
            `input_ids`, `attention_mask` and, where some are not zero, `token_type_ids` and `marks`; each `(B, T)`
            int64, with as many sequences B as the rows have pieces.
        """
        pieces = [piece for row in rows for piece in pieces_of(row)]
        longest = max(len(piece) for piece in pieces)
        pad = self.tokenizer.pad_token_id or 0
        ids = np.full((len(pieces), longest), pad, dtype=np.int64)
        types = np.zeros((len(pieces), longest), dtype=np.int64)
        marks = np.zeros((len(pieces), longest), dtype=np.int64)
        mask = np.zeros((len(pieces), longest), dtype=np.int64)
        for index, piece in enumerate(pieces):
            ids[index, : len(piece)] = ids_of(piece)
            types[index, : len(piece)] = types_of(piece)
            marks[index, : len(piece)] = marks_of(piece)
            mask[index, : len(piece)] = 1
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        batch |= {"token_type_ids": torch.from_numpy(types)} if types.any() else {}
        return batch | ({"marks": torch.from_numpy(marks)} if marks.any() else {})

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """One vector a row.

        Args:
            inputs: A collated batch, each `(B, T)`.

        Returns:
            `pooled` `(B, D)`.
        """
        if self.final:
            return self.network(**read(inputs)).logits
        tokens = self.tokens(inputs)
        mask = inputs["attention_mask"].unsqueeze(-1).to(tokens.dtype)
        return (tokens * mask).sum(1) / mask.sum(1).clamp(min=1)

    def tokens(self, inputs: dict[str, Tensor]) -> Tensor:
        """One vector a token.

        Args:
            inputs: A collated batch, each `(B, T)`.

        Returns:
            `tokens` `(B, T, D)`: the last layer's, whatever the pooling.
        """
        return self.network(**read(inputs)).last_hidden_state

    def language_head(self) -> dict[str, Tensor]:
        """The numbers of the checkpoint's own language head; empty where it holds none."""
        return own_head(self.checkpoint.folder, self.network.config)

    def attend(self, kernel: str) -> None:
        """Switches the attention kernel; the answers stay the same within rounding.

        Args:
            kernel: `sdpa` or `eager`.
        """
        base = self.network.get_base_model() if hasattr(self.network, "get_base_model") else self.network
        base.set_attn_implementation(self.kernels.get(kernel, kernel))

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


def read(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a network reads of a batch."""
    return {name: value for name, value in inputs.items() if name != "marks"}


def places_of(item: Any) -> NDArray[np.int64]:
    """Where the tokens of one encoding stand, as `Encoding.places` has it."""
    texts = [-1 if text is None else text for text in item.sequence_ids]
    words = [-1 if word is None else word for word in item.word_ids]
    found = np.column_stack([np.asarray(item.offsets, dtype=np.int64).reshape(-1, 2), words, texts])
    found[found[:, 3] < 0] = -1
    return found


def positions(config: Any) -> int:
    """The positions a network has for tokens, virtual ones included.

    RoBERTa and what is made after it count positions from the padding token's number on, as their code shows.

    Args:
        config: The checkpoint's config.

    Returns:
        A number of tokens.
    """
    count = int(getattr(config, "max_position_embeddings", 512) or 512)
    network = network_class(config)
    code = vars(sys.modules[network.__module__]) if network else {}
    shifted = any("create_position_ids_from_input_ids" in (name, *dir(value)) for name, value in code.items())
    return count - (config.pad_token_id + 1 if shifted and config.pad_token_id is not None else 0)


def network_class(config: Any) -> Any:
    """The class that transformers makes of a config, its module imported; nothing where it knows none."""
    found: Any = MODEL_MAPPING.get(type(config), None)
    return found[0] if isinstance(found, tuple) else found


@dataclass(frozen=True)
class Outline:
    """A checkpoint's network without its weights.

    Attributes:
        network: The encoder, on torch's meta device.
        layers_path: Module path of its stacked layers.
    """

    network: nn.Module
    layers_path: str


def outline(config: Any) -> Outline:
    """Builds a network from its config alone; takes no memory for weights.

    Args:
        config: The checkpoint's config.

    Returns:
        The network and where its layers are.

    Raises:
        BackboneError: Transformers knows no encoder for that config, or it has no stack of layers.
    """
    try:
        with torch.device("meta"):
            network = AutoModel.from_config(config)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BackboneError(
            f"cannot be built as a text encoder: {error}",
            where=str(config.name_or_path),
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


def reads_pairs(folder: Path) -> bool:
    """Whether a tokenizer puts a token between two texts, without which they would run into each other."""
    tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, **SAFE)
    return tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False)


def masks(folder: Path) -> bool:
    """Whether a tokenizer has a token that stands for a hidden one."""
    return AutoTokenizer.from_pretrained(folder, use_fast=True, **SAFE).mask_token is not None


def reads_types(network: Any) -> bool:
    """Whether a family tells the second text from the first by token types (Devlin et al. 2019).

    Told by the network alone, for not every tokenizer's config names what its network takes; which token has which type
    is the tokenizer's affair.
    """
    kinds = int(getattr(network.config, "type_vocab_size", 0) or 0)
    return kinds > 1 and "token_type_ids" in inspect.signature(network.forward).parameters


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
