"""Curves go to TensorBoard and Weights & Biases as well."""

import pytest

from attune.core import extras
from attune.errors import MachineError
from attune.lifecycle.train import train
from support.bundles import recipe


def tracked(name):
    return recipe(method={"name": "frozen", "trainable_layers": 1}, training={"trackers": [name]})


def test_tensorboard(workshop, tmp_path):
    pytest.importorskip("tensorboard")
    train(tracked("tensorboard"), workshop.root, tmp_path / "run")
    assert list((tmp_path / "run" / "tensorboard").rglob("events.out.tfevents.*"))


@pytest.mark.slow
def test_wandb_offline(workshop, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(tracked("wandb"), workshop.root, tmp_path / "run")
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))


def test_a_missing_extra_names_the_command(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(MachineError, match=r"pip install 'attune\[trackers\]'"):
        extras.require("wandb", "trackers")
