"""A task that writes, learned from pairs: of two texts that may follow what was read, one is preferred."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from attune.core import conversation
from attune.core.decoding import Told
from attune.core.encoding import Encoding
from attune.core.form import Form, Gold
from attune.core.packing import IGNORED, in_one
from attune.core.records import Input, Prediction
from attune.core.texts import FIRST
from attune.errors import RecipeError
from attune.tasks.common.aligned import Aligned
from attune.tasks.common.asked import Asked
from attune.tasks.common.preference_scores import BOTH, PreferenceScores
from attune.tasks.common.prompts import Example
from attune.tasks.common.scored import figures, metric_of


class Preferences:
    """What a task that writes is where its rows have a preferred text and another.

    It reads, writes and answers as the task does; only what is right for a row, what is learned from it and what is
    measured are other things.

    Args:
        task: One that writes.
    """

    features: ClassVar[str] = "generate"
    baselines: ClassVar[tuple[str, ...]] = ("majority", "zero_shot")
    no_baseline: ClassVar[str] = "of two texts it does not say which is the better one"
    multi_label: ClassVar[bool] = False
    tempered: ClassVar[bool] = False
    paired: ClassVar[bool] = False

    def __init__(self, task: Any) -> None:
        self.task = task
        self.options = task.options
        self.cuts: bool = task.cuts
        self.lost: tuple[str, str] = task.lost
        self.limits: str = task.limits

    def on(self, backbone: Any) -> Self:
        """This task with how a backbone reads its rows."""
        return type(self)(self.task.on(backbone))

    def check_room(self, family: Any, config: Any) -> None:
        """Refuses what the task refuses, and options that mean nothing where pairs are compared.

        Args:
            family: The backbone family.
            config: The network's config.

        Raises:
            RecipeError: There is no room for what is written, targets are to be smoothed, or what is written is to be
                checked.
        """
        if self.options.label_smoothing:
            raise RecipeError(
                f"label_smoothing of {self.options.label_smoothing:g} would spread targets over the vocabulary, and "
                "preferences compare the probabilities of texts as they are",
                where="task.label_smoothing",
                expected="0",
                remedy="leave it out; objective.label_smoothing is for preferences that may be the wrong way round",
            )
        for name in ("hybrid", "programs"):
            if getattr(self.options, name):
                raise RecipeError(
                    f"{name} is for texts that are written and checked, and rows of preferences have no text to check",
                    where=f"task.{name}",
                    expected="none of it beside objective preference",
                    remedy="leave it out",
                )
        self.task.check_room(family, config)

    @property
    def asked(self) -> Any:
        """How rows are read; raises ValueError without a backbone."""
        return self.task.asked

    @property
    def cut(self) -> str:
        """What a person is told of a row that was too long."""
        return self.task.cut

    @property
    def form(self) -> Form:
        """What a row must have."""
        gold = Gold(self.right, lambda _: [], "a preferred text and another", BOTH)
        return replace(self.task.form, gold=gold)

    def right(self, cell: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, str]:
        """What is right for a row: its two texts.

        Args:
            cell: `chosen` and `rejected`, each as the task takes a text to be written.
            row: What was read.

        Returns:
            `{"chosen": …, "rejected": …}`.

        Raises:
            ValueError: One is missing, empty or of another conversation, or they are the same.
        """
        found = {name: self._text(name, cell[name], row) for name in BOTH}
        if found[BOTH[0]].strip() == found[BOTH[1]].strip():
            raise ValueError(f"{BOTH[0]} and {BOTH[1]} are one and the same text, of which none can be preferred")
        return found

    def _text(self, name: str, cell: Any, row: Mapping[str, Any]) -> str:
        if cell is None or cell != cell:
            raise ValueError(f"no {name} text")
        try:
            texts: list[str] = self.task.right(cell, row)["texts"]
            before = self._before(cell)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if len(texts) != 1:
            raise ValueError(f"{name}: {len(texts)} texts where one was expected")
        asked = conversation.messages_of(str(row[FIRST]))
        if before and conversation.as_text(before) != conversation.as_text(asked):  # space around a message is no other
            raise ValueError(f"{name}: the messages before its last are not those that are answered")
        return texts[0]

    def _before(self, cell: Any) -> list[Any]:
        """Of a cell of messages those before the last."""
        messages = conversation.given(cell) if self.options.preset == "dialogue" else None
        return (messages or [])[:-1]

    def answers_with(self, labels: Any) -> str:
        """What an answer is, for the card."""
        return f"{self.task.answers_with(labels)}, tuned by which of two is preferred"

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone reads of a row."""
        return self.task.inputs(row)

    def written(self, gold: Mapping[str, str]) -> list[str]:
        """What may be written of a row; a tokenizer of one's own is trained on it too."""
        return [gold[name] for name in BOTH]

    def condensed(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Rows as they are read to be answered: of texts that are too long summaries, where the task makes such."""
        return self.task.condensed(rows)

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids, ragged: what is read, and nothing of what is to be written."""
        return self.task.read(backbone, rows)

    def labels(self, golds: Iterable[Mapping[str, str]]) -> Any:
        """No labels; raises DataError without rows."""
        return self.task.labels({"texts": [gold[BOTH[0]]]} for gold in golds)

    def unseen(self, golds: Iterable[Any], labels: Any) -> list[str]:
        """No text stops a run: they all differ."""
        return self.task.unseen(golds, labels)

    def examples(
        self, rows: Sequence[Mapping[str, Any]], golds: Sequence[Any], encoding: Encoding, labels: Any
    ) -> tuple[Encoding, Aligned]:
        """What is learned from: of each row what was read with the preferred text, and with the other, as pieces."""
        del labels
        found = [
            [self.example(row, prompt, gold[name]) for name in BOTH]
            for row, prompt, gold in zip(rows, encoding.ids, golds, strict=True)
        ]
        targets = [np.concatenate([one.targets for one in pair]) for pair in found]
        lost = sum(one.lost for pair in found for one in pair)
        read = replace(encoding, ids=[in_one([one.ids for one in pair]) for pair in found], places=None)
        return read, Aligned(targets, len(BOTH) * len(found), lost)

    def example(self, row: Mapping[str, Any], prompt: NDArray[np.int64], text: str) -> Example:
        """One row with one of its texts, of which alone something is compared: no earlier turn of a conversation."""
        made: Example = self.asked.example(row, prompt, text)
        begin = len(prompt) - 1 if self.asked.backbone.onward else len(prompt)
        return replace(made, targets=np.concatenate([np.full(begin, IGNORED, np.int32), made.targets[begin:]]))

    def shown(self, row: Mapping[str, Any], gold: Mapping[str, str]) -> str:
        """One row as it is read, with each of its texts in double brackets."""
        (prompt,) = self.asked.read([row]).ids
        return "\n".join(f"{name}: {self.asked.marked(self.example(row, prompt, text))}" for name, text in gold.items())

    def outputs_of(self, labels: Any) -> int:
        """As many numbers a token as there are words in the backbone's vocabulary."""
        return self.task.outputs_of(labels)

    def head(self, width: int, labels: Any, dropout: float) -> nn.Module:
        """The task's head."""
        return self.task.head(width, labels, dropout)

    def join(self, features: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits as they are."""
        return self.task.join(features, inputs)

    def tell(self, backbone: Any, ids: Sequence[NDArray[np.int64]]) -> list[Told]:
        """What the backbone writes of rows that were read."""
        return self.task.tell(backbone, ids)

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Texts as answers."""
        return self.task.predictions(asked)

    def said(self, ids: NDArray[np.int64]) -> str:
        """Token ids as a text."""
        return self.task.said(ids)

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better; the loss where none is named.

        Args:
            name: A metric, `loss`, or nothing.

        Returns:
            The name and the direction.

        Raises:
            RecipeError: There is no such metric.
        """
        return metric_of(PreferenceScores, name or "loss")

    def metrics(self, answers: PreferenceScores) -> dict[str, float]:
        """Every metric of the pairs, by name."""
        return figures(answers)
