"""The training loop: steps, epochs, evaluation, early stopping, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from attune.core.recipe import TrainingOptions
from attune.errors import AttuneError, InterruptedRunError
from attune.model.assemble import Model
from attune.objectives.base import Rewarded
from attune.training import checkpoint
from attune.training.checkpoint import State
from attune.training.coupled import Batch, backward
from attune.training.encoded import Encoded, epoch_order, learned_from
from attune.training.events import Events
from attune.training.optimiser import build, factor, moving, set_rates
from attune.training.precision import ANSWERING, autocast
from attune.training.unfreezing import Unfreezing

Evaluate = Callable[[], dict[str, float]]
"""Metrics of the model as it stands on the validation rows, `loss` among them."""


@dataclass(frozen=True)
class Place:
    """Where a run keeps its files and how it hears that it should stop."""

    folder: Path
    events: Events
    stopping: Callable[[], str]
    """Why the run should stop now; empty while it should not."""


class Loop:
    """One stage of training.

    Args:
        model: The assembled model, its head started.
        rows: The encoded training rows.
        options: Resolved: rates, precision and metric are explicit.
        place: Files and signals.
        evaluate: Called after every epoch; None where there are no validation rows.
        higher: Whether more of the chosen metric is better.
    """

    def __init__(
        self,
        model: Model,
        rows: Encoded,
        options: TrainingOptions,
        place: Place,
        evaluate: Evaluate | None,
        higher: bool,
    ) -> None:
        self.model = model
        self.rows = rows
        self.options = options
        self.place = place
        self.evaluate = evaluate
        self.higher = higher
        self.lengths = rows.lengths()
        self.batches = math.ceil(len(rows) / options.batch_size)
        self.steps_per_epoch = math.ceil(self.batches / options.accumulation)
        self.steps = self.steps_per_epoch * options.epochs
        self.optimiser: Optimizer = build(model, options)
        self.parameters: list[nn.Parameter] = [parameter for _, parameter in moving(model)]
        self.unfreezing = Unfreezing(model, options, self.steps)

    def run(self) -> State:
        """Trains to the end, from the newest checkpoint where there is one.

        Returns:
            The final state; the model holds the final (or best) weights.

        Raises:
            InterruptedRunError: A signal asked to stop; a checkpoint was written.
        """
        state = self._resume()
        while state.epochs < self.options.epochs and not self._finished(state):
            self._epoch(state)
        if self.evaluate and (self.place.folder / "best").is_dir():
            checkpoint.load_weights(self.place.folder / "best", self.model)
        self.model.eval()
        return state

    def _resume(self) -> State:
        newest = checkpoint.latest(self.place.folder / "checkpoints")
        if newest:
            state = checkpoint.load(newest, self.model, self.optimiser)
            self.place.events.cut(state.events)
            return state
        state = State()
        self.place.events.cut_from("start")
        self.place.events.write("start", steps=self.steps, epochs=self.options.epochs, rows=len(self.rows))
        self._measure(state)
        return state

    def _finished(self, state: State) -> bool:
        return bool(self.options.patience and state.stale >= self.options.patience)

    def _epoch(self, state: State) -> None:
        order = epoch_order(self.lengths, self.options.batch_size, self.options.seed, state.epochs)
        done = state.step - state.epochs * self.steps_per_epoch
        self.model.train()
        self.model.backbone.attend(ANSWERING if self.options.attention == "auto" else self.options.attention)
        for index in range(done, self.steps_per_epoch):
            size = self.options.accumulation
            self._step(state, order[index * size : (index + 1) * size])
            last = index == self.steps_per_epoch - 1
            reason = self.place.stopping()
            if reason or (not last and state.step % self.options.checkpoint_steps == 0):
                self._checkpoint(state)
            if reason:
                raise InterruptedRunError(
                    f"stopped by {reason} at step {state.step} of {self.steps}; a checkpoint is kept",
                    where=str(self.place.folder),
                    remedy=f"go on with: attune train --resume {self.place.folder}",
                )
        self.model.backbone.attend(ANSWERING)
        state.epochs += 1
        self.place.events.write(
            "epoch", epoch=state.epochs, step=state.step, train_loss=state.loss / max(state.weight, 1e-12)
        )
        state.loss = state.weight = 0.0
        self._measure(state)
        self._checkpoint(state)

    def _step(self, state: State, micro_batches: list[Any]) -> None:
        set_rates(self.optimiser, factor(state.step, self.steps, self.options))
        torch.manual_seed(self.options.seed * 1_000_003 + state.step)
        if (lowest := self.unfreezing.news(state.step)) is not None:
            self.place.events.write("unfrozen", step=state.step, lowest=lowest, layers=self.unfreezing.top)
        total = weight = 0.0
        rewards: list[Tensor] = []
        with self.unfreezing.at(state.step):
            for together in [micro_batches] if self.model.coupled else [[indices] for indices in micro_batches]:
                batches = [self._batch(indices, state.step) for indices in together]
                rewards += [targets.rewards for _, targets in batches if isinstance(targets, Rewarded)]
                found = backward(self.model, batches, self._precise)
                total += found[0]
                weight += found[1]
        if not math.isfinite(total):
            raise AttuneError(
                f"the loss is {total} at step {state.step}",
                where=str(self.place.folder),
                expected="a finite loss",
                remedy="lower training.learning_rate, or set training.precision to float32",
            )
        self._apply(weight, state.step + 1)
        state.step += 1
        state.loss += total
        state.weight += weight
        earned = {"reward": float(torch.cat(rewards).mean())} if rewards else {}
        self.place.events.write(
            "step", step=state.step, loss=total / weight, rate=self.optimiser.param_groups[0]["lr"], **earned
        )

    def _batch(self, indices: Any, step: int) -> Batch:
        with self._precise():  # texts are drawn by the numbers by which they will be weighed
            ids, targets = learned_from(self.model, self.rows, indices, (self.options.seed, step))
        return self.model.collate(ids), targets.to(self.model.device)

    def _precise(self) -> AbstractContextManager[Any]:
        return autocast(self.model.device, self.options.precision)

    def _apply(self, weight: float, step: int) -> None:
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, 1.0 / weight)  # pyright: ignore[reportPrivateUsage] the public way loops over tensors
        penalty = self.model.method.penalty(self.model.backbone)
        if penalty.requires_grad:
            penalty.backward()
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimiser.step()
        self.model.method.after_backward(self.model.backbone, step, self.steps)
        self.optimiser.zero_grad(set_to_none=True)

    def _measure(self, state: State) -> None:
        if not self.evaluate:
            return
        found = self.evaluate()
        value = found[self.options.metric]
        better = state.best is None or (value > state.best if self.higher else value < state.best)
        if better:
            checkpoint.save_weights(self.place.folder / "best", self.model)
            state.best, state.best_epoch, state.stale = value, state.epochs, 0
        else:
            state.stale += 1
        validation = {f"validation_{name}": figure for name, figure in found.items()}
        self.place.events.write("validation", epoch=state.epochs, step=state.step, best=state.best, **validation)

    def _checkpoint(self, state: State) -> None:
        state.events = self.place.events.size()
        checkpoint.save(self.place.folder / "checkpoints", self.model, self.optimiser, state)
