"""Denoising: spans of plain texts are hidden from the encoder and written by the decoder (T5 and BART)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from attune.core.decoding import Decoding
from attune.core.encoding import Encoding
from attune.core.form import Form
from attune.core.packing import IGNORED, as_pieces, ids_of, pieces_of
from attune.core.recipe import Options
from attune.core.records import Prediction
from attune.tasks.common import blocks
from attune.tasks.common.asked import Asked
from attune.tasks.common.drawn import TRIAL_SEED, DrawnTask, Found, Rows, Trial
from attune.tasks.common.labelled import Labels
from attune.tasks.common.masked_scores import MaskedScores
from attune.tasks.common.masking import Plan
from attune.tasks.common.vocabulary import Vocabulary, by_frequency
from attune.tasks.heads.registry import HEADS

Ids = NDArray[np.int64]
NUMBERED = re.compile(r"^(\D+)(\d+)(\D*)$")
TRIAL_SPAN = 3.0
SHOWN = 5
"""Probabilities of a written text's first token that are told."""


class DenoisingOptions(Options):
    """Which spans are hidden in training; figures are always of 15 % in spans of three on average."""

    name: Literal["denoising"] = "denoising"
    head: str = "own"
    """What tells the hidden tokens: the backbone's own language head."""
    noise_share: float = Field(0.15, gt=0, lt=1)
    """Share of the tokens that are hidden, drawn anew at every step (T5 has 0.15, BART 0.3)."""
    span: float = Field(3.0, ge=1, le=64)
    """Tokens of a hidden span on average."""


@dataclass(frozen=True)
class Torn:
    """A block with spans hidden.

    Attributes:
        source: `(S,)` what the encoder reads.
        target: `(T,)` what the decoder writes.
        origin: `(T,)` of each token written its place in the block where it was hidden, else −1.
    """

    source: Ids
    target: Ids
    origin: Ids


class Denoising(DrawnTask):
    """Writes what was hidden of plain texts.

    Where the tokenizer has numbered tokens (T5's), each hidden span is one of them, and they are written with the spans
    (Raffel et al. 2020). Else each is one mask token, and the whole text is written (BART's infilling, Lewis et al.
    2020).

    Args:
        options: Validated options.
        words: The backbone's vocabulary, once the backbone is there.
        marks: The numbered tokens in order, or the one mask.
        tokenizer: The backbone's, to decode by.
    """

    Options: ClassVar[type[DenoisingOptions]] = DenoisingOptions
    summary: ClassVar[str] = "hidden spans of plain texts, written by the decoder: pre-training of seq2seq networks"
    needs: ClassVar[frozenset[str]] = frozenset({"generate", "decoder"})
    features: ClassVar[str] = "generate"
    over: ClassVar[str] = "generate"
    metric_names: ClassVar[tuple[str, ...]] = MaskedScores.names
    limits: ClassVar[str] = "It says what is likely in texts like those it learned from, which need not be true."

    def __init__(
        self,
        options: DenoisingOptions,
        words: Vocabulary | None = None,
        marks: Sequence[int] = (),
        tokenizer: Any = None,
    ) -> None:
        super().__init__(options, words)
        self.marks = tuple(marks)
        self.tokenizer = tokenizer

    def on(self, backbone: Any) -> Denoising:
        """This task with the vocabulary of a backbone and the tokens that stand for what is hidden."""
        return type(self)(self.options, Vocabulary.of(backbone), stand_ins(backbone.tokenizer), backbone.tokenizer)

    @staticmethod
    def lacks(tokenizer: Any) -> str:
        """Why a tokenizer will not do, in a clause; empty where it will."""
        if not getattr(tokenizer, "is_fast", False):
            return "its tokenizer is no fast one, and does not tell where a text's tokens are"
        return "" if stand_ins(tokenizer) else "its tokenizer has neither numbered special tokens nor a mask token"

    @property
    def plan(self) -> Plan:
        """How many tokens are hidden in training."""
        return Plan(self.options.noise_share, least=True)

    @property
    def form(self) -> Form:
        """A text, in which something must be hidden to be a question."""
        return Form(self.fields, labelled=False, asks=self.lacks_mark if self.marks else None)

    def lacks_mark(self, text: str) -> str:
        """Why a text asks nothing; empty where it holds a token that stands for what is hidden."""
        mark = self.tokenizer.convert_ids_to_tokens(self.marks[0])
        return "" if mark in text else f"its text holds no {mark}: put it where something is to be filled in"

    def questions(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Texts as questions: the word in the middle of each is hidden."""
        mark = self.tokenizer.convert_ids_to_tokens(self.marks[0])
        return [{**row, "text": asking(row["text"], mark)} for row in rows]

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """The backbone's own language head, with its loss."""
        del width, labels, dropout
        return HEADS.get(self.options.head)()

    def read(self, backbone: Any, rows: Rows) -> Encoding:
        """Rows to answer as token ids, ragged; of a long text the beginning."""
        return backbone.encode([item for row in rows for item in self.inputs(row)])

    def blocks(self, backbone: Any, rows: Rows) -> Encoding:
        """Rows to learn from: blocks of texts, each twice: to be read, and to be written."""
        found = super().blocks(backbone, rows)
        return Encoding([as_pieces([row, row]) for row in found.ids], found.truncated, found.unknown, found.words,
                        found.longest)  # fmt: skip

    def corrupted(self, ids: Ids, plan: Plan, draw: np.random.Generator) -> tuple[Ids, NDArray[np.int32]]:
        """Hides spans of a block: both pieces `(S + T,)`, and the targets `(T,)` of what is written."""
        torn = self.torn(ids_of(pieces_of(ids)[0]), plan.share, self.options.span, draw)
        return as_pieces([torn.source, torn.target]), torn.target.astype(np.int32)

    def draw(
        self, rows: Sequence[Ids], numbers: Sequence[int], moment: tuple[int, ...]
    ) -> tuple[list[Ids], list[NDArray[np.int32]]]:
        """As every such task draws; of the piece that is read nothing is asked."""
        drawn, written = super().draw(rows, numbers, moment)
        targets = [
            part
            for row, target in zip(drawn, written, strict=True)
            for part in (np.full(len(row) - len(target), IGNORED, dtype=np.int32), target)
        ]
        return drawn, targets

    def torn(self, ids: Ids, share: float, span: float, draw: np.random.Generator) -> Torn:
        """Hides spans of a block.

        Args:
            ids: `(T,)` plain ids, special tokens at both ends.
            share: Of the tokens that is hidden.
            span: Tokens of a span on average.
            draw: Source of chance.

        Returns:
            What is read and what is written.
        """
        able = ~self.known.special[ids]
        numbered = len(self.marks) > 1
        gone = hidden_spans(able, share, span, draw, len(self.marks) - 1 if numbered else len(ids))
        starts = np.flatnonzero(gone & ~np.append(False, gone[:-1]))
        marks = np.asarray([self.marks[at if numbered else 0] for at in range(len(starts))], dtype=np.int64)
        source = ids.copy()
        source[starts] = marks
        first = np.isin(np.arange(len(ids)), starts)
        places = np.arange(len(ids))
        if not numbered:
            return Torn(source[~gone | first], ids, np.where(gone, places, -1))
        parts = [(ids[at:end], places[at:end]) for at, end in zip(starts, ends_of(gone, starts), strict=True)]
        edge = ids[np.flatnonzero(able)[-1] + 1 :] if able.any() else ids[:0]
        last = np.append(self.marks[len(starts)], edge)
        target = np.concatenate([np.append(mark, part) for mark, (part, _) in zip(marks, parts, strict=True)] + [last])
        origin = np.concatenate([np.append(-1, at) for _, at in parts] + [np.full(len(last), -1)])
        return Torn(source[~gone | first], target.astype(np.int64), origin.astype(np.int64))

    def trial(self, backbone: Any, rows: Rows) -> Trial:
        """Rows packed, with spans hidden that each block's own tokens decide; the hidden tokens alone are asked for."""
        inner = blocks.contents(self.whole(backbone, rows), words=False)
        lines = [blocks.beside(row, number) for number, row in enumerate(inner.rows)]
        before, after = (blocks.beside(edge, -1) for edge in (inner.before, inner.after))
        found = Trial([], [], [])
        for block in blocks.cut(lines, before, after, backbone.max_length):
            chance = np.random.default_rng([TRIAL_SEED, zlib.crc32(block[:, 0].tobytes())])
            torn = self.torn(block[:, 0], 0.15, TRIAL_SPAN, chance)
            asked = torn.origin >= 0
            found.ids.append(as_pieces([torn.source, torn.target]))
            found.targets.append(np.where(asked, torn.target, IGNORED).astype(np.int32))
            found.owners.append(np.where(asked, block[torn.origin, 1], -1))
        return found

    def scores(self, name: str, rows: Rows, found: Found) -> MaskedScores:
        """What was answered, gathered by row."""
        return MaskedScores.of(name, len(rows), found, vocabulary=self.known)

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
        return (
            "Answers with what belongs in the hidden places" if len(self.marks) > 1 else "Answers with the whole text"
        )

    @torch.inference_mode()
    def tell(self, backbone: Any, ids: Sequence[Ids]) -> list[tuple[str, NDArray[np.float32]]]:
        """Writes what is hidden of texts by greedy search.

        Args:
            backbone: What reads and writes.
            ids: Token ids of the texts, ragged.

        Returns:
            Of each the text written, and the S largest probabilities of its first token.
        """
        written = [texts[0] for texts in backbone.generate(ids, Decoding(longest=max(1, backbone.max_length - 2)))]
        told: list[tuple[str, NDArray[np.float32]]] = []
        for row, text in zip(ids, written, strict=True):
            pieces = as_pieces([row, text if len(text) else np.asarray([backbone.pad])])
            device = next(backbone.parameters()).device
            inputs = {name: value.to(device) for name, value in backbone.collate([pieces]).items()}
            best = backbone.logits(inputs)[0, 0].float().softmax(-1).topk(SHOWN).values.cpu().numpy()
            told.append((self.tokenizer.decode(text.tolist(), skip_special_tokens=True).strip(), best))
        return told

    def predictions(self, asked: Asked) -> list[Prediction]:
        """What was written, as answers; no confidence is made up."""
        return [
            Prediction(text, notices=notices, probabilities=best, margin=float(best[0] - best[1]))
            for (text, best), notices in zip(asked.outputs, asked.notices, strict=True)
        ]


def asking(text: str, mark: str) -> str:
    """One text as a question; as it is where it is one already."""
    words = text.split()
    if mark in text or not words:
        return text
    return " ".join([*words[: len(words) // 2], mark, *words[len(words) // 2 + 1 :]])


def stand_ins(tokenizer: Any) -> list[int]:
    """The tokens that stand for what is hidden.

    Args:
        tokenizer: A backbone's.

    Returns:
        Ids of the special tokens that differ by a number alone, in order of that number; where there are not several of
        those, of the mask token; nothing where there is none.
    """
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for token, number in zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True):
        if found := NUMBERED.match(token):
            groups.setdefault((found[1], found[3]), []).append((int(found[2]), int(number)))
    largest = max(groups.values(), key=len, default=[])
    if len(largest) > 1:
        return [number for _, number in sorted(largest)]
    return [] if tokenizer.mask_token_id is None else [int(tokenizer.mask_token_id)]


def hidden_spans(
    able: NDArray[np.bool_], share: float, span: float, draw: np.random.Generator, most: int
) -> NDArray[np.bool_]:
    """Draws spans until a share of the tokens is hidden.

    Args:
        able: `(T,)` tokens that may be hidden.
        share: Of them.
        span: Mean of a span's length, which is of Poisson's distribution and at least one.
        draw: Source of chance.
        most: Spans at most.

    Returns:
        `(T,)` which are hidden; spans that meet are one.
    """
    gone = np.zeros(len(able), dtype=np.bool_)
    left = max(1, round(float(able.sum()) * share)) if able.any() else 0
    for _ in range(most):
        if left <= 0:
            break
        at = int(draw.choice(np.flatnonzero(able & ~gone)))
        for place in range(at, min(at + max(1, int(draw.poisson(span))), len(able))):
            if left <= 0 or not able[place] or gone[place]:
                break
            gone[place] = True
            left -= 1
    return gone


def ends_of(gone: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first token behind each hidden span."""
    shown = np.append(np.flatnonzero(~gone), len(gone))
    return shown[np.searchsorted(shown, starts)]
