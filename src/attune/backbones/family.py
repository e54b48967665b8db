"""What every family of text backbones shares: loading a checkpoint, reading texts, knowing its own layers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as transformers_logging

from attune.backbones import networks
from attune.backbones.candidates import Candidates
from attune.backbones.checkpoints import Checkpoint
from attune.backbones.networks import SAFE, Outline, Stack
from attune.core.decoding import Decoding, Told
from attune.core.encoding import Encoding
from attune.core.packing import ids_of, marks_of, pieces_of, types_of, with_types
from attune.core.records import Input
from attune.errors import BackboneError

FEWEST = 8
"""Tokens of text below which a backbone reads nothing worth reading."""
NOTHING: frozenset[str] = frozenset()
SPEECH = frozenset({"next_token", "generate"})
"""What only a network with its language head does."""


SPACE = re.compile(r"\s")


class FamilyOptions(Candidates):
    """What every family's options have."""

    max_length: int = Field(0, ge=0)
    """Tokens read of a row. 0: the longest training row, rounded up, within what the backbone can read."""
    max_unknown: float = Field(0.05, ge=0, le=1)
    """Share of unknown tokens among the training rows above which a run stops."""
    sha256: str = ""
    """SHA-256 of the weights; written into the resolved recipe and verified when present."""


class Family(nn.Module, ABC):
    """A pretrained network with its tokenizer. Of the network only those parts are there that something needs.

    Args:
        checkpoint: Where config, tokenizer and weights are.
        options: Name, pooling and length.
        dropout: Dropout probability inside the network, in place of the checkpoint's own.
        config_folder: Where config and tokenizer are read from, if not from the checkpoint (a bundle's copy).
        needs: What task, head, method and objective need of it. With `next_token` or `generate` the network has its
            language head, and all that it takes to generate moves; without, only what gives features is there.

    Raises:
        BackboneError: The checkpoint cannot be read as one of this family.
    """

    Options: ClassVar[type[FamilyOptions]]
    provides: ClassVar[frozenset[str]]
    summary: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    """What a checkpoint of this family is, in words."""
    onward: ClassVar[bool] = False
    """Whether a token sees only itself and the tokens before it."""
    slow: ClassVar[bool] = False
    """Whether a tokenizer that is not a fast one will do."""
    exchanges: ClassVar[bool] = False
    """Whether a network can be given another vocabulary."""
    ends: ClassVar[tuple[str, str]] = ("{cls} $A {sep}", "{cls} $A {sep} $B:1 {sep}:1")
    """What a tokenizer of one's own makes of one text and of two."""
    whole: ClassVar[bool] = True
    """Whether what gives features is a network that transformers' AutoModel makes of a folder, and no part of one."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: Any,
        *,
        dropout: float = 0.0,
        config_folder: Path | None = None,
        needs: frozenset[str] = NOTHING,
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.options = options
        self.speaks = bool(needs & SPEECH)
        source = config_folder or checkpoint.folder
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(source, use_fast=True, **SAFE)
            config = networks.with_dropout(AutoConfig.from_pretrained(source, **SAFE), dropout)
            self.expect(config)
            network, missing = self.load(checkpoint.folder, config)
        except (OSError, ValueError, KeyError, RuntimeError, AttributeError, ImportError, SafetensorError) as error:
            raise self.unreadable(error) from error
        if not getattr(self.tokenizer, "is_fast", False) and not self.slow:
            raise BackboneError("has no fast tokenizer", where=str(checkpoint.folder), expected="tokenizer.json")
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
        self.network: Any = network
        self.fresh: frozenset[str] = missing
        self.final = ""
        """The name of the linear map that a family's own classification head ended with; empty where it has none."""
        self.typed = networks.reads_types(network)
        self.width = networks.width(self.reading(config))
        self.tables = networks.tables(network)
        self.stacks = self.stacked(network, config)
        self.taken = 0
        self.kernels: dict[str, str] = {} if networks.has_sdpa(config) else {"sdpa": "eager"}

    def unreadable(self, error: Exception) -> BackboneError:
        """What is said where transformers could not make the network."""
        return BackboneError(
            f"cannot be read as {self.kind}: {error}",
            where=str(self.checkpoint.folder),
            expected=f"{self.kind} with config, tokenizer files and safetensors weights",
            remedy="try `transformers.AutoModel.from_pretrained` on it; `attune show matrix` names the other families",
        )

    @abstractmethod
    def load(self, folder: Path, config: Any) -> tuple[Any, frozenset[str]]:
        """Loads the parts of the network that are needed.

        Args:
            folder: The checkpoint's.
            config: Its config, dropout set.

        Returns:
            The network, in float32, and the names of the parameters that the checkpoint does not hold.
        """

    @classmethod
    def expect(cls, config: Any) -> None:
        """Refuses a config that is of another family.

        Args:
            config: The checkpoint's config.

        Raises:
            BackboneError: It is that of an encoder and a decoder.
        """
        if config.is_encoder_decoder:
            raise BackboneError(
                f"cannot be read as {cls.kind}: it is an encoder and a decoder",
                where=str(config.name_or_path),
                expected=cls.kind,
                remedy='set backbone.family = "seq2seq", or name another backbone',
            )

    @classmethod
    def besides(cls, size: Any) -> dict[str, Any]:
        """What a config of a network from scratch says besides what all configs say.

        Args:
            size: How large.

        Returns:
            Values by the config's own names.
        """
        del size
        return {}

    @classmethod
    def reading(cls, config: Any) -> Any:
        """The config of what reads a text; a part of a checkpoint's config where that is made of several."""
        return config

    @classmethod
    @abstractmethod
    def bare(cls, config: Any, needs: frozenset[str]) -> Any:
        """The needed parts of the network, without weights, on the device that torch is told of."""

    @classmethod
    def stacked(cls, network: Any, config: Any) -> tuple[Stack, ...]:
        """The layers of a network, in the order in which they are run."""
        return (networks.stack_of(network, network, cls.reading(config), networks.depth(cls.reading(config))),)

    @classmethod
    def outline(cls, config: Any, needs: frozenset[str] = NOTHING) -> Outline:
        """Builds a network from its config alone; takes no memory for weights.

        Args:
            config: The checkpoint's config.
            needs: What is needed of the network.

        Returns:
            The network and where its layers are.

        Raises:
            BackboneError: Transformers knows no such network for that config, or it has no stack of layers.
        """
        cls.expect(config)
        try:
            with torch.device("meta"):
                network = cls.bare(config, needs)
        except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
            raise BackboneError(
                f"cannot be built as {cls.kind}: {error}",
                where=str(config.name_or_path),
                expected=f"config.json of {cls.kind} that transformers knows",
                remedy="check the folder with `transformers.AutoModel.from_pretrained`",
            ) from error
        return Outline(network, cls.stacked(network, config))

    @classmethod
    def dimensions(cls, config: Any, needs: frozenset[str] = NOTHING) -> tuple[int, int]:
        """Layers and width that a config tells."""
        del needs
        cls.expect(config)
        return networks.depth(cls.reading(config)), networks.width(cls.reading(config))

    @classmethod
    def positions(cls, config: Any) -> int:
        """The positions a network has for tokens of a text, virtual ones included."""
        return networks.positions(cls.reading(config))

    @classmethod
    def written_positions(cls, config: Any) -> int | None:
        """The positions a network has for tokens that it writes; nothing where they have no end, or it writes none."""
        del config
        return None

    @classmethod
    def lacks(cls, config: Any, needs: frozenset[str] = NOTHING) -> frozenset[str]:
        """What the family provides and a network of this config does not, told from its class without weights.

        Args:
            config: The checkpoint's config.
            needs: What is needed of the network.

        Returns:
            A part of `provides`.
        """
        return networks.lacks(cls.outline(config, needs))

    def plainly(self, name: str) -> str:
        """What makes the untuned network, as Python that needs only transformers.

        Args:
            name: Where its checkpoint is, for whoever reads it.

        Returns:
            An expression.
        """
        return f"{self.automatic.__name__}.from_pretrained({name!r})"

    @property
    @abstractmethod
    def automatic(self) -> Any:
        """The one of transformers' auto classes that makes the network."""

    def tell(
        self,
        rows: Sequence[NDArray[np.int64]],
        how: Decoding,
        *,
        at_once: int = 16,
        seeds: Sequence[Sequence[int]] = (),
    ) -> list[Told]:
        """Generates texts of rows; a family that cannot does not provide `generate`."""
        raise NotImplementedError(f"{self.kind} generates nothing")

    def generate(
        self, rows: Sequence[NDArray[np.int64]], how: Decoding, *, at_once: int = 16
    ) -> list[list[NDArray[np.int64]]]:
        """The texts alone of what `tell` tells, best first, each as token ids."""
        return [told.texts for told in self.tell(rows, how, at_once=at_once)]

    @property
    def reader(self) -> Any:
        """The module that reads a text and gives its last hidden states, whatever is wrapped around it."""
        network = self.network
        base = network.get_base_model() if hasattr(network, "get_base_model") else network
        return base.base_model

    @property
    def layers_count(self) -> int:
        """Layers of all stacks."""
        return sum(stack.count for stack in self.stacks)

    @property
    def pad(self) -> int:
        """What fills a row up: the padding token, else the end token, which the mask leaves out just as well.

        A padding token that was added to the tokenizer, and that the network has no vector for, is none.
        """
        rows = self.reader.get_input_embeddings().num_embeddings
        for number in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if number is not None and number < rows:
                return int(number)
        return 0

    @property
    def stops(self) -> tuple[int, ...]:
        """The tokens that end a text that is written: those that the checkpoint names, then the tokenizer's own."""
        named = getattr(getattr(self.network, "generation_config", None), "eos_token_id", None)
        own = [self.tokenizer.eos_token_id, *self.turn_ends()]
        rows = self.reader.get_input_embeddings().num_embeddings
        found = [*(named if isinstance(named, list) else [named]), *(end for end in own if end is None or end < rows)]
        return tuple(int(end) for end in dict.fromkeys(found) if end is not None)

    def turn_ends(self) -> list[int]:
        """The tokens that end a turn of a conversation; none where the family holds none."""
        return []

    @property
    def limit(self) -> int:
        """The most tokens of a text the network can read, special tokens included and virtual ones not."""
        room = self.positions(self.network.config) - self.taken
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
            The ragged encoding. A text of no token at all is read as the one that pads.
        """
        texts, seconds = [item.text for item in inputs], [item.pair for item in inputs if item.pair is not None]
        longest = max_length or self.max_length
        batch = self.tokenizer(
            texts, seconds or None, truncation="longest_first", max_length=longest,
            return_attention_mask=False, return_token_type_ids=self.typed, return_special_tokens_mask=True,
        )  # fmt: skip
        read = list(zip_longest(texts, seconds)) if placed else None
        return replace(self._encoding(batch, read), truncated=self._truncated(batch, texts, seconds, longest))

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
        read = [(texts[row], seconds[row] if seconds else None) for row in batch["overflow_to_sample_mapping"]]
        return self._encoding(batch, read), [int(count) for count in counts]

    def _encoding(self, batch: Any, read: Sequence[tuple[str, str | None]] | None) -> Encoding:
        """What a tokenizer gave, with places in the texts where those are given; nothing is called cut."""
        unknown_id = self.tokenizer.unk_token_id
        ids = [np.asarray(row or [self.pad], dtype=np.int64) for row in batch["input_ids"]]
        special = batch["special_tokens_mask"]
        return Encoding(
            ids=[with_types(*row) for row in zip(ids, batch["token_type_ids"], strict=True)] if self.typed else ids,
            truncated=np.zeros(len(ids), dtype=np.bool_),
            unknown=np.asarray([int((row == unknown_id).sum()) for row in ids], dtype=np.int64),
            words=np.asarray([len(mask) - sum(mask) for mask in special], dtype=np.int64),
            longest=max(map(len, ids), default=0),
            places=None
            if read is None
            else [places_of(item, both) for item, both in zip(batch.encodings, read, strict=True)],
        )

    def _truncated(self, batch: Any, texts: list[str], seconds: list[str], longest: int) -> NDArray[np.bool_]:
        """Which rows were cut `(N,)`; a tokenizer that is not fast does not tell, and reads them again."""
        if batch.encodings is not None:
            return np.asarray([bool(item.overflowing) for item in batch.encodings], dtype=np.bool_)
        whole = self.tokenizer(texts, seconds or None, return_attention_mask=False, return_token_type_ids=False)
        return np.asarray([len(row) > longest for row in whole["input_ids"]], dtype=np.bool_)

    def collate(self, rows: Sequence[NDArray[np.int64]]) -> dict[str, Tensor]:
        """Pads pieces on the right to the longest of them; a row of several pieces becomes several sequences.

        Args:
            rows: Token ids, ragged, with types and pieces as `encode` packed them.

        Returns:
            `input_ids`, `attention_mask` and, where some are not zero, `token_type_ids` and `marks`; each `(B, T)`
            int64, with as many sequences B as the rows have pieces; and, where a row has several, `rows` `(B,)`: the
            row that each is of.
        """
        parted = [pieces_of(row) for row in rows]
        pieces = [piece for row in parted for piece in row]
        longest = max(len(piece) for piece in pieces)
        ids = np.full((len(pieces), longest), self.pad, dtype=np.int64)
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
        if len(pieces) > len(rows):
            batch["rows"] = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([*map(len, parted)]))
        return batch | ({"marks": torch.from_numpy(marks)} if marks.any() else {})

    @abstractmethod
    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """One vector a row.

        Args:
            inputs: A collated batch, each `(B, T)`.

        Returns:
            `pooled` `(B, D)`.
        """

    def tokens(self, inputs: dict[str, Tensor]) -> Tensor:
        """One vector a token.

        Args:
            inputs: A collated batch, each `(B, T)`.

        Returns:
            `tokens` `(B, T, D)`: the last layer's, whatever the pooling.
        """
        return self.reader(**read(inputs)).last_hidden_state

    def both(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """One vector a row and one a token, in one pass.

        Args:
            inputs: A collated batch, each `(B, T)`.

        Returns:
            `pooled` `(B, D)` and `tokens` `(B, T, D)`.
        """
        kept: list[Tensor] = []
        hook = self.reader.register_forward_hook(lambda _module, _inputs, output: kept.append(output.last_hidden_state))
        try:
            return {"pooled": self(inputs), "tokens": kept[0]}
        finally:
            hook.remove()

    def attend(self, kernel: str) -> None:
        """Switches the attention kernel; the answers stay the same within rounding.

        Args:
            kernel: `sdpa` or `eager`; a network that has no sdpa keeps to eager.
        """
        base = self.network.get_base_model() if hasattr(self.network, "get_base_model") else self.network
        base.set_attn_implementation(self.kernels.get(kernel, kernel))

    def used(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters that what is asked for depends on, by name; positions that are sines are none (Marian's)."""
        sines = {name for name, module in self.network.named_modules() if "Sinusoidal" in type(module).__name__}
        for name, parameter in self.network.named_parameters():
            if name.rpartition(".")[0] in sines:
                continue
            if self.final or not re.search(r"(^|\.)pooler\.", name):
                yield name, parameter

    def depth(self, name: str) -> int:
        """How far up a parameter is: 0 for embeddings, 1 to L for the layers of all stacks, L + 1 above them.

        What follows a stack and comes before the next one, as an encoder's last norm, goes with the stack's top layer.
        """
        return networks.place(name, self.stacks, self.tables)


def mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean of a row's tokens.

    Args:
        tokens: `(B, T, D)`.
        mask: `(B, T)`, one where there is a token.

    Returns:
        `(B, D)`.
    """
    weight = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weight).sum(1) / weight.sum(1).clamp(min=1)


def read(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a network reads of a batch."""
    return {name: value for name, value in inputs.items() if name not in ("marks", "rows")}


def places_of(item: Any, read: tuple[str, str | None]) -> NDArray[np.int64]:
    """Where the tokens of one encoding stand, as `Encoding.places` has it.

    Args:
        item: What the tokenizer gave.
        read: The text, and the second one of a pair.

    Returns:
        `(T, 4)`; space that a tokenizer of bytes counts to the word behind it is left out.
    """
    if not item.ids:
        return np.full((1, 4), -1, dtype=np.int64)
    texts = [-1 if text is None else text for text in item.sequence_ids]
    words = [-1 if word is None else word for word in item.word_ids]
    found = np.column_stack([np.asarray(item.offsets, dtype=np.int64).reshape(-1, 2), words, texts])
    found[found[:, 3] < 0] = -1
    for number, text in enumerate(read):
        blank = np.zeros(len(text or "") + 1, dtype=np.bool_)
        blank[[space.start() for space in SPACE.finditer(text or "")]] = True
        late = np.flatnonzero(found[:, 3] == number)
        while len(late := late[blank[found[late, 0]] & (found[late, 1] - found[late, 0] > 1)]):
            found[late, 0] += 1
    return found
