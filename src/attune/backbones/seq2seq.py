"""Sequence-to-sequence networks, an encoder that reads and a decoder that writes: T5, BART, Marian, two encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

from attune.backbones import generating, networks
from attune.backbones.family import NOTHING, SPEECH, Family, FamilyOptions, mean, read
from attune.backbones.networks import Stack
from attune.backbones.scratch import WIDER, ScratchOptions
from attune.backbones.vocabulary import TokenizerOptions
from attune.core.decoding import Decoding, Told
from attune.core.packing import IGNORED, ids_of, pieces_of
from attune.errors import RecipeError

"""What stands for no token among labels; no loss is computed there."""


class Seq2SeqOptions(FamilyOptions):
    """A sequence-to-sequence network and how it reads."""

    family: Literal["seq2seq"] = "seq2seq"
    name: str = Field(min_length=1)
    """A folder or bundle relative to the data root, a Hugging Face name, or scratch."""
    pooling: Literal["mean", "first"] = "mean"
    """How the encoder's tokens become one vector: their mean, or the first token as it is."""
    scratch: ScratchOptions | None = None
    """The size of a backbone from scratch."""
    tokenizer: TokenizerOptions | None = None
    """A tokenizer trained on your own text, for a backbone from scratch."""


class Seq2Seq(Family):
    """A pretrained encoder and decoder with their tokenizer. Features are the encoder's; the decoder only generates.

    Where nothing is generated, the decoder is not there: no method moves it, and it takes no memory.
    """

    Options: ClassVar[type[FamilyOptions]] = Seq2SeqOptions
    provides: ClassVar[frozenset[str]] = frozenset(
        {
            "generate",
            "decoder",
            "tokens",
            "pooled",
            "linear_layers",
            "bias_terms",
            "pairs",
            "inputs_embeds",
            "key_value_prefix",
        }
    )
    summary: ClassVar[str] = "encoder and decoder: T5, BART, Marian, two encoders joined"
    kind: ClassVar[str] = "a sequence-to-sequence network"
    slow: ClassVar[bool] = True
    whole: ClassVar[bool] = False
    architectures: ClassVar[tuple[str, ...]] = ("bart", "marian", "t5")
    """What can be made from nothing, the usual one first."""
    maker: ClassVar[Any] = AutoModelForSeq2SeqLM
    """The transformers class of the whole network."""
    ends: ClassVar[tuple[str, str]] = ("$A {sep}", "$A {sep} $B:1 {sep}:1")

    @property
    def automatic(self) -> Any:
        """Encoder and decoder."""
        return AutoModelForSeq2SeqLM

    def plainly(self, name: str) -> str:
        """What makes the untuned network, as Python that needs only transformers."""
        return super().plainly(name) + ("" if self.speaks else ".get_encoder()")

    def load(self, folder: Path, config: Any) -> tuple[Any, frozenset[str]]:
        """Loads encoder and decoder, and keeps what is needed."""
        network, missing = networks.load(self.automatic, folder, config)
        if self.speaks:
            networks.whole(missing, folder)
            return network, NOTHING
        encoder = network.get_encoder()
        path = next(name for name, module in network.named_modules() if module is encoder)
        networks.whole(frozenset(name for name in missing if name.startswith(f"{path}.")), folder)
        return encoder, NOTHING

    @classmethod
    def expect(cls, config: Any) -> None:
        """Refuses nothing: what has no decoder, transformers refuses to load."""
        del config

    @classmethod
    def besides(cls, size: ScratchOptions) -> dict[str, Any]:
        """A decoder as large as the encoder; it begins with the padding token, and words have one table for all.

        Weights are drawn with the spread that keeps what goes through a layer as large as it was (Glorot & Bengio
        2010).
        """
        inner = size.feed_forward or WIDER * size.width
        return {
            "decoder_layers": size.layers, "decoder_attention_heads": size.heads, "encoder_ffn_dim": inner,
            "decoder_ffn_dim": inner, "num_decoder_layers": size.layers, "d_kv": size.width // size.heads,
            "decoder_start_token_id": 0, "forced_eos_token_id": None, "scale_embedding": True,
            "tie_word_embeddings": True, "init_std": size.width**-0.5,
        }  # fmt: skip

    @classmethod
    def reading(cls, config: Any) -> Any:
        """The config of the encoder."""
        return config.encoder if "encoder" in getattr(config, "sub_configs", {}) else config

    @classmethod
    def writing(cls, config: Any) -> Any:
        """The config of the decoder."""
        return config.decoder if "decoder" in getattr(config, "sub_configs", {}) else config

    @classmethod
    def written_positions(cls, config: Any) -> int | None:
        """The decoder's positions, where it has a number of them."""
        found = getattr(cls.writing(config), "max_position_embeddings", None)
        return None if found is None else int(found)

    @classmethod
    def written_layers(cls, config: Any) -> int:
        """Layers of the decoder."""
        own = cls.writing(config)
        named = [getattr(own, name, None) for name in ("num_decoder_layers", "decoder_layers")]
        return int(next((count for count in named if count is not None), networks.depth(own)))

    @classmethod
    def bare(cls, config: Any, needs: frozenset[str]) -> Any:
        """Encoder and decoder, or the encoder alone."""
        network = AutoModelForSeq2SeqLM.from_config(config)
        return network if needs & SPEECH else network.get_encoder()

    @classmethod
    def stacked(cls, network: Any, config: Any) -> tuple[Stack, ...]:
        """The layers of the encoder, and those of the decoder where it is there."""
        own = cls.reading(config)
        if not hasattr(network, "prepare_decoder_input_ids_from_labels"):
            return (networks.stack_of(network, network, own, networks.depth(own)),)
        written = networks.stack_of(network, network.get_decoder(), cls.writing(config), cls.written_layers(config))
        return networks.stack_of(network, network.get_encoder(), own, networks.depth(own)), written

    @classmethod
    def dimensions(cls, config: Any, needs: frozenset[str] = NOTHING) -> tuple[int, int]:
        """Layers and width that a config tells; the decoder's layers count where it is there."""
        layers, width = super().dimensions(config)
        return layers + (cls.written_layers(config) if needs & SPEECH else 0), width

    @classmethod
    def lacks(cls, config: Any, needs: frozenset[str] = NOTHING) -> frozenset[str]:
        """What the family provides and a network of this config does not."""
        heads = set(MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.values())
        outline = cls.outline(config, needs)
        uneven = {"key_value_prefix"} if len({stack.keys for stack in outline.stacks}) > 1 else NOTHING
        silent = {"generate"} if networks.speechless(config, heads) else NOTHING
        return networks.lacks(outline) | uneven | silent

    @property
    def reader(self) -> Any:
        """The encoder, whatever is wrapped around it."""
        network = generating.whole(self.network)
        return network.get_encoder() if self.speaks else network

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """One vector a row.

        Args:
            inputs: A collated batch, each `(B, T)`.

        Returns:
            `pooled` `(B, D)`: of the encoder's tokens.
        """
        tokens = self.tokens(inputs)
        return tokens[:, 0] if self.options.pooling == "first" else mean(tokens, inputs["attention_mask"])

    def encode_targets(self, texts: Sequence[str], *, max_length: int | None = None) -> list[NDArray[np.int64]]:
        """Token ids of texts to be written, by the target's own vocabulary where the tokenizer has two.

        Args:
            texts: What the decoder should say.
            max_length: Tokens to keep, special tokens included; default all.

        Returns:
            One int64 array a text.
        """
        cut: dict[str, Any] = {"truncation": True, "max_length": max_length} if max_length else {}
        batch = self.tokenizer(text_target=list(texts), return_attention_mask=False, **cut)
        return [np.asarray(row, dtype=np.int64) for row in batch["input_ids"]]

    def collate(self, rows: Sequence[NDArray[np.int64]]) -> dict[str, Tensor]:
        """Pads pieces as every family does; where texts are generated, every second piece of a row is written.

        Args:
            rows: Token ids, ragged, with types and pieces.

        Returns:
            As `Family.collate`, of all pieces; with a decoder of the pieces that are read `(B, S)`, and as `labels`
            `(B, T)` the one behind each, where rows have such. A row of two texts is two of the B.
        """
        if not self.speaks:
            return super().collate(rows)
        pieces = [pieces_of(row) for row in rows]
        written = [ids_of(piece) for parts in pieces for piece in parts[1::2]]
        batch = super().collate([piece for parts in pieces for piece in parts[::2]])
        return batch | ({"labels": self.collate_targets(written)} if written else {})

    def collate_targets(self, rows: Sequence[NDArray[np.int64]]) -> Tensor:
        """Labels `(B, T)` int64 of texts to be written, with -100 where a row has ended."""
        labels = np.full((len(rows), max(map(len, rows))), IGNORED, dtype=np.int64)
        for index, row in enumerate(rows):
            labels[index, : len(row)] = row
        return torch.from_numpy(labels)

    def logits(self, inputs: dict[str, Tensor]) -> Tensor:
        """What the decoder may say at each place, by the checkpoint's own language head.

        Args:
            inputs: A collated batch, each `(B, S)`, and either `labels` `(B, T)`, which are shifted by the network's
                own function, or `decoder_input_ids` `(B, T)`.

        Returns:
            `(B, T, V)`; those at place t are for label t.
        """
        network = generating.whole(self.network)
        given = read(inputs)
        if "decoder_input_ids" not in given:
            given["decoder_input_ids"] = network.prepare_decoder_input_ids_from_labels(given.pop("labels"))
        return network(**given, use_cache=False).logits

    def tell(
        self,
        rows: Sequence[NDArray[np.int64]],
        how: Decoding,
        *,
        at_once: int = 16,
        seeds: Sequence[Sequence[int]] = (),
    ) -> list[Told]:
        """Writes texts from texts, with a key-value cache; rows of like length are read together.

        Args:
            rows: Token ids of what is read, as `encode` gives them.
            how: Search or draw, and its bounds.
            at_once: Sequences in one batch.
            seeds: Of draws, for each row one a candidate; not given: by the row and the decoding's seed.

        Returns:
            For each row what was generated, with as many texts as candidates were asked for.

        Raises:
            DataError: A row is longer than the encoder's positions.
            RecipeError: More tokens are asked for than the decoder has positions.
        """
        generating.fit(rows, self.positions(self.network.config) - self.taken, how)
        places = self.written_positions(self.network.config)
        if places is not None and how.longest >= places:
            raise RecipeError(
                f"up to {how.longest} tokens are asked for", where="decoding",
                expected=f"at most {places - 1}, as the decoder has {places} positions", remedy="generate fewer tokens",
            )  # fmt: skip
        return generating.generate(self, rows, how, at_once=at_once, seeds=seeds)
