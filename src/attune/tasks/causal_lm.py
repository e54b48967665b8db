"""Causal language modelling: the next token of plain texts, each told from those before it (Radford et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attune.core.encoding import Encoding
from attune.core.packing import IGNORED, ids_of
from attune.core.recipe import Options
from attune.core.records import Alternative, Prediction
from attune.core.texts import FIRST
from attune.tasks.common import blocks
from attune.tasks.common.asked import Asked
from attune.tasks.common.drawn import DrawnScores, DrawnTask, Found, Rows, Trial
from attune.tasks.common.labelled import Labels
from attune.tasks.common.masking import Plan
from attune.tasks.common.vocabulary import Vocabulary, by_frequency
from attune.tasks.heads.registry import HEADS

SHOWN = 5
"""Tokens that are told of a text."""
AT_ONCE = 8
"""Texts that are read at once for an answer."""


class CausalLMOptions(Options):
    """How texts are put together."""

    name: Literal["causal_lm"] = "causal_lm"
    head: str = "own"
    """What tells the next token: the backbone's own language head."""
    between: Literal["line", "end", "nothing"] = "line"
    """What ends each text: a line break (where the tokenizer has none, its end token), the end token, or nothing."""


@dataclass(frozen=True)
class NextScores(DrawnScores):
    """How well the tokens of texts were foreseen.

    Attributes:
        characters: `(N,)` of each text, with the line break that ends it where there is one.
        bytes: `(N,)` the same in UTF-8.
        vocabulary: For the tokens' texts.
    """

    characters: NDArray[np.float64]
    bytes: NDArray[np.float64]
    vocabulary: Vocabulary
    names: ClassVar[tuple[str, ...]] = ("perplexity", "nats_per_character", "bits_per_byte", "next_accuracy")
    headline: ClassVar[tuple[str, ...]] = ("perplexity", "nats_per_character", "bits_per_byte", "next_accuracy")
    sums: ClassVar[tuple[str, ...]] = (*DrawnScores.sums, "characters", "bytes")

    def measure(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Perplexity of a token, nats of a character, bits of a byte, and accuracy, under weights `(R, N)`."""
        loss, right = self.means(weights)
        total = weights @ self.loss
        return {
            "perplexity": np.exp(loss),
            "nats_per_character": total / np.maximum(weights @ self.characters, 1e-12),
            "bits_per_byte": total / math.log(2) / np.maximum(weights @ self.bytes, 1e-12),
            "next_accuracy": right,
        }

    def words(self, value: Any) -> list[str]:
        """The texts of a row's tokens."""
        return self.vocabulary.texts_of(value)


class CausalLM(DrawnTask):
    """Tells every token of plain texts from those before it.

    Texts are put together in their order and cut into blocks that share one token, so that each token is asked for
    once: the last of a block is the first that the next one reads.

    Args:
        options: Validated options.
        words: The backbone's vocabulary, once the backbone is there.
    """

    Options: ClassVar[type[CausalLMOptions]] = CausalLMOptions
    summary: ClassVar[str] = "the next token of plain texts: pre-training and continued pre-training of causal networks"
    needs: ClassVar[frozenset[str]] = frozenset({"next_token"})
    features: ClassVar[str] = "generate"
    over: ClassVar[str] = "generate"
    metric_names: ClassVar[tuple[str, ...]] = NextScores.names
    cut: ClassVar[str] = "only the last {limit} tokens were read"
    limits: ClassVar[str] = "It says what is likely in texts like those it learned from, which need not be true."

    @property
    def plan(self) -> Plan:
        """Every token is asked for."""
        return Plan(share=1.0)

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """The backbone's own language head, with its loss."""
        del width, labels, dropout
        return HEADS.get(self.options.head)()

    def corrupted(
        self, ids: NDArray[np.int64], plan: Plan, draw: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """A block as it is, and of each token `(T,)` the one that follows; of the last none is known."""
        del plan, draw
        return ids, np.append(ids_of(ids)[1:], IGNORED).astype(np.int32)

    def strung(self, backbone: Any, rows: Rows) -> blocks.Lines:
        """Texts put together: lines of a token's id and the number of its text, after the token that texts begin with.

        Args:
            backbone: For its tokenizer.
            rows: The texts.

        Returns:
            `(T, 2)`.
        """
        inner = blocks.contents(self.whole(backbone, rows), words=False)
        end = ending(backbone.tokenizer, self.options.between)
        parts = [blocks.beside(np.append(row, end), number) for number, row in enumerate(inner.rows)]
        return np.concatenate([blocks.beside(beginning(backbone.tokenizer), -1), *parts])

    def blocks(self, backbone: Any, rows: Rows) -> Encoding:
        """Rows to learn from: texts put together and cut into blocks of the backbone's length."""
        found = blocks.overlapping(self.strung(backbone, rows)[:, :1], backbone.max_length)
        return blocks.encoded(found, backbone.tokenizer.unk_token_id, 0)

    def trial(self, backbone: Any, rows: Rows) -> Trial:
        """Every token of the rows, each of the row that it belongs to."""
        made = blocks.overlapping(self.strung(backbone, rows), backbone.max_length)
        targets = [np.append(block[1:, 0], IGNORED).astype(np.int32) for block in made]
        return Trial([block[:, 0] for block in made], targets, [np.append(block[1:, 1], -1) for block in made])

    def counted(self, backbone: Any, rows: Rows) -> NDArray[np.int64]:
        """How often each token follows another in rows `(V,)`."""
        return np.bincount(self.strung(backbone, rows)[1:, 0], minlength=len(self.known.special))

    def scores(self, name: str, rows: Rows, found: Found) -> NextScores:
        """What was answered, gathered by row."""
        texts = [row[FIRST] + ("\n" if self.options.between == "line" else "") for row in rows]
        characters = np.asarray([len(text) for text in texts], dtype=np.float64)
        size = np.asarray([len(text.encode()) for text in texts], dtype=np.float64)
        return NextScores.of(name, len(rows), found, characters=characters, bytes=size, vocabulary=self.known)

    def frequent(self, gold: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
        """The baseline that answers the most frequent token, with every token's frequency."""
        return by_frequency(gold, counts)

    def outputs_of(self, labels: Labels) -> int:
        """How many logits a token has: one a token of the vocabulary."""
        del labels
        return len(self.known.special)

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        del labels
        return f"Answers with the likeliest next token of a text, one of {len(self.known.special):,}"

    @torch.inference_mode()
    def tell(self, backbone: Any, ids: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
        """The likeliest tokens that follow texts.

        Args:
            backbone: What reads them.
            ids: Token ids of the texts, ragged.

        Returns:
            Of each the ids of the best S tokens, then their probabilities `(2S,)`; ids below 2^24 are exact.
        """
        training, device = backbone.training, next(backbone.parameters()).device
        backbone.eval()
        rows = [self.tail(backbone, row) for row in ids]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        found: dict[int, NDArray[np.float32]] = {}
        for at in range(0, len(order), AT_ONCE):
            batch = order[at : at + AT_ONCE]
            inputs = {name: value.to(device) for name, value in backbone.collate([rows[i] for i in batch]).items()}
            logits = backbone.logits(inputs)[torch.arange(len(batch)), inputs["attention_mask"].sum(1) - 1]
            best = logits.float().softmax(-1).topk(min(SHOWN, logits.shape[1]))
            values = torch.cat([best.indices.float(), best.values], -1).cpu().numpy()
            found |= dict(zip(batch, values, strict=True))
        backbone.train(training)
        return [found[index] for index in range(len(rows))]

    def tail(self, backbone: Any, row: NDArray[np.int64]) -> NDArray[np.int64]:
        """The end of a text as it was learned: after the token that texts begin with, within the backbone's length."""
        begin = beginning(backbone.tokenizer)
        inner = ids_of(row)[~self.known.special[ids_of(row)]]
        found = np.append(begin, inner[-(backbone.max_length - len(begin)) :])
        return found if len(found) else np.asarray([backbone.pad], dtype=np.int64)

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Tells the likeliest next token of texts.

        Args:
            asked: Rows with the best ids and their probabilities `(2S,)`.

        Returns:
            One prediction a row; the alternatives are the best tokens, spaces and line breaks as they are.
        """
        rows = zip(asked.outputs, asked.encoding.ids, asked.notices, strict=True)
        return [self.followed(values, len(ids), notices) for values, ids, notices in rows]

    def followed(self, values: NDArray[np.float32], length: int, notices: tuple[str, ...]) -> Prediction:
        """The answer to one text of so many tokens."""
        best, chances = np.split(values, 2)
        texts = [self.known.plainly(int(number)) for number in best]
        told = tuple(Alternative(text, float(chance)) for text, chance in zip(texts, chances, strict=True))
        if length > self.known.longest:
            notices = (*notices, self.cut.format(limit=self.known.longest))
        return Prediction(texts[0], float(chances[0]), told, notices, chances, (), float(chances[0] - chances[1]))


def beginning(tokenizer: Any) -> NDArray[np.int64]:
    """The token that texts begin with, so that the first token of a text can be asked for; none where there is none."""
    number = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return np.asarray([] if number is None else [number], dtype=np.int64)


def ending(tokenizer: Any, between: str) -> NDArray[np.int64]:
    """The tokens that end each text.

    Args:
        tokenizer: The backbone's.
        between: `line`, `end` or `nothing`.

    Returns:
        Ids `(E,)`.
    """
    found: list[int] = tokenizer("\n", add_special_tokens=False)["input_ids"] if between == "line" else []
    if between == "end" or (between == "line" and (not found or tokenizer.unk_token_id in found)):
        found = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return np.asarray(found, dtype=np.int64)
