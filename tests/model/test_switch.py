"""Bundles side by side answer as they do alone, and the backbone is in memory once."""

import numpy as np
import pytest

import attune
from attune.errors import BundleError, DataError
from attune.lifecycle.train import train
from attune.model.bundle import load
from support.bundles import FEW_ROWS, TUNED, made_up, recipe

TEXTS = [row["text"] for row in made_up(60, seed=4)]
KINDS = ("lora", "olora", "adapter", "ia3", "adalora", "bias", "frozen")
LIGHT = ("lora", "adapter", "ia3", "bias", "frozen")
"""Those that leave every published weight as it is but what they move."""


def numbers(module):
    return sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers()))


def moved(bundle):
    """Numbers of a bundle that are its own: what moves, inserted or not, and the head."""
    own = [value for value in bundle.model.backbone.parameters() if value.requires_grad]
    return sum(value.numel() for value in own) + numbers(bundle.model.head)


@pytest.fixture(scope="module")
def many(workshop):
    """One bundle a method, another pooling, and a task with several labels a row."""
    found = {kind: workshop.bundle(kind) for kind in KINDS}
    return {**found, "first": workshop.bundle("lora", "first"), "several": workshop.bundle("frozen", "mean", True)}


def test_each_row_is_answered_as_by_its_bundle_alone(many, workshop):
    switched = attune.switch({name: bundle.path for name, bundle in many.items()}, data_root=workshop.root)
    names = [list(many)[index % len(many)] for index in range(len(TEXTS))]
    rows = [{"text": text} if index % 2 else text for index, text in enumerate(TEXTS)]
    found = switched.predict(rows, names)
    for name, bundle in many.items():
        own = [index for index, wanted in enumerate(names) if wanted == name]
        alone = bundle.predict([TEXTS[index] for index in own])
        assert [found[index] for index in own] == alone
        for index, theirs in zip(own, alone, strict=True):
            np.testing.assert_array_equal(found[index].probabilities, theirs.probabilities)
    answers = [[p.as_dict() for p in switched.predict(TEXTS, name)] for name in ("lora", "adapter")]
    assert answers[0] != answers[1], "two bundles answer alike, so nothing is switched"
    assert switched.predict([], "lora") == []


def test_the_backbone_is_in_memory_once(workshop):
    loaded = {kind: load(workshop.bundle(kind).path, root=workshop.root) for kind in LIGHT}
    alone = {kind: numbers(bundle.model) for kind, bundle in loaded.items()}
    published = numbers(loaded["frozen"].model.backbone)
    switched = attune.switch(loaded)
    assert switched.numbers <= published + sum(map(moved, loaded.values()))
    assert switched.numbers < sum(alone.values()) / 3
    places = {value.data_ptr() for bundle in loaded.values() for value in bundle.model.parameters()}
    tensors = {value.data_ptr(): value.numel() for bundle in loaded.values() for value in bundle.model.parameters()}
    assert len(places) < sum(len(list(bundle.model.parameters())) for bundle in loaded.values())
    assert sum(tensors.values()) <= switched.numbers
    twice = attune.switch({"one": loaded["lora"], "two": load(loaded["lora"].path, root=workshop.root)})
    assert twice.numbers == alone["lora"]


def test_equal_tensors_of_one_bundle_stay_two(workshop):
    one, two = (load(workshop.bundle("lora").path, root=workshop.root) for _ in range(2))
    apart = len({value.data_ptr() for value in two.model.parameters()})
    attune.switch({"one": one, "two": two})
    assert len({value.data_ptr() for value in two.model.parameters()}) == apart
    assert {v.data_ptr() for v in two.model.parameters()} == {v.data_ptr() for v in one.model.parameters()}


def test_bad_questions_are_refused(workshop):
    switched = attune.switch({"lora": workshop.bundle("lora"), "bias": workshop.bundle("bias")})
    with pytest.raises(DataError, match="2 names for 3 rows"):
        switched.predict(TEXTS[:3], ["lora", "bias"])
    with pytest.raises(DataError, match="row 2 names the bundle 'lora2'") as caught:
        switched.predict(TEXTS[:2], ["lora", "lora2"])
    assert "did you mean 'lora'" in caught.value.remedy
    with pytest.raises(DataError, match="2 of 4 rows") as bad:
        switched.predict([TEXTS[0], " ", TEXTS[1], {"other": 1}], ["lora", "bias", "bias", "lora"])
    assert [problem.where for problem in bad.value.problems] == ["row 2", "row 4"]


def test_another_backbone_is_refused(workshop, tmp_path):
    other = train(
        recipe(data=FEW_ROWS, backbone={"name": "distilbert"}, method={"name": "lora", "rank": 2}, training=TUNED),
        workshop.root,
        tmp_path / "run",
    )
    with pytest.raises(BundleError, match="was tuned on distilbert") as caught:
        attune.switch({"one": workshop.bundle("lora"), "two": other})
    assert caught.value.where == str(other.path)
    assert "tiny" in caught.value.expected
    with pytest.raises(BundleError, match="no bundle is given"):
        attune.switch({})
