"""What every task with label names has in common: one label a row, or any number of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from attune.core.encoding import Encoding
from attune.core.form import Form
from attune.core.recipe import Options
from attune.core.records import Alternative, Answers, Input, Prediction
from attune.core.relations import Relations
from attune.errors import DataError, RecipeError, nearest
from attune.tasks.common.asked import Asked
from attune.tasks.common.losses import binary_cross_entropy
from attune.tasks.common.reader import reading_of
from attune.tasks.common.structure import Flat, Structure
from attune.tasks.heads.registry import HEADS
from attune.tasks.metrics import HIGHER_IS_BETTER, choices, classification_metrics

SHOWN_ALTERNATIVES = 5
EVEN = 0.5
"""The threshold where none was chosen."""


class LabelOptions(Options):
    """How labels are asked for and weighed."""

    name: str
    head: str = "linear"
    """How the labels are asked for."""
    multi_label: bool = False
    """A row may have several labels, or none."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: each label weighs the inverse of its frequency."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target spread over all labels."""
    focal_gamma: float = Field(0.0, ge=0)
    """Focusing power of the focal loss; 0 is plain cross-entropy."""
    threshold: float | None = Field(None, gt=0, lt=1)
    """Probability above which a label is given, where the task is multi-label. Not given: chosen on the validation rows
    for the highest macro F1, 0.5 where there are none."""


@dataclass(frozen=True)
class Labels:
    """The labels learned from the training rows: names, sorted or in the order given, with their counts."""

    names: tuple[str, ...]
    counts: tuple[int, ...]

    def index(self) -> dict[str, int]:
        """Name to position."""
        return {name: position for position, name in enumerate(self.names)}


class LabelTask(ABC):
    """A task whose answer is a label, or several; what is read of a row is up to the task.

    Args:
        options: Validated options.
        structure: How the labels stand to each other; side by side where not given.
    """

    fields: ClassVar[tuple[str, ...]]
    """The fields of a row that hold its texts."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """What the backbone must provide besides what the head needs."""
    features: ClassVar[str] = "pooled"
    """What the head sees: one vector a row."""
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf", "zero_shot")
    """What answers can be shown beside."""
    cuts: ClassVar[bool] = True
    """Whether a row that is too long loses its end; else it is read in windows."""
    cut: str = "only the first {limit} tokens were read"
    """What a person is told of a row that was too long."""

    def __init__(self, options: LabelOptions, structure: Structure | None = None) -> None:
        self.options = options
        self.structure = structure or Flat()

    @abstractmethod
    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row."""

    @property
    def no_baseline(self) -> str:
        """Why a baseline is missing."""
        return (
            "the label of a pair says how two texts stand to each other, and no text is near to that"
            if len(self.fields) > 1
            else "it does not fit the task"
        )

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        return f"Answers with {'any' if self.multi_label else 'one'} of {len(labels.names)} labels" + (
            ", or none" if self.multi_label else ""
        )

    @property
    def limits(self) -> str:
        """What a user of the answers should know."""
        read = "text" if len(self.fields) == 1 else "pair of texts"
        return (
            f"It answers every {read} with its labels, also one that has nothing to do with them, unless a label "
            "stands for that."
        )

    @property
    def form(self) -> Form:
        """What a row must have."""
        return Form(self.fields, several=self.multi_label)

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids, ragged."""
        inputs = [item for row in rows for item in self.inputs(row)]
        return backbone.encode(inputs).grouped([self.pieces()] * len(rows))

    def pieces(self) -> int:
        """How many things are read of a row."""
        return 1

    @property
    def paired(self) -> bool:
        """Whether two texts are read as one sequence."""
        return len(self.fields) > self.pieces()

    @property
    def reading(self) -> str:
        """How a row is read, in words, for other tasks to read it along."""
        return reading_of(len(self.fields), self.pieces())

    def width(self, width: int) -> int:
        """Features of a row, where each thing read has `width`."""
        return width

    def join(self, pooled: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """One vector a row `(B, width(D))`, of the vectors `(B · pieces, D)` of what was read of it."""
        del inputs
        return pooled

    @property
    def multi_label(self) -> bool:
        """Whether rows carry lists of labels."""
        return self.options.multi_label

    @property
    def relations(self) -> Relations | None:
        """Which labels belong together, where labels are relations."""
        return None

    def described(self) -> frozenset[str]:
        """The labels that the recipe itself gives; none where they are learned from the rows."""
        return frozenset()

    def labels(self, golds: Iterable[Any]) -> Labels:
        """Learns the label names.

        Args:
            golds: The training rows' labels: a string each, or a list of strings each.

        Returns:
            Names as the structure arranges them, with counts. Where labels are described, or ordered, those are the
            labels, with or without a row.

        Raises:
            DataError: Fewer than two labels, or one that is not among the described, or that does not fit the others.
        """
        counts: Counter[str] = Counter()
        for gold in golds:
            counts.update(gold if self.multi_label else [gold])
        if told := self.described():
            where = "verbalisers" if getattr(self.options, "verbalisers", None) else "descriptions"
            refuse_undescribed(sorted(counts.keys() - told), where)
            counts.update(dict.fromkeys(told, 0))
        if len(counts) < (1 if self.multi_label else 2):
            raise DataError(
                f"the training rows have {len(counts)} label(s): {', '.join(counts) or 'none'}",
                where="data.label",
                expected="at least two labels",
                remedy="check data.label and the split; one label leaves nothing to learn",
            )
        self.structure.check(counts, "data.train")
        names = self.structure.arranged(counts)
        return Labels(names, tuple(counts[name] for name in names))

    def targets(self, golds: Sequence[Any], labels: Labels) -> Tensor:
        """Labels as numbers.

        Args:
            golds: One label, or a list of labels, a row; all of them learned.
            labels: The learned labels.

        Returns:
            `(N,)` int64, or `(N, K)` float32 of zeros and ones.
        """
        gold = gold_array(golds, labels.index(), len(labels.names), self.multi_label)
        return torch.from_numpy(gold.astype(np.float32) if self.multi_label else gold)

    def examples(
        self, rows: Sequence[Mapping[str, Any]], golds: Sequence[Any], encoding: Encoding, labels: Labels
    ) -> tuple[Encoding, Tensor]:
        """What is learned from of rows: how they were read, and their targets."""
        del rows
        return encoding, self.targets(golds, labels)

    def gold(self, golds: Sequence[Any], names: Sequence[str]) -> NDArray[Any]:
        """Labels as `(N,)` indices into `names`, or `(N, K)` bools."""
        return gold_array(golds, {name: i for i, name in enumerate(names)}, len(names), self.multi_label)

    def unseen(self, golds: Iterable[Any], labels: Labels) -> list[str]:
        """Labels that occur in rows but were never learned, sorted."""
        known = labels.index()
        flat = (label for gold in golds for label in (gold if self.multi_label else [gold]))
        return sorted({label for label in flat if label not in known})

    def check(self, golds: Iterable[Any], where: str) -> None:
        """Refuses rows whose labels do not fit the order or the paths that the recipe speaks of.

        Args:
            golds: The rows' labels.
            where: What to call the rows.

        Raises:
            DataError: Some do not fit.
        """
        self.structure.check({label for gold in golds for label in (gold if self.multi_label else [gold])}, where)

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head for a backbone whose vectors have `width` features."""
        return HEADS.get(self.options.head)(self.width(width), self.outputs_of(labels), dropout)

    def affine(self, head: Any, temperature: float) -> tuple[Tensor, Tensor]:
        """Weight `(K, D)` and bias `(K,)` of a head that is one affine map, the temperature folded in."""
        weight, bias = head.affine()
        return weight / temperature, bias / temperature

    @property
    def problem(self) -> str:
        """What transformers calls it."""
        return "multi_label_classification" if self.multi_label else "single_label_classification"

    def outputs_of(self, labels: Labels) -> int:
        """How many logits a row has."""
        return len(labels.names)

    def loss(self, logits: Tensor, targets: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """Loss a row.

        Args:
            logits: `(B, K)`.
            targets: As `targets` made them.
            labels: For class weights.

        Returns:
            Total `(B,)` and weight `(B,)`; the mean loss is the ratio of their sums.
        """
        smoothing, gamma = self.options.label_smoothing, self.options.focal_gamma
        if self.multi_label:
            each = binary_cross_entropy(logits, targets, smoothing, gamma)
            if self.options.class_weights == "balanced":
                each = each * torch.where(targets > 0, positive_weights(labels).to(logits), torch.ones(()).to(logits))
            return each.sum(-1), torch.ones(len(each)).to(logits)
        total = self.structure.loss(logits, targets, labels.names, smoothing, gamma)
        weight = torch.ones(len(total)).to(logits)
        if self.options.class_weights == "balanced":
            weight = balanced_weights(labels).to(logits)[targets]
        return total * weight, weight

    def probabilities(self, logits: Tensor, temperature: float = 1.0) -> NDArray[np.float32]:
        """Probabilities `(B, K)` of logits `(B, K)` after dividing by the temperature (Guo et al. 2017)."""
        scaled = logits.float() / temperature
        return (torch.sigmoid(scaled) if self.multi_label else scaled.softmax(-1)).cpu().numpy()

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Answers rows that were read."""
        logits = torch.from_numpy(np.stack(asked.outputs))
        return self.decode(self.probabilities(logits, asked.temperature), asked.labels, asked.notices)

    def decode(
        self, probabilities: NDArray[np.float32], labels: Labels, notices: Sequence[tuple[str, ...]]
    ) -> list[Prediction]:
        """Probabilities as answers.

        Args:
            probabilities: `(B, K)`.
            labels: The learned labels.
            notices: What happened to each row on its way.

        Returns:
            One prediction a row.
        """
        shown = min(SHOWN_ALTERNATIVES, probabilities.shape[1])
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :shown]
        levels = self.structure.levels(probabilities, labels.names, SHOWN_ALTERNATIVES)
        return [
            replace(self._prediction(row, best, labels.names, notice), levels=above)
            for row, best, notice, above in zip(probabilities, order, notices, levels, strict=True)
        ]

    def _prediction(
        self, row: NDArray[np.float32], best: NDArray[np.int64], names: tuple[str, ...], notices: tuple[str, ...]
    ) -> Prediction:
        alternatives = tuple(Alternative(names[index], float(row[index])) for index in best)
        if not self.multi_label:
            return Prediction(alternatives[0].label, alternatives[0].confidence, alternatives, notices, row)
        given = [index for index in np.argsort(-row, kind="stable") if row[index] > self.threshold]
        sure = float(row[given].min()) if given else float(1 - row.max())
        return Prediction([names[index] for index in given], sure, alternatives, notices, row)

    @property
    def threshold(self) -> float:
        """Probability above which a label is given, where a row may have several."""
        return EVEN if self.options.threshold is None else self.options.threshold

    def settle(
        self, predicted: Callable[[], Sequence[Prediction]], golds: Sequence[Any], labels: Labels
    ) -> dict[str, Any]:
        """Chooses the threshold on rows that were not trained on.

        Args:
            predicted: Answers them, with what the answers were chosen by; called only where something is to choose.
            golds: What is right.
            labels: The learned labels.

        Returns:
            The option; nothing where a row has one label, or the recipe gives the threshold.
        """
        if not self.multi_label or self.options.threshold is not None:
            return {}
        probabilities = np.stack([probabilities_of(found) for found in predicted()])
        known = [[label for label in gold if label in labels.names] for gold in golds]
        return {"threshold": best_threshold(probabilities, self.gold(known, labels.names))}

    def unsettled(self) -> Self:
        """This task as it is before anything is settled: what epochs are chosen by, whether or not it was already."""
        return type(self)(self.options.model_copy(update={"threshold": None}))

    def judged(self, name: str, predictions: Sequence[Prediction], golds: Sequence[Any], labels: Labels) -> Answers:
        """Predictions beside what was right."""
        return self.answers(name, np.stack([probabilities_of(found) for found in predictions]), golds, labels)

    def answers(self, name: str, probabilities: NDArray[np.float32], golds: Sequence[Any], labels: Labels) -> Answers:
        """What was answered, beside what was right.

        Args:
            name: Who answered.
            probabilities: `(N, K)`.
            golds: The rows' labels; some may never have been learned.
            labels: The learned labels.

        Returns:
            The arrays; unknown labels appended with probability zero.

        Raises:
            DataError: A label does not fit the order or the paths that the recipe speaks of.
        """
        self.check(golds, f"the rows answered by {name}")
        unseen = self.unseen(golds, labels)
        known = (*labels.names, *unseen)
        gold = self.gold(golds, known)
        padded = np.pad(probabilities, ((0, 0), (0, len(unseen))))
        chosen = padded > self.threshold if self.multi_label else padded.argmax(1)
        ordered, separator = self.structure.ordered, self.structure.separator
        return Answers(name, known, gold, padded, chosen, ordered, separator, self.relations)

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better.

        Args:
            name: A metric of the task, `loss`, or nothing for the task's first.

        Returns:
            The name and the direction.

        Raises:
            RecipeError: The task has no such metric.
        """
        known = choices(
            multi_label=self.multi_label,
            ordered=self.structure.ordered,
            levelled=bool(self.structure.separator),
            directed=self.relations is not None,
        )
        name = name or known[0]
        if name not in known:
            raise RecipeError(f"the task has no metric {name!r}", where="training.metric", remedy=nearest(name, known))
        return name, HIGHER_IS_BETTER.get(name, False)

    def metrics(self, answers: Answers) -> dict[str, float]:
        """Every metric of the task, by name."""
        return classification_metrics(answers)


def probabilities_of(prediction: Prediction) -> NDArray[np.float32]:
    """The whole distribution of a fresh prediction `(K,)`."""
    if prediction.probabilities is None:
        raise ValueError("a prediction without probabilities")
    return prediction.probabilities


def best_threshold(probabilities: NDArray[np.float32], gold: NDArray[np.bool_]) -> float:
    """The threshold with the highest macro F1, in steps of a hundredth.

    Args:
        probabilities: `(N, K)`.
        gold: `(N, K)`.

    Returns:
        0.05 to 0.95; of equals the one nearest to a half.
    """
    scores = {step: macro_f1(probabilities > step / 100, gold) for step in range(5, 96)}
    return min(scores, key=lambda step: (-scores[step], abs(step - 50))) / 100


def macro_f1(chosen: NDArray[np.bool_], gold: NDArray[np.bool_]) -> float:
    """F1 averaged over the labels that a row has or was given, as the metric has it, of `(N, K)` each."""
    given, hits, asked = chosen.sum(0), (chosen & gold).sum(0), gold.sum(0)
    seen = given + asked > 0
    return float((2 * hits / np.maximum(given + asked, 1))[seen].mean()) if seen.any() else 0.0


def refuse_undescribed(labels: Sequence[str], where: str) -> None:
    """Stops where rows have labels that the recipe's descriptions, or verbalisers, leave out."""
    if labels:
        raise DataError(
            f"{len(labels)} label(s) of the training rows have no {where[:-1]}: {', '.join(labels[:10])}",
            where=f"task.{where}",
            expected="every label, where any is there",
            remedy=f"add them, mend the spelling, or leave [task.{where}] out to use the names",
        )


def gold_array(golds: Sequence[Any], index: Mapping[str, int], count: int, multi_label: bool) -> NDArray[Any]:
    """Labels as `(N,)` indices or `(N, K)` bools."""
    if not multi_label:
        return np.asarray([index[gold] for gold in golds], dtype=np.int64)
    result = np.zeros((len(golds), count), dtype=np.bool_)
    for row, gold in enumerate(golds):
        result[row, [index[label] for label in gold]] = True
    return result


def balanced_weights(labels: Labels) -> Tensor:
    """`(K,)` inverse frequencies, one on average over rows (as scikit-learn's `balanced`)."""
    counts = torch.tensor(labels.counts, dtype=torch.float32)
    return counts.sum() / (len(counts) * counts)


def positive_weights(labels: Labels) -> Tensor:
    """`(K,)` weights of the positive term, the square root of inverse frequencies, at most ten."""
    counts = torch.tensor(labels.counts, dtype=torch.float32)
    return (counts.max() / counts).sqrt().clamp(max=10)
