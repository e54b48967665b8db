"""The weighted sum of bundles is the sum of their merged weights, in every form of LoRA that has one."""

import json
import shutil

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModel

import attune
from attune.compression.export import merged, to_peft
from attune.core.files import read_json
from attune.errors import AttuneError, BundleError, RecipeError, UnsupportedError
from attune.lifecycle.train import train
from attune.model.bundle import load, pack
from support.bundles import FEW_ROWS, TUNED, document, made_up, recipe, write_rows

TEXTS = [row["text"] for row in made_up(50, seed=3)]
WEIGHTS = (0.5, 0.3, 0.2)
TOLERANCE = 5e-5


def tuned(workshop, folder, *, temperature=1.0, **tables):
    """A bundle of LoRA on a tiny backbone, with a temperature of its own."""
    base = {"data": FEW_ROWS, "method": {"name": "lora", "rank": 2}, "training": TUNED}
    wanted = recipe(**{name: {**base.get(name, {}), **tables.get(name, {})} for name in {**base, **tables}})
    made = train(wanted, workshop.root, folder / "run")
    made.model.temperature = temperature
    told = {"witness_rows": [{"text": text} for text in TEXTS[:3]], "documents": {}, "outside": {}}
    pack(folder / "bundle", made.model, made.recipe, metrics={}, lineage=made.manifest.lineage, **told)
    return load(folder / "bundle", root=workshop.root)


@pytest.fixture(scope="module", params=["mean", "first"])
def parts(request, workshop, tmp_path_factory):
    """Bundles of unlike rank, scale, targets, start and temperature."""
    folder = tmp_path_factory.mktemp("parts")
    some = {
        "method": {"name": "lora", "rank": 2, "alpha": 3.0, "targets": "attention"},
        "backbone": {"pooling": request.param, "max_length": 16},
        "training": {**TUNED, "seed": 5},
    }
    return [
        workshop.bundle("olora", request.param),
        workshop.bundle("lora", request.param),
        tuned(workshop, folder, temperature=2.0, **some),
    ]


def logits(model, texts=TEXTS):
    return model.logits(model.encode([{"text": text} for text in texts]).ids)


def by_hand(parts, weights):
    """The mean of the merged networks and of the calibrated heads, in float64 and with no adapter left."""
    backbones = [merged(part) for part in parts]
    states = [backbone.network.state_dict() for backbone in backbones]
    mean = {
        name: sum(weight * state[name].double() for weight, state in zip(weights, states, strict=True))
        for name, value in states[0].items()
        if value.is_floating_point()
    }
    network = backbones[0].network
    network.load_state_dict({name: value.float() for name, value in mean.items()}, strict=False)
    inputs = parts[0].model.collate(parts[0].model.encode([{"text": text} for text in TEXTS]).ids)
    with torch.inference_mode():
        features = backbones[0](inputs).double()
        total = 0
        for part, weight in zip(parts, weights, strict=True):
            matrix, bias = part.model.head.affine()
            total += weight * (features @ matrix.double().T + bias.double()) / part.model.temperature
    return total.numpy(), mean


def test_it_is_the_mean_of_the_merged_weights(parts, workshop, tmp_path):
    made = attune.compose(parts, weights=WEIGHTS, out=tmp_path / "sum", data_root=workshop.root)
    wanted, weights = by_hand(parts, WEIGHTS)
    np.testing.assert_allclose(logits(made.model), wanted, atol=TOLERANCE * max(1, np.abs(wanted).max()))
    state = merged(made).network.state_dict()
    assert weights.keys() <= state.keys()
    assert max((state[name] - value).abs().max() for name, value in weights.items()) < 1e-6
    for part in parts:
        assert np.abs(logits(part.model) - wanted).max() > 0.05, "a part answers like the sum, so nothing is tried"
    assert (made.recipe.method.rank, made.recipe.method.alpha, made.recipe.method.targets) == (8 + 4 + 2, 14.0, "all")
    assert made.recipe.backbone.max_length == max(part.recipe.backbone.max_length for part in parts)


def test_it_is_a_bundle_like_any_other(parts, workshop, tmp_path, run):
    made = attune.compose([part.path for part in parts[:2]], out=tmp_path / "sum", data_root=workshop.root)
    told = made.manifest.lineage["composed"]
    assert [one["digest"] for one in told] == [part.digest for part in parts[:2]]
    assert [one["weight"] for one in told] == [0.5, 0.5]
    assert made.manifest.metrics == {}
    assert made.manifest.label_counts == [2 * count for count in parts[0].manifest.label_counts]
    assert read_json(made.path / "witness.json")["rows"]
    again = attune.load(made.path)  # run.json says where the backbone was
    assert [p.as_dict() for p in again.predict(TEXTS)] == [p.as_dict() for p in made.predict(TEXTS)]
    outcome = run("evaluate", made.path, "--data", workshop.root / "fresh.jsonl", "--json")
    assert json.loads(outcome.out)["evaluations"][0]["rows"] == 40
    assert "nothing was measured" in (made.path / "card.md").read_text()
    twice = attune.compose(parts[:2], out=tmp_path / "again", data_root=workshop.root)
    assert twice.digest == made.digest


def test_one_alone_stays_what_it_is_as_ordinary_lora(parts, workshop, tmp_path):
    made = attune.compose(parts[:1], out=tmp_path / "one", data_root=workshop.root)
    np.testing.assert_allclose(logits(made.model), logits(parts[0].model), atol=1e-4, rtol=1e-5)
    assert (made.recipe.method.init, made.recipe.method.rslora, made.recipe.method.rank) == ("zero", False, 8)


@pytest.mark.filterwarnings("ignore")
def test_peft_adds_up_to_the_same(workshop, tmp_path):
    one = workshop.bundle("lora")
    two = tuned(workshop, tmp_path, method={"name": "lora", "rank": 2, "targets": "attention"})
    for name, part in {"one": one, "two": two}.items():
        to_peft(part, tmp_path / name)
    network = PeftModel.from_pretrained(AutoModel.from_pretrained(workshop.root / "tiny"), tmp_path / "one", "one")
    network.load_adapter(tmp_path / "two", "two")
    network.add_weighted_adapter(["one", "two"], [0.7, 0.3], "sum", combination_type="cat")
    network.set_adapter("sum")
    made = attune.compose([one, two], weights=[0.7, 0.3], out=tmp_path / "sum", data_root=workshop.root)
    inputs = made.model.collate(made.model.encode([{"text": text} for text in TEXTS]).ids)
    with torch.inference_mode():
        ours = made.model.backbone.network(**inputs).last_hidden_state
        theirs = network.eval()(**inputs).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


def test_bundles_that_have_no_sum_are_refused_with_the_reason(workshop, tmp_path):
    lora = workshop.bundle("lora")
    lost = shutil.copytree(lora.path, tmp_path / "damaged")
    (lost / "calibration.json").write_text('{"temperature": 3.0}')
    write_rows(workshop.root / "others.jsonl", [{**row, "label": row["label"].upper()} for row in made_up()])
    made = {
        name: tuned(workshop, tmp_path / name, **tables)
        for name, tables in {
            "labels": {"data": {**FEW_ROWS, "train": "others.jsonl"}},
            "backbone": {"backbone": {"name": "distilbert"}},
            "task": {"task": {"label_smoothing": 0.1}},
            "head": {"task": {"head": "descriptions"}},
        }.items()
    }
    cases = [
        ([lora, made["labels"]], {}, BundleError, r"6 labels are not in both: ACCOUNT"),
        ([lora, made["backbone"]], {}, BundleError, "its backbone is distilbert"),
        ([lora, made["task"]], {}, BundleError, r"its \[task\] differs in label_smoothing"),
        ([lora, workshop.bundle("lora", "first")], {}, BundleError, "its backbone.pooling is another"),
        ([lora, lost], {}, BundleError, "calibration.json has SHA-256"),
        ([lora, workshop.bundle("ia3")], {}, UnsupportedError, "what method ia3 learned has no weighted sum"),
        ([workshop.bundle("pissa")], {}, UnsupportedError, "a DoRA adapter sets the length of every weight row anew"),
        ([made["head"]], {}, UnsupportedError, "heads descriptions have no mean"),
        ([lora] * 9, {}, UnsupportedError, "lora with rank = 36 is above the backbone's width of 32"),
        ([], {}, RecipeError, "0 weights .* for 0 bundles"),
        ([lora] * 2, {"weights": [1.0]}, RecipeError, r"1 weights \[1.0\] for 2 bundles"),
        ([lora] * 2, {"weights": [1.5, -0.5]}, RecipeError, "each above 0"),
        ([lora] * 2, {"weights": [0.5, 0.6]}, RecipeError, "sum to 1.1"),
        ([lora], {"out": lora.path}, RecipeError, "is there"),
    ]
    for bundles, options, kind, told in cases:
        with pytest.raises(AttuneError) as caught:
            attune.compose(bundles, **{"out": tmp_path / "sum", "data_root": workshop.root, **options})
        assert type(caught.value) is kind, caught.value
        caught.match(told)
        assert caught.value.remedy
        assert not (tmp_path / "sum").exists()


@pytest.mark.slow
def test_the_embedded_backbone_adds_up(workshop, tmp_path):
    name = document()["backbone"] | {"name": "all-MiniLM-L6-v2"}
    method = {"name": "lora", "rank": 4}
    training = [{"learning_rate": 1e-3, "seed": seed, "batch_size": 16} for seed in (1, 2)]
    both = [
        tuned(
            workshop,
            tmp_path / str(each["seed"]),
            temperature=0.5 + each["seed"],
            backbone=name,
            method=method,
            training=each,
        )
        for each in training
    ]
    made = attune.compose(both, weights=[0.7, 0.3], out=tmp_path / "sum", data_root=workshop.root)
    wanted, _ = by_hand(both, [0.7, 0.3])
    np.testing.assert_allclose(logits(made.model), wanted, atol=TOLERANCE * max(1, np.abs(wanted).max()))
    switched = attune.switch({"a": both[0], "b": both[1], "sum": made})
    names = ["a", "b", "sum", "b", "a"] * 10
    found = switched.predict(TEXTS, names)
    for wanted_name, bundle in switched.bundles.items():
        own = [index for index, one in enumerate(names) if one == wanted_name]
        alone = load(bundle.path, root=workshop.root).predict([TEXTS[index] for index in own])
        for index, theirs in zip(own, alone, strict=True):
            np.testing.assert_array_equal(found[index].probabilities, theirs.probabilities)
    published = sum(
        value.numel() for value in AutoModel.from_pretrained(made.model.backbone.checkpoint.folder).parameters()
    )
    assert published < switched.numbers < 1.15 * published
