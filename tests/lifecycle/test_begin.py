"""Zero-shot and k-shot by label texts, through a whole run: nothing is trained, and all else is as ever."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from attune.compression.export import to_transformers
from attune.core.recipe import parse_toml
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.lifecycle.begin import draw_shots
from attune.lifecycle.train import plan, resume, train
from attune.model.assemble import AXES
from attune.model.bundle import load
from support.bundles import recipe, write_rows

TOLD = {
    "account": ["password login account", "change my address"],
    "delivery": "where is my parcel",
    "refund": "refund it was broken",
}
TEXTS = ["my parcel is late", "refund please", "i want to change my password"]


def untrained(*, data=None, evaluation=None, **task):
    return recipe(
        data=data or {},
        task={"head": "descriptions", **task},
        method={"name": "none"},
        evaluation=evaluation or {},
        training={"epochs": 4, "learning_rate": 1e-3},
    )


@pytest.fixture(scope="module")
def zero(workshop, tmp_path_factory):
    """A zero-shot bundle with descriptions, beside the zero-shot baseline."""
    wanted = untrained(descriptions=TOLD, evaluation={"baselines": ["majority", "zero_shot"]})
    return train(wanted, workshop.root, tmp_path_factory.mktemp("zero") / "run")


def events(bundle):
    lines = (bundle.path.parent / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return {event["event"]: event for event in map(json.loads, lines)}


def test_nothing_is_trained_and_all_say_so(zero):
    told = events(zero)
    assert "step" not in told and "start" not in told and "epoch" not in told
    assert told["untrained"]["method"] == "none"
    assert (told["described"]["texts"], told["described"]["shots"], told["described"]["balanced"]) == (4, 0, 0)
    assert told["validation"]["epoch"] == 0
    run = json.loads((zero.path / "run.json").read_text(encoding="utf-8"))
    assert run["facts"]["moved_parameters"] == 0
    assert run["notices"][0].startswith("nothing was trained (method none)")
    assert "nothing was trained" in (zero.path / "report.html").read_text(encoding="utf-8")
    assert "Nothing was trained" in (zero.path / "card.md").read_text(encoding="utf-8")
    assert load_file(zero.path / "moved" / "weights.safetensors") == {}


def test_the_resolved_recipe_has_the_texts_and_no_rates(zero, workshop, tmp_path):
    resolved = parse_toml((zero.path / "recipe.toml").read_text(encoding="utf-8"), AXES, where="test")
    assert (resolved.training.epochs, resolved.training.learning_rate, resolved.training.head_learning_rate) == (
        0, None, None,
    )  # fmt: skip
    assert resolved.task.descriptions["refund"] == ("refund it was broken",)
    assert train(resolved, workshop.root, tmp_path / "again").digest == zero.digest


def test_the_bundle_answers_by_the_label_texts(zero, workshop):
    again = load(zero.path, root=workshop.root)
    assert [found.as_dict() for found in again.predict(TEXTS)] == [found.as_dict() for found in zero.predict(TEXTS)]
    assert zero.predict(["refund it was broken"])[0].answer == "refund"
    assert zero.predict(["where is my parcel"])[0].answer == "delivery"
    assert zero.manifest.method == "none"
    assert zero.model.temperature != 1.0  # fitted on the validation rows


def test_without_descriptions_it_is_the_zero_shot_baseline(workshop, tmp_path):
    bundle = train(untrained(evaluation={"baselines": ["zero_shot"]}), workshop.root, tmp_path / "run")
    found = json.loads((bundle.path / "evaluation.json").read_text(encoding="utf-8"))
    baseline = found["baselines"][0]
    assert (found["name"], baseline["name"]) == ("descriptions, untrained", "zero-shot")
    assert found["metrics"]["accuracy"] == baseline["metrics"]["accuracy"]
    assert found["metrics"]["macro_f1"] == baseline["metrics"]["macro_f1"]


def test_without_validation_rows_the_scale_is_the_stated_one(workshop, tmp_path):
    bundle = train(untrained(data={"validation_share": 0.0}), workshop.root, tmp_path / "run")
    assert bundle.model.temperature == 1.0
    assert "validation" not in events(bundle)


def test_shots_are_drawn_by_the_seed_and_their_count_is_told(workshop, tmp_path):
    wanted = untrained(descriptions=TOLD, shots=5, calibrate=True)
    bundle = train(wanted, workshop.root, tmp_path / "run")
    assert events(bundle)["described"]["shots"] == 15
    assert events(bundle)["described"]["balanced"] == bundle.manifest.lineage["rows"]["train"]
    other = train(wanted.having("training", seed=1), workshop.root, tmp_path / "other")
    assert not torch.equal(bundle.model.head.vectors, other.model.head.vectors)
    short = train(wanted.having("task", shots=9999), workshop.root, tmp_path / "short")
    run = json.loads((short.path / "run.json").read_text(encoding="utf-8"))
    assert any("3 label(s) have fewer than 9999 training rows to show" in notice for notice in run["notices"])


def test_draws_are_of_the_label_and_without_repetition():
    targets = torch.tensor([0, 1, 0, 1, 0, 2])
    found = draw_shots(targets, 3, 2, 0)
    assert [len(each) for each in found] == [2, 2, 1]
    assert all(set(targets[each].tolist()) == {label} for label, each in enumerate(found))
    assert all(len(set(each.tolist())) == len(each) for each in found)
    assert [each.tolist() for each in draw_shots(targets, 3, 2, 0)] == [each.tolist() for each in found]
    several = draw_shots(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), 2, 5, 0)
    assert [each.tolist() for each in several] == [[0], [0, 1]]


def test_several_labels_zero_shot(workshop, tmp_path):
    bundle = train(
        untrained(data={"train": "multi.jsonl"}, multi_label=True, descriptions=TOLD), workshop.root, tmp_path / "run"
    )
    given = {tuple(found.answer) for found in bundle.predict([*TEXTS, "hello thanks", "parcel late refund broken"])}
    assert len(given) > 1
    assert () not in given or len(given) > 2


def test_a_described_label_without_rows_is_an_answer_and_is_told(workshop, tmp_path):
    bundle = train(untrained(descriptions={**TOLD, "talk": "hello thanks talk human"}), workshop.root, tmp_path / "run")
    assert bundle.labels == ["account", "delivery", "refund", "talk"]
    assert bundle.predict(["hello thanks talk human"])[0].answer == "talk"
    notices = json.loads((bundle.path / "run.json").read_text(encoding="utf-8"))["notices"]
    assert "1 label(s) are described and occur in no training row: talk" in notices


def test_a_label_that_is_left_out_of_the_descriptions_is_named(workshop, tmp_path):
    with pytest.raises(DataError, match=r"1 label\(s\) of the training rows have no description: refund") as caught:
        train(untrained(descriptions={"account": "a", "delivery": "b"}), workshop.root, tmp_path / "run")
    assert caught.value.where == "task.descriptions"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"descriptions": {"a": "b"}}, "the head 'linear' does not read it"),
        ({"shots": 3}, "the head 'linear' does not read it"),
        ({"calibrate": True}, "set task.head to 'cloze' or 'descriptions'"),
        ({"head": "descriptions", "descriptions": {"a": " "}}, "at least 1 character"),
        ({"head": "descriptions", "descriptions": {"a": []}}, "at least 1 item"),
        ({"head": "descriptions", "shots": -1}, "greater than or equal to 0"),
    ],
)
def test_options_that_nothing_reads_or_say_nothing_are_refused(task, said):
    with pytest.raises(RecipeError, match=said):
        recipe(task=task)


def test_a_run_stopped_before_packing_goes_on_to_the_same_bundle(workshop, tmp_path, monkeypatch):
    from attune.lifecycle import train as lifecycle

    wanted = untrained(descriptions=TOLD, shots=2)
    whole = train(wanted, workshop.root, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(lifecycle.Run, "_finish", interrupted)
        train(wanted, workshop.root, tmp_path / "cut")
    assert not (tmp_path / "cut" / "bundle").exists()
    assert resume(tmp_path / "cut").digest == whole.digest


def interrupted(*_args):
    raise KeyboardInterrupt


def test_a_plan_takes_no_step_and_names_no_rate(workshop):
    found = plan(untrained(), workshop.root)
    assert (found["steps"], found["moved parameters"]) == (0, 0)
    assert found["learning rate"] is found["head learning rate"] is None


def test_random_layers_are_told_and_kept(workshop, tmp_path):
    """DistilBERT reads a first token through a layer that its checkpoint does not hold."""
    wanted = untrained(descriptions=TOLD).having("backbone", name="distilbert", pooling="first")
    bundle = train(wanted, workshop.root, tmp_path / "run")
    assert load_file(bundle.path / "moved" / "weights.safetensors").keys() == bundle.model.backbone.fresh != set()
    notices = json.loads((bundle.path / "run.json").read_text(encoding="utf-8"))["notices"]
    assert any("layers that distilbert does not hold" in notice for notice in notices)


def test_any_other_method_moves_the_label_vectors_from_there(workshop, tmp_path):
    wanted = recipe(
        task={"head": "descriptions", "descriptions": TOLD},
        method={"name": "frozen", "trainable_layers": 0},
        training={"epochs": 6, "head_learning_rate": 0.02, "batch_size": 16},
    )
    tuned = train(wanted, workshop.root, tmp_path / "run")
    still = train(wanted.having("training", epochs=0), workshop.root, tmp_path / "still")
    assert not torch.equal(tuned.model.head.vectors, still.model.head.vectors)
    assert not torch.equal(tuned.model.head.log_scale, still.model.head.log_scale)
    accuracy = [bundle.manifest.metrics["accuracy"]["value"] for bundle in (still, tuned)]
    assert accuracy[0] < accuracy[1]


def test_an_export_answers_as_the_bundle_or_is_refused(zero, workshop, tmp_path):
    to_transformers(zero, tmp_path / "out")
    settings = json.loads((tmp_path / "out" / "head.json").read_text(encoding="utf-8"))
    kept = load_file(tmp_path / "out" / "head.safetensors")
    ids = zero.model.encode([{"text": text} for text in TEXTS]).ids
    unit = torch.nn.functional.normalize(torch.from_numpy(zero.model.features(ids)), dim=-1)
    assert settings["unit"]
    wanted = np.stack([found.probabilities for found in zero.predict(TEXTS)])
    np.testing.assert_allclose((unit @ kept["weight"].T + kept["bias"]).softmax(-1), wanted, atol=1e-4)
    first = train(
        untrained(data={"validation_share": 0.0}).having("backbone", pooling="first"), workshop.root, tmp_path / "first"
    )
    with pytest.raises(UnsupportedError, match="scales features to length one") as caught:
        to_transformers(first, tmp_path / "refused")
    assert "pooling" in caught.value.remedy
    assert not (tmp_path / "refused").exists()


def test_rows_longer_than_is_read_are_told_of_the_texts_too(workshop, tmp_path):
    write_rows(tmp_path / "rows.jsonl", [{"text": f"refund {i}", "label": "ab"[i % 2]} for i in range(20)])
    wanted = untrained(data={"train": str(tmp_path / "rows.jsonl")}, descriptions={"a": "parcel " * 200, "b": "refund"})
    bundle = train(wanted.having("data", acknowledge=("contradictory_labels",)).having("backbone", max_unknown=1.0),
                   workshop.root, tmp_path / "run")  # fmt: skip
    notices = json.loads((bundle.path / "run.json").read_text(encoding="utf-8"))["notices"]
    assert "1 label description(s) are longer than tiny was told to read and were cut" in notices
