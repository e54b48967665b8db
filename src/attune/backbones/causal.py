"""Causal language models: networks in which a token sees only those before it, GPT-2, Llama, Qwen and their like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from attune.backbones import chat, generating, networks
from attune.backbones.chat import Chat
from attune.backbones.family import NOTHING, SPEECH, Family, FamilyOptions, mean, read
from attune.backbones.scratch import ScratchOptions
from attune.backbones.vocabulary import TokenizerOptions
from attune.core.decoding import Decoding, Told


class CausalOptions(FamilyOptions):
    """A causal language model and how it reads."""

    family: Literal["causal"] = "causal"
    name: str = Field(min_length=1)
    """A folder or bundle relative to the data root, a Hugging Face name, or scratch."""
    pooling: Literal["last", "mean"] = "last"
    """How tokens become one vector: the last token, which has seen all others, or their mean."""
    scratch: ScratchOptions | None = None
    """The size of a backbone from scratch."""
    tokenizer: TokenizerOptions | None = None
    """A tokenizer trained on your own text, for a backbone from scratch."""


class Causal(Family):
    """A pretrained causal language model with its tokenizer."""

    Options: ClassVar[type[FamilyOptions]] = CausalOptions
    provides: ClassVar[frozenset[str]] = SPEECH | {
        "tokens", "pooled", "linear_layers", "bias_terms", "pairs", "inputs_embeds", "key_value_prefix",
    }  # fmt: skip
    summary: ClassVar[str] = "causal language models: GPT-2, Llama, Qwen and their like"
    kind: ClassVar[str] = "a causal language model"
    onward: ClassVar[bool] = True
    architectures: ClassVar[tuple[str, ...]] = ("gpt2", "llama", "qwen2")
    """What can be made from nothing, the usual one first."""
    maker: ClassVar[Any] = AutoModelForCausalLM
    """The transformers class of the whole network."""
    ends: ClassVar[tuple[str, str]] = ("$A", "$A {sep} $B:1")

    @classmethod
    def besides(cls, size: ScratchOptions) -> dict[str, Any]:
        """Words have one table, by which they are read and written."""
        del size
        return {"tie_word_embeddings": True}

    @property
    def automatic(self) -> Any:
        """The network, with its language head where something is generated."""
        return AutoModelForCausalLM if self.speaks else AutoModel

    def load(self, folder: Path, config: Any) -> tuple[Any, frozenset[str]]:
        """Loads the network; all of it must be there."""
        network, missing = networks.load(self.automatic, folder, config)
        networks.whole(missing, folder)
        return network, NOTHING

    @classmethod
    def bare(cls, config: Any, needs: frozenset[str]) -> Any:
        """The network, with its language head where something is generated."""
        return (AutoModelForCausalLM if needs & SPEECH else AutoModel).from_config(config)

    @classmethod
    def lacks(cls, config: Any, needs: frozenset[str] = NOTHING) -> frozenset[str]:
        """What the family provides and a network of this config does not."""
        heads = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
        return super().lacks(config, needs) | (SPEECH if networks.speechless(config, heads) else NOTHING)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """One vector a row.

        Args:
            inputs: A collated batch, each `(B, T)`, padded on the right.

        Returns:
            `pooled` `(B, D)`: the last real token's, or the mean.
        """
        tokens, mask = self.tokens(inputs), inputs["attention_mask"]
        if self.options.pooling == "mean":
            return mean(tokens, mask)
        return tokens[torch.arange(len(mask), device=mask.device), mask.sum(1) - 1]

    def tokens(self, inputs: dict[str, Tensor]) -> Tensor:
        """One vector a token.

        Args:
            inputs: A collated batch, each `(B, T)`.

        Returns:
            `tokens` `(B, T, D)`: the last layer's.
        """
        return self.reader(**read(inputs), use_cache=False).last_hidden_state

    def logits(self, inputs: dict[str, Tensor]) -> Tensor:
        """What may follow each token, by the checkpoint's own language head.

        Args:
            inputs: A collated batch, each `(B, T)`.

        Returns:
            `(B, T, V)`; those of a row's token t are for its token t + 1.
        """
        return generating.whole(self.network)(**read(inputs), use_cache=False).logits

    def prompt(self, messages: Sequence[Mapping[str, str]], *, answer: bool = False) -> Chat:
        """A conversation as token ids, with the tokens that the assistant says.

        Args:
            messages: Mappings with `role` (system, user, assistant) and `content`, in order.
            answer: Whether the assistant is asked to go on: the ids then end where its turn begins.

        Returns:
            The ids and the mask.

        Raises:
            DataError: The messages are in a wrong order, or the template has no place for them.
        """
        return chat.render(self.tokenizer, messages, answer=answer)

    def apart(self, text: str) -> str:
        """A text whose spelled special tokens are broken by a space."""
        return chat.apart(self.tokenizer, text, chat.special_of(self.tokenizer))

    def turn_ends(self) -> list[int]:
        """The token that ends a turn by the chat template: a checkpoint that was never tuned for conversations may name
        another one as the end of a text, and tuned on them writes this one."""
        return chat.turn_ends(self.tokenizer)

    def tell(
        self,
        rows: Sequence[NDArray[np.int64]],
        how: Decoding,
        *,
        at_once: int = 16,
        seeds: Sequence[Sequence[int]] = (),
    ) -> list[Told]:
        """Goes on from texts, with a key-value cache; rows of like length are read together, padded on the left.

        Args:
            rows: Token ids of what is there, ragged.
            how: Search or draw, and its bounds.
            at_once: Sequences in one batch.
            seeds: Of draws, for each row one a candidate; not given: by the row and the decoding's seed.

        Returns:
            For each row what was generated, with as many texts as candidates were asked for.

        Raises:
            DataError: A row with what is to follow is longer than the network's positions.
        """
        generating.fit(rows, self.positions(self.network.config) - self.taken - how.longest, how)
        return generating.generate(self, rows, how, at_once=at_once, seeds=seeds)
