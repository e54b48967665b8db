"""Choosing a backbone: each candidate's features of the user's rows are probed before anything is tuned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from attune.backbones.checkpoints import Checkpoint, weight_files
from attune.core.files import canonical, read_json, whole_file, whole_folder
from attune.core.recipe import Recipe
from attune.core.records import Answers
from attune.data.parts import Parted
from attune.errors import AttuneError, InterruptedRunError
from attune.evaluation.choice import Candidate, Choice, as_good, ranked
from attune.evaluation.intervals import Interval, intervals
from attune.lifecycle import resolve
from attune.lifecycle.candidates import Entrant, none_left, taking, why
from attune.methods.registry import METHODS
from attune.model.assemble import Model, assemble
from attune.tasks.common.labelled import Labels, LabelTask
from attune.tasks.heads.linear import L2_GRID, cross_validated
from attune.training.loop import Place

ROWS = 2000
"""Training rows at most that candidates are compared on."""
WARM = 32
"""Rows read before the clock starts."""
UNUSABLE = (AttuneError, MemoryError, torch.OutOfMemoryError)

Probabilities = NDArray[np.float32]


def choice_of(folder: Path) -> Path:
    """Where a run's folder keeps what was chosen."""
    return folder / "candidates" / "choice.json"


@dataclass(frozen=True)
class Choosing:
    """A comparison of candidates in a run's folder; what is measured stays there, so that a resume goes on.

    Attributes:
        recipe: With candidates.
        task: The recipe's, built.
        labels: The learned labels.
        sample: Training rows; no others take part.
        digest: Of the split that they are from.
        place: The run's folder, its events and whether to stop.
        clock: Seconds.
    """

    recipe: Recipe
    task: LabelTask
    labels: Labels
    sample: Parted
    digest: str
    place: Place
    clock: Callable[[], float]

    @property
    def metric(self) -> str:
        """What candidates are compared by: the task's first metric."""
        return self.task.metric("")[0]

    @property
    def higher(self) -> bool:
        """Whether more of it is better."""
        return self.task.metric("")[1]

    def go(self, entrants: Sequence[Entrant]) -> Choice:
        """Measures every candidate and ranks them.

        Args:
            entrants: The candidates, in the recipe's order.

        Returns:
            The choice.

        Raises:
            BackboneError: None can be used.
            InterruptedRunError: A signal asked to stop.
        """
        measured: list[Candidate] = []
        answers: dict[str, Answers] = {}
        for number, entrant in enumerate(entrants):
            if reason := self.place.stopping():
                raise stopped(reason, self.place.folder, number, len(entrants))
            candidate, probabilities = self._one(entrant, self.place.folder / "candidates" / str(number))
            measured.append(candidate)
            if probabilities is not None:
                answers[entrant.name] = self._answers(entrant.name, probabilities)
        if not answers:
            raise none_left([(each.name, each.reason) for each in measured])
        return self._chosen(ranked(measured, self.higher), answers)

    def _chosen(self, order: list[Candidate], answers: dict[str, Answers]) -> Choice:
        options, sample = self.recipe.evaluation, self.sample
        notices = as_good(order, answers, self.metric, options)
        choice = Choice(order[0].name, self.metric, sample.stated, sample.folds, options.confidence, order, notices)
        with whole_file(choice_of(self.place.folder)) as path:
            path.write_text(canonical(choice.as_dict()), encoding="utf-8")
        self.place.events.write("chosen", **choice.as_dict())
        return choice

    def _one(self, entrant: Entrant, folder: Path) -> tuple[Candidate, Probabilities | None]:
        found = self._kept(entrant, folder)
        if found is None:
            found = self._tried(entrant, folder)
            self.place.events.write("candidate", metric=self.metric, **asdict(found[0]))
        return found

    def _kept(self, entrant: Entrant, folder: Path) -> tuple[Candidate, Probabilities | None] | None:
        """What an earlier attempt of this run measured of the same weights and rows."""
        facts, answers = folder / "facts.json", folder / "answers.safetensors"
        if not entrant.checkpoint or not facts.is_file():
            return None
        document = read_json(facts)
        candidate = Candidate.from_dict(document["candidate"])
        if (document["rows"], candidate.sha256) != (self.digest, entrant.checkpoint.sha256):
            return None
        return candidate, load_file(answers)["probabilities"] if candidate.score else None

    def _tried(self, entrant: Entrant, folder: Path) -> tuple[Candidate, Probabilities | None]:
        """Measures a candidate and keeps what was found; one that cannot be read is no reason to stop."""
        if entrant.checkpoint is None:
            return Candidate(entrant.name, reason=entrant.reason), None
        try:
            candidate, probabilities = self._measured(entrant.name, entrant.checkpoint)
        except UNUSABLE as error:
            return Candidate(entrant.name, entrant.checkpoint.sha256, reason=why(error)), None
        with whole_folder(folder) as temporary:
            if probabilities is not None:
                save_file({"probabilities": probabilities}, temporary / "answers.safetensors")
            document = {"rows": self.digest, "candidate": asdict(candidate)}
            (temporary / "facts.json").write_text(canonical(document), encoding="utf-8")
        return candidate, probabilities

    def _measured(self, name: str, checkpoint: Checkpoint) -> tuple[Candidate, Probabilities | None]:
        """Size, unknown tokens, seconds and score; no probabilities where too many tokens are unknown."""
        model = assemble(untuned(self.recipe, name), checkpoint, self.labels)
        encoding = model.encode(self.sample.rows)
        share = float(encoding.unknown.sum() / max(encoding.words.sum(), 1))
        known: dict[str, Any] = {
            "name": name,
            "sha256": checkpoint.sha256,
            "parameters": sum(parameter.numel() for parameter in model.backbone.parameters()),
            "mebibytes": mebibytes(checkpoint),
            "unknown": round(share, 6),
        }
        bound = model.backbone.options.max_unknown
        if share > bound:
            reason = f"{share:.1%} of the rows' tokens are unknown to it, and backbone.max_unknown allows {bound:.1%}"
            return Candidate(**known, reason=reason), None
        features, seconds = timed(model, encoding.ids, self.clock)
        probabilities = self._probed(model, features)
        known |= {"seconds": round(seconds, 3), "rows_per_second": round(len(features) / max(seconds, 1e-9), 1)}
        return Candidate(**known, score=self._score(name, probabilities)), probabilities

    def _probed(self, model: Model, features: NDArray[np.float32]) -> Probabilities:
        """Probabilities `(N, K)` of each row by the linear probe that has not seen its part."""
        grid = (self.recipe.training.probe_l2,) if self.recipe.training.probe_l2 else L2_GRID
        targets = self.task.targets(self.sample.golds, self.labels)
        outputs = len(self.labels.names)
        _, logits = cross_validated(features, targets, resolve.task_loss(model), outputs, self.sample.part, grid)
        return self.task.probabilities(torch.from_numpy(logits))

    def _score(self, name: str, probabilities: Probabilities) -> Interval:
        options, answers = self.recipe.evaluation, self._answers(name, probabilities)
        found = intervals(
            answers, [self.metric], confidence=options.confidence, resamples=options.resamples, seed=options.seed
        )
        return found[self.metric]

    def _answers(self, name: str, probabilities: Probabilities) -> Answers:
        return self.task.answers(name, probabilities, self.sample.golds, self.labels)


def untuned(recipe: Recipe, name: str) -> Recipe:
    """The recipe on one candidate, whose features the probe reads."""
    still = METHODS.get("frozen").Options(trainable_layers=0)
    return taking(recipe, name).model_copy(update={"method": still})


def timed(
    model: Model, ids: Sequence[NDArray[np.int64]], clock: Callable[[], float]
) -> tuple[NDArray[np.float32], float]:
    """Features `(N, W)` and the seconds they took, after a few rows that the machine warms up on."""
    model.features(ids[:WARM])
    begin = clock()
    features = model.features(ids)
    return features, clock() - begin


def mebibytes(checkpoint: Checkpoint) -> float:
    """Size of a checkpoint's weight files."""
    return round(sum(path.stat().st_size for path in weight_files(checkpoint.folder, checkpoint.name)) / 2**20, 1)


def stopped(reason: str, folder: Path, done: int, of: int) -> InterruptedRunError:
    """The error of a run that was asked to stop between two candidates."""
    return InterruptedRunError(
        f"stopped by {reason} after {done} of {of} candidates; what was measured is kept",
        where=str(folder),
        remedy=f"go on with: attune train --resume {folder}",
    )
