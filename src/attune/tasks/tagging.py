"""Tagging: spans of a text with a label each (entities, slots, personal data)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from attune.core.encoding import Encoding
from attune.core.form import Form, Gold
from attune.core.packing import IGNORED, by_piece, with_marks
from attune.core.recipe import Options
from attune.core.records import Input, Prediction, Span
from attune.core.texts import FIRST
from attune.errors import DataError
from attune.tasks.common.aids import Aids
from attune.tasks.common.aligned import Aligned
from attune.tasks.common.asked import Asked
from attune.tasks.common.labelled import Labels
from attune.tasks.common.lookup import lookup
from attune.tasks.common.scored import confidences, figures, metric_of
from attune.tasks.common.span_scores import SpanScores
from attune.tasks.common.spans import names_in, read_spans
from attune.tasks.common.tags import Scheme, decode
from attune.tasks.common.units import CASES, units_of
from attune.tasks.heads.registry import HEADS


class TaggingOptions(Options):
    """Which spans a text has."""

    name: Literal["tagging"] = "tagging"
    head: str = "linear"
    """How tags are scored: each by itself (`linear`), or as a sequence (`crf`)."""
    scheme: Literal["bio", "bioes"] = "bio"
    """Tags a label has: begin and inside, or also end and single."""
    units: Literal["word", "token"] = "word"
    """What has one tag: a word of the backbone's tokenizer (in Chinese a character), or each of its tokens."""
    casing: bool = True
    """Tell the head how each unit and its neighbours are written (lower, Capitalised, UPPER, mixed, with a digit), for
    a lower-cased backbone does not see it."""
    overlap: int = Field(64, ge=0)
    """Tokens that two windows share where a text is longer than the backbone reads."""


class Tagging:
    """Spans with labels, none of them overlapping.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[TaggingOptions]] = TaggingOptions
    summary: ClassVar[str] = "spans of a text with a label each: entities, slots, personal data"
    needs: ClassVar[frozenset[str]] = frozenset()
    features: ClassVar[str] = "tokens"
    cuts: ClassVar[bool] = False
    cut: ClassVar[str] = "only the first {limit} tokens were read"
    paired: ClassVar[bool] = False
    reading: ClassVar[str] = "one text"
    """How a row is read, in words, for other tasks to read it along."""
    multi_label: ClassVar[bool] = False
    baselines: ClassVar[tuple[str, ...]] = ("majority",)
    called: ClassVar[Mapping[str, str]] = {"majority": "lookup"}
    no_baseline: ClassVar[str] = "they label whole texts, not parts of them"
    limits: ClassVar[str] = "It marks spans of the kinds it was shown; what was never marked in training is not found."
    form: ClassVar[Form] = Form(gold=Gold(read_spans, names_in, "spans, or a tag a token (BIO or BIOES)"), tokens=True)

    def __init__(self, options: TaggingOptions) -> None:
        self.options = options

    @property
    def parting(self) -> str:
        """How a text is parted into what has a tag, and into windows; alike for tasks that read it together."""
        return f"{self.options.units}, in windows that share {self.options.overlap} tokens"

    def pieces(self) -> int:
        """How many things are read of a row that is not too long."""
        return 1

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        return f"Marks spans with one of {len(labels.names)} labels"

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: its text."""
        return [Input(row[FIRST])]

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids in windows; the first token of each unit is marked with how the unit is written."""
        inputs = [item for row in rows for item in self.inputs(row)]
        encoding, counts = backbone.windows(inputs, overlap=self.options.overlap)
        assert encoding.places is not None
        at = 0
        for row, count in zip(rows, counts, strict=True):
            units = units_of(encoding.places[at : at + count], row[FIRST], words=self.options.units == "word")
            for number, marks in enumerate(units.marks):
                encoding.ids[at + number] = with_marks(encoding.ids[at + number], marks)
            at += count
        return encoding.grouped(counts)

    def labels(self, golds: Iterable[Any]) -> Labels:
        """Learns the label names from the spans of the training rows.

        Args:
            golds: The rows' spans.

        Returns:
            Names sorted, with counts of spans.

        Raises:
            DataError: No row has a span.
        """
        counts = Counter(span["label"] for gold in golds for span in gold)
        if not counts:
            raise DataError(
                "no training row has a span",
                where="data.label",
                expected="spans with labels",
                remedy="check data.label; spans are lists of {start, end, label}, or tags a token",
            )
        names = tuple(sorted(counts))
        return Labels(names, tuple(counts[name] for name in names))

    def unseen(self, golds: Iterable[Any], labels: Labels) -> list[str]:
        """No label stops a run: spans of one that was never learned count as missed."""
        del golds, labels
        return []

    def examples(
        self, rows: Sequence[Mapping[str, Any]], golds: Sequence[Any], encoding: Encoding, labels: Labels
    ) -> tuple[Encoding, Aligned]:
        """Targets of the first token of each unit; other tokens have none."""
        scheme = Scheme(self.options.scheme, labels.names)
        each: list[NDArray[np.int32]] = []
        lost = 0
        for row, gold, ids, places in zip(rows, golds, encoding.ids, encoding.places or (), strict=True):
            units = self._units(ids, places, row[FIRST])
            tags, missed = scheme.tags(gold, units.spans)
            targets = np.full(len(ids), IGNORED, dtype=np.int32)
            targets[units.first] = tags
            each.append(targets)
            lost += missed
        return encoding, Aligned(each, sum(map(len, golds)), lost)

    def _units(self, ids: NDArray[np.int64], places: NDArray[np.int64], text: str) -> Any:
        return units_of(by_piece(places, ids), text, words=self.options.units == "word")

    def outputs_of(self, labels: Labels) -> int:
        """How many tags there are."""
        return len(Scheme(self.options.scheme, labels.names).tags_of())

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head for a backbone whose vectors have `width` features."""
        width += 3 * CASES if self.options.casing else 0
        head = HEADS.get(self.options.head)(width, self.outputs_of(labels), dropout)
        if hasattr(head, "restrict"):
            head.restrict(*Scheme(self.options.scheme, labels.names).legal())
        return head

    def join(self, tokens: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """Adds to each token's vector how its unit and the units beside it are written.

        Args:
            tokens: `(P, T, D)`.
            inputs: The collated batch with `marks` `(P, T)`.

        Returns:
            `(P, T, D + 3 · CASES)`, or the vectors as they are where casing is not asked for.
        """
        if not self.options.casing:
            return tokens
        marks = inputs.get("marks", torch.zeros(tokens.shape[:2], dtype=torch.int64, device=tokens.device))
        piece, place = marks.nonzero(as_tuple=True)
        own = marks[piece, place]
        same = piece[1:] == piece[:-1]
        none = own.new_zeros(1)
        before, after = torch.cat([none, own[:-1] * same]), torch.cat([own[1:] * same, none])
        written = tokens.new_zeros(*tokens.shape[:2], 3 * CASES)
        cases = [F.one_hot(kind, CASES + 1)[:, 1:] for kind in (before, own, after)]
        written[piece, place] = torch.cat(cases, dim=-1).to(written)
        return torch.cat([tokens, written], dim=-1)

    def loss(self, outputs: Tensor, targets: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """Cross-entropy of tags.

        Args:
            outputs: `(P, T, K)`, or `(M, K)` of tokens alone.
            targets: `(P, T)` or `(M,)`; `IGNORED` where a token has no tag.
            labels: The learned labels.

        Returns:
            Total and weight, each `(P,)` or `(M,)`; the weight is the number of tags.
        """
        del labels
        each = F.cross_entropy(outputs.flatten(0, -2), targets.flatten(), reduction="none", ignore_index=IGNORED)
        tagged = (targets != IGNORED).to(outputs)
        each = each.view_as(tagged)
        return (each, tagged) if targets.ndim == 1 else (each.sum(-1), tagged.sum(-1))

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Answers rows that were read: the most probable legal sequence of tags, as spans of the caller's text."""
        scheme = Scheme(self.options.scheme, asked.labels.names)
        head: Any = asked.head
        transitions = head.transitions() if hasattr(head, "transitions") else scheme.legal()
        found: list[Prediction] = []
        rows = zip(
            asked.rows, asked.encoding.ids, asked.encoding.places or (), asked.outputs, asked.notices, strict=True
        )
        for row, ids, places, outputs, notices in rows:
            units = self._units(ids, places, row[FIRST])
            sequence = decode(outputs[units.first] / asked.temperature, transitions, whole=hasattr(head, "transitions"))
            spans = scheme.spans(sequence.tags, units.spans, sequence.chances, row[FIRST])
            found.append(answered(spans, sequence.chances, sequence.margin, notices))
        return found

    def judged(self, name: str, predictions: Sequence[Prediction], golds: Sequence[Any], labels: Labels) -> SpanScores:
        """Predictions beside what was right."""
        del labels
        chosen = [[{"start": s.start, "end": s.end, "label": s.label} for s in found.spans] for found in predictions]
        return SpanScores(name, list(golds), chosen, confidences(predictions))

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better; raises RecipeError where there is none such."""
        return metric_of(SpanScores, name)

    def metrics(self, answers: SpanScores) -> dict[str, float]:
        """Every metric of the task, by name."""
        return figures(answers)

    def baseline(self, name: str, train: Any, table: Any, labels: Labels, aids: Aids) -> list[Prediction]:
        """Answers by lookup: each word has the tag that it had most often in training."""
        del name, labels, aids
        return lookup(train, table)


def answered(
    spans: Sequence[Span], chances: NDArray[np.float32], margin: float, notices: tuple[str, ...]
) -> Prediction:
    """Spans as a prediction; how sure it is, is how sure its least certain span is, or that there is none."""
    sure = [span.confidence for span in spans if span.confidence is not None]
    least = min(sure) if sure else float(chances.min(initial=1.0))
    return Prediction(
        [span.label for span in spans], least, notices=notices, probabilities=chances, spans=tuple(spans), margin=margin
    )
