"""Two segments of plain texts: whether they stand in their order (Lan et al. 2020), or follow each other at all
(Devlin et al. 2019)."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from attune.core.encoding import Encoding
from attune.core.form import Form
from attune.core.packing import as_pieces, ids_of, pieces_of
from attune.core.recipe import Options
from attune.core.records import Alternative, Input, Prediction
from attune.core.texts import FIRST
from attune.errors import DataError
from attune.tasks.common import blocks
from attune.tasks.common.aids import Embed
from attune.tasks.common.asked import Asked
from attune.tasks.common.drawn import TRIAL_SEED, DrawnScores, Found, PlainTask, Rows, Trial
from attune.tasks.common.labelled import Labels
from attune.tasks.common.neighbours import BESIDE, Corpus, Frame, Pair, pairs_of
from attune.tasks.common.sentences import Units, sentences
from attune.tasks.common.vocabulary import Vocabulary
from attune.tasks.heads.registry import HEADS

HALF = 0.5
"""Share of the pairs that are changed."""


class SegmentOptions(Options):
    """What a segment is."""

    head: str = "linear"
    """What tells the two kinds of pairs apart, from the vector of both segments."""
    sentences: int = Field(1, ge=1, le=1000)
    """Sentences of a segment; a document's last may have fewer."""
    units: Units = "auto"
    """What a sentence is. line: each line. sentence: what full stops and their like part. auto: lines where a row's
    text has several, else sentences."""


class SentenceOrderOptions(SegmentOptions):
    """Pairs of neighbouring segments, half of them swapped."""

    name: Literal["sentence_order"] = "sentence_order"


class NextSentenceOptions(SegmentOptions):
    """Pairs of neighbouring segments, the second of half of them taken from another document."""

    name: Literal["next_sentence"] = "next_sentence"


@dataclass(frozen=True)
class PairScores(DrawnScores):
    """Answers to pairs of segments; a row has those that begin in it.

    Attributes:
        kinds: The two answers in words.
    """

    kinds: tuple[str, str]
    names: ClassVar[tuple[str, ...]] = ("pair_accuracy",)
    headline: ClassVar[tuple[str, ...]] = ("pair_accuracy",)

    def measure(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Share of the pairs that were told right, under weights `(R, N)`."""
        return {"pair_accuracy": self.means(weights)[1]}

    def words(self, value: Any) -> list[str]:
        """What was said of a row's pairs."""
        return [self.kinds[int(item)] for item in value]


@dataclass(frozen=True)
class Read:
    """Pairs as they are to be read, with what is right: texts, targets and the row of each."""

    texts: list[tuple[str, str]]
    targets: list[int]
    owners: list[int]


class SegmentPairs(PlainTask):
    """Tells pairs of segments that were changed from those that stand as they do in their document.

    Args:
        options: Validated options.
        words: The backbone's vocabulary, once the backbone is there.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pairs"})
    features: ClassVar[str] = "pooled"
    over: ClassVar[str] = "pooled"
    paired: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = BESIDE
    """Columns that are read of a row besides its text, where it is learned from or judged."""
    metric_names: ClassVar[tuple[str, ...]] = PairScores.names
    cut: ClassVar[str] = "only {limit} tokens were read; the end of a segment was cut off"
    kinds: ClassVar[tuple[str, str]]
    """What is said of a pair as it stands, and of one that was changed."""

    def __init__(self, options: SegmentOptions, words: Vocabulary | None = None) -> None:
        super().__init__(options, words)
        self.frame: Frame | None = None
        self.most: Callable[[], int] = int
        self.store: Any = None
        self.corpus = Corpus(np.zeros(0, dtype=np.int64))

    @abstractmethod
    def changed(self, number: int, key: int, corpus: Corpus, draw: np.random.Generator) -> int:
        """Which pair a changed pair takes its other segment from; its own where the two are swapped."""

    @property
    def form(self) -> Form:
        """A text, which must hold two segments, a line each, to be a question."""
        return Form(self.fields, labelled=False, lines=True, asks=self.lacks_two if self.words else None)

    @staticmethod
    def lacks_two(text: str) -> str:
        """Why a text asks nothing; empty where it has two lines."""
        count = len(sentences(text, "line"))
        told = f"its text has {count} line{'s' * (count != 1)}"
        return "" if count == 2 else f"{told}: put the two segments on a line each, or give them as a list"

    def questions(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Texts as questions: the first two segments of each; of one that has a single sentence, its halves."""
        return [{**row, FIRST: self.asking(row[FIRST])} for row in rows]

    def asking(self, text: str) -> str:
        """One text as a question."""
        found = pairs_of([{FIRST: text}], self.options.sentences, self.options.units)
        if found:
            return f"{found[0].first}\n{found[0].second}"
        parts = text.split()
        words, gap = (parts, " ") if len(parts) > 1 else (list(parts[0] * 2 if len(parts[0]) < 2 else parts[0]), "")
        half = len(words) // 2
        return f"{gap.join(words[:half])}\n{gap.join(words[half:])}"

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: its two segments as one sequence."""
        first, second = (row[FIRST][begin:end] for begin, end in sentences(row[FIRST], "line"))
        return [Input(first, pair=second)]

    def read(self, backbone: Any, rows: Rows) -> Encoding:
        """Rows to answer as token ids, ragged."""
        return backbone.encode([item for row in rows for item in self.inputs(row)])

    def examples_of(self, backbone: Any, rows: Rows) -> tuple[Encoding, Tensor]:
        """Pairs to learn from.

        Args:
            backbone: What reads them.
            rows: Texts with the columns `beside`.

        Returns:
            A row a pair, of two pieces without special tokens, so that either can be exchanged; and `(N,)` the document
            of each, by its key.
        """
        found = pairs_of(rows, self.options.sentences, self.options.units)
        bare = self.bare(backbone, [text for pair in found for text in (pair.first, pair.second)])
        both = [(bare[2 * at], bare[2 * at + 1], pair.key) for at, pair in enumerate(found)]
        both = [(first, second, key) for first, second, key in both if len(first) and len(second)]
        sizes = np.asarray([len(first) + len(second) for first, second, _ in both], dtype=np.int64)
        whole = sizes + self.framed(backbone).room
        unknown = backbone.tokenizer.unk_token_id
        encoding = Encoding(
            ids=[as_pieces([first, second]) for first, second, _ in both],
            truncated=whole > backbone.max_length,
            unknown=np.asarray([int((np.append(a, b) == unknown).sum()) for a, b, _ in both], dtype=np.int64),
            words=sizes,
            longest=min(int(whole.max(initial=0)), backbone.max_length),
        )
        return encoding, torch.tensor([key for _, _, key in both], dtype=torch.int64)

    def bare(self, backbone: Any, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """The tokens of texts without special ones; of each as many as a sequence could hold."""
        if not texts:
            return []
        encoding, counts = backbone.windows([Input(text) for text in texts], overlap=0)
        return [
            ids_of(row)[: backbone.max_length] for row in blocks.contents(encoding.grouped(counts), words=False).rows
        ]

    def framed(self, backbone: Any) -> Frame:
        """What the backbone's tokenizer puts around two texts; the backbone says how long they may be."""
        self.most = lambda: backbone.max_length
        self.frame = self.frame or Frame.of(backbone)
        return self.frame

    def learn_of(self, rows: Any) -> None:
        """Takes note of all pairs to learn from, among which others are drawn.

        Args:
            rows: The encoded pairs, with their documents.

        Raises:
            DataError: There is none, or nothing to draw from.
        """
        self.store, self.corpus = rows, Corpus(rows.targets.numpy())
        self.refuse(self.corpus, "data.train")

    def refuse(self, corpus: Corpus, where: str) -> None:
        """Stops where rows hold no pair; raises DataError."""
        if not len(corpus.keys):
            raise DataError(
                "no document has two segments", where=where,
                expected="documents of several sentences",
                remedy='of a plain text file with a sentence a line set data.group = "document" and data.split = '
                '"grouped"; else set task.units, or lower task.sentences',
            )  # fmt: skip

    def draw(
        self, rows: Sequence[NDArray[np.int64]], numbers: Sequence[int], moment: tuple[int, ...]
    ) -> tuple[list[NDArray[np.int64]], Tensor]:
        """Draws which pairs are changed, each by itself, so that batches make no difference.

        Args:
            rows: Some pairs, as `examples_of` made them.
            numbers: Which pairs they are.
            moment: What else the draw depends on: the seed, and the step.

        Returns:
            Their ids as they are to be read, and targets `(B,)`: 1 where a pair was changed.
        """
        if self.frame is None:
            raise ValueError("pairs that were not encoded")
        found: list[NDArray[np.int64]] = []
        targets: list[int] = []
        for row, number in zip(rows, numbers, strict=True):
            chance = np.random.default_rng([*moment, int(number)])
            first, second = pieces_of(row)
            targets.append(int(chance.random() < HALF))
            if targets[-1]:
                other = self.changed(int(number), int(self.corpus.keys[number]), self.corpus, chance)
                first, second = (second, first) if other == number else (first, pieces_of(self.store.row(other))[1])
            found.append(self.frame.around(first, second, self.most()))
        return found, torch.tensor(targets, dtype=torch.int64)

    def asked(self, rows: Rows) -> Read:
        """The pairs of rows to judge by, with a draw that their own texts decide.

        Args:
            rows: Texts with the columns `beside`, all of a set.

        Returns:
            The pairs as they are to be read.

        Raises:
            DataError: There is none, or nothing to draw from.
        """
        pairs, corpus = self.judgeable(rows, "the rows to be judged")
        drawn = [self.fixed(number, pairs, corpus) for number in range(len(pairs))]
        return Read([texts for texts, _ in drawn], [target for _, target in drawn], [pair.owner for pair in pairs])

    def judgeable(self, rows: Rows, where: str) -> tuple[list[Pair], Corpus]:
        """The pairs of rows, of which there must be some to judge by.

        Args:
            rows: Texts with the columns `beside`, all of a set.
            where: The set, in an error.

        Returns:
            The pairs, and which documents they are of.

        Raises:
            DataError: There is none, or nothing to draw from.
        """
        pairs = pairs_of(rows, self.options.sentences, self.options.units)
        corpus = Corpus(np.asarray([pair.key for pair in pairs], dtype=np.int64))
        self.refuse(corpus, where)
        return pairs, corpus

    def fixed(self, number: int, pairs: Sequence[Pair], corpus: Corpus) -> tuple[tuple[str, str], int]:
        """One pair as it is to be read, and 1 where it was changed."""
        pair = pairs[number]
        chance = np.random.default_rng([TRIAL_SEED, zlib.crc32(f"{pair.first}\x1f{pair.second}".encode())])
        if chance.random() >= HALF:
            return (pair.first, pair.second), 0
        other = self.changed(number, pair.key, corpus, chance)
        return ((pair.second, pair.first) if other == number else (pair.first, pairs[other].second)), 1

    def trial(self, backbone: Any, rows: Rows) -> Trial:
        """Pairs with a draw that their own texts decide, read as an answer is."""
        found = self.asked(rows)
        ids = backbone.encode([Input(first, pair=second) for first, second in found.texts]).ids
        targets = [np.asarray([target], dtype=np.int32) for target in found.targets]
        return Trial(ids, targets, [np.asarray([owner], dtype=np.int64) for owner in found.owners])

    def counted(self, backbone: Any, rows: Rows) -> NDArray[np.int64]:
        """How often each kind occurs: alike, for a coin decides."""
        del backbone, rows
        return np.ones(2, dtype=np.int64)

    def frequent(self, gold: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
        """The baseline that takes every pair for one as it stands.

        Args:
            gold: `(M,)` targets.
            counts: As `counted` made them.

        Returns:
            Its answers `(M,)`, and their losses `(M,)`.
        """
        return np.full(len(gold), int(counts.argmax())), np.full(len(gold), np.log(len(counts)))

    def scores(self, name: str, rows: Rows, found: Found) -> PairScores:
        """What was answered, gathered by row."""
        return PairScores.of(name, len(rows), found, kinds=self.kinds)

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head for a backbone whose vectors have `width` features."""
        return HEADS.get(self.options.head)(width, self.outputs_of(labels), dropout)

    def outputs_of(self, labels: Labels) -> int:
        """How many logits a pair has."""
        del labels
        return len(self.kinds)

    def loss(self, outputs: Tensor, targets: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the two kinds.

        Args:
            outputs: `(B, 2)`.
            targets: `(B,)`.
            labels: Not needed.

        Returns:
            Total `(B,)` and weight `(B,)`, all one.
        """
        del labels
        total = F.cross_entropy(outputs, targets, reduction="none")
        return total, torch.ones_like(total)

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        del labels
        return f"Answers with {self.kinds[0]!r} or {self.kinds[1]!r} of two segments."

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Tells the kind of pairs.

        Args:
            asked: Rows with logits `(2,)`.

        Returns:
            One prediction a row.
        """
        logits = torch.from_numpy(np.stack(asked.outputs)).float() / asked.temperature
        return [
            self.told(chances, notices)
            for chances, notices in zip(logits.softmax(-1).numpy(), asked.notices, strict=True)
        ]

    def told(self, chances: NDArray[np.float32], notices: tuple[str, ...]) -> Prediction:
        """The answer to one pair by its probabilities `(2,)`."""
        order = np.argsort(-chances, kind="stable")
        best = tuple(Alternative(self.kinds[at], float(chances[at])) for at in order)
        margin = float(chances[order[0]] - chances[order[1]])
        return Prediction(best[0].label, best[0].confidence, best, notices, chances, margin=margin)


class SentenceOrder(SegmentPairs):
    """Tells whether two neighbouring segments of a document stand in their order (ALBERT, Lan et al. 2020)."""

    Options: ClassVar[type[SentenceOrderOptions]] = SentenceOrderOptions
    summary: ClassVar[str] = "whether two segments of a plain text stand in their order: pre-training for coherence"
    kinds: ClassVar[tuple[str, str]] = ("in order", "swapped")
    limits: ClassVar[str] = (
        "It says in which order two segments are likelier, also of segments that have nothing in common."
    )

    def changed(self, number: int, key: int, corpus: Corpus, draw: np.random.Generator) -> int:
        """The pair itself: its segments are swapped."""
        del key, corpus, draw
        return number


class NextSentence(SegmentPairs):
    """Tells whether one segment follows another, or is of another document (BERT, Devlin et al. 2019)."""

    Options: ClassVar[type[NextSentenceOptions]] = NextSentenceOptions
    summary: ClassVar[str] = "whether one segment of a plain text follows another: pre-training for coherence"
    baselines: ClassVar[tuple[str, ...]] = ("majority", "zero_shot")
    called: ClassVar[Mapping[str, str]] = {"zero_shot": "cosine"}
    kinds: ClassVar[tuple[str, str]] = ("next", "elsewhere")
    limits: ClassVar[str] = "It tells segments of one text from those of two, which their subject alone may give away."

    def changed(self, number: int, key: int, corpus: Corpus, draw: np.random.Generator) -> int:
        """A pair of another document, whose second segment is taken."""
        del number
        return corpus.other(key, draw)

    def refuse(self, corpus: Corpus, where: str) -> None:
        """Stops where rows hold no pair, or there is one document only; raises DataError."""
        super().refuse(corpus, where)
        if not corpus.several:
            raise DataError(
                "all segments are of one document", where=where,
                expected="at least two documents, for a segment is told from those of others",
                remedy='add documents (in a plain text file an empty line ends one), or use the task "sentence_order"',
            )  # fmt: skip

    def near(self, embed: Embed, train: Rows, rows: Rows) -> tuple[NDArray[np.int64], Read]:
        """The baseline that takes two segments for neighbours whose untuned vectors are near enough.

        Args:
            embed: Texts to vectors of length one.
            train: Rows that the line is drawn by: where most of their pairs are told right.
            rows: Rows to judge by.

        Returns:
            Its answers `(M,)`, and what was asked.
        """
        known, asked = self.asked(train), self.asked(rows)
        near, far = cosines(embed, known), cosines(embed, asked)
        line = best_line(near, np.asarray(known.targets) == 0)
        return (far < line).astype(np.int64), asked


def cosines(embed: Embed, asked: Read) -> NDArray[np.float64]:
    """Cosines `(M,)` of the two texts of pairs."""
    first, second = (embed([texts[at] for texts in asked.texts]) for at in (0, 1))
    return np.einsum("nd,nd->n", first, second).astype(np.float64)


def best_line(values: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The value from which on most are told right by being called right; the lowest of equals.

    Args:
        values: `(M,)`.
        right: `(M,)`.

    Returns:
        One of the values, or infinity where nothing should be called right.
    """
    order = np.argsort(values, kind="stable")
    below = np.append(0, np.cumsum(~right[order]))
    above = np.append(0, np.cumsum(right[order]))
    hits = below + above[-1] - above
    edges = np.append(values[order], np.inf)
    able = np.append(True, edges[1:] != edges[:-1])
    return float(edges[np.flatnonzero(able)[hits[able].argmax()]])
