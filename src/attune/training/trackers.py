"""Curves for TensorBoard and Weights & Biases as well, through accelerate's trackers."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker

from attune.core.extras import require
from attune.core.recipe import Recipe
from attune.training.events import Listener

PROJECT = "attune"


@contextlib.contextmanager
def tracking(names: Sequence[str], folder: Path, recipe: Recipe) -> Generator[Listener]:
    """A listener that passes figures on to trackers.

    Args:
        names: `tensorboard`, `wandb`.
        folder: The run's folder; TensorBoard writes under it, Weights & Biases too (offline where WANDB_MODE says so).
        recipe: Shown by the trackers as configuration.

    Yields:
        The listener; it does nothing where no tracker is wanted.
    """
    trackers = [open_tracker(name, folder) for name in names]
    for tracker in trackers:
        tracker.start()
        tracker.store_init_configuration(flat(recipe))
    try:
        yield lambda event: pass_on(event, trackers)
    finally:
        for tracker in trackers:
            tracker.finish()


def open_tracker(name: str, folder: Path) -> GeneralTracker:
    """One of accelerate's trackers, writing under the run's folder."""
    require(name, "trackers")
    PartialState()  # accelerate's trackers log through it
    if name == "tensorboard":
        return TensorBoardTracker(PROJECT, logging_dir=str(folder / "tensorboard"))
    return WandBTracker(PROJECT, dir=str(folder))


def pass_on(event: Mapping[str, Any], trackers: Sequence[GeneralTracker]) -> None:
    """Sends an event's figures to every tracker, at the event's step."""
    kept = {
        key: value for key, value in event.items() if isinstance(value, int | float) and key not in ("step", "time")
    }
    if "step" in event and kept:
        for tracker in trackers:
            tracker.log(kept, step=int(event["step"]))


def flat(recipe: Recipe) -> dict[str, Any]:
    """A recipe as `section.key` to plain values."""
    return {
        f"{section}.{key}": value if isinstance(value, int | float | str | bool) else str(value)
        for section, table in recipe.model_dump(mode="json").items()
        for key, value in table.items()
    }
