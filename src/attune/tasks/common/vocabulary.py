"""What a task that asks for tokens knows of a backbone's vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class Vocabulary:
    """A backbone's tokens, V of them, and their vectors.

    Attributes:
        mask: Id of the mask token; −1 where there is none.
        mask_token: Its text.
        special: `(V,)` bool: tokens that stand for no text, unknown and unused ones among them.
        plain: The ids of all others.
        embedding: The vectors that the backbone reads tokens by; the live module.
        text_of: The text of a token, of its id.
        head: Reads the numbers of the checkpoint's own language head, by the names of the head's parameters; or none.
        plainly: The text of a token, of its id, with the spaces and line breaks that it holds.
        longest: Tokens that the backbone reads of a text.
    """

    mask: int
    mask_token: str
    special: NDArray[np.bool_]
    plain: NDArray[np.int64]
    embedding: nn.Embedding
    text_of: Callable[[int], str]
    head: Callable[[], Mapping[str, Tensor]] = dict[str, Tensor]
    plainly: Callable[[int], str] = str
    longest: int = 1

    @classmethod
    def of(cls, backbone: Any) -> Vocabulary:
        """The vocabulary of a backbone, whatever method was applied to it."""
        tokenizer, embedding = backbone.tokenizer, backbone.network.get_input_embeddings()
        special = np.ones(embedding.num_embeddings, dtype=np.bool_)
        special[: len(tokenizer)] = False
        special[[number for number in tokenizer.all_special_ids if number < len(special)]] = True
        return cls(
            mask=-1 if tokenizer.mask_token_id is None else int(tokenizer.mask_token_id),
            mask_token=tokenizer.mask_token or "",
            special=special,
            plain=np.flatnonzero(~special).astype(np.int64),
            embedding=embedding,
            text_of=lambda number: tokenizer.decode([number]).strip(),
            plainly=lambda number: tokenizer.decode([number]),
            longest=backbone.max_length,
            head=getattr(backbone, "language_head", dict[str, Tensor]),
        )

    def texts_of(self, numbers: Sequence[int]) -> list[str]:
        """The texts of some tokens."""
        return [self.text_of(int(number)) for number in numbers]


def by_frequency(gold: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Answers of what knows only how frequent tokens are: the most frequent one, one added to each count.

    Args:
        gold: `(M,)` the right tokens.
        counts: `(V,)` how often each token occurs in the training rows.

    Returns:
        The answers `(M,)`, and their losses in nats `(M,)`.
    """
    shares = (counts + 1) / (counts.sum() + len(counts))
    return np.full(len(gold), int(np.argmax(counts))), -np.log(shares[gold])
