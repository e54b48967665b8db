"""AdaLoRA keeps its budget, survives a stop, and is saved as small as it has become."""

import json

import pytest
import torch
from safetensors.torch import load_file

from attune.errors import InterruptedRunError, UnsupportedError
from attune.methods.adalora import AdaLora, AdaLoraOptions
from attune.methods.peft_layout import CONFIG, WEIGHTS
from attune.model.assemble import check
from support.cells import digest, run, shake

OPTIONS = {"target_rank": 2, "initial_rank": 4, "interval": 1, "warm_share": 0.2, "final_share": 0.3}
TRAINING = {"epochs": 5, "batch_size": 4}
MAPS = 2 * 6
OWN_WARNING = "ignore:The following rank_pattern keys did not match:RuntimeWarning"
"""peft warns so of every AdaLoRA adapter that it has made smaller, and then reads it rightly."""


def kept(model):
    return sum(int((v != 0).sum()) for name, v in model.backbone.network.named_parameters() if ".lora_E." in name)


def test_ranks_fall_from_the_initial_to_the_target_budget(make, tmp_path):
    on = make("adalora", training=TRAINING, **OPTIONS)
    ranks = []

    def count(event):
        if event["event"] == "step":
            ranks.append(kept(on.model))

    run(on, tmp_path / "run", listeners=(count,))
    falling = [2 * MAPS + int(2 * MAPS * (1 - done / 5) ** 3) for done in (1, 2, 3, 4)]
    assert ranks == [4 * MAPS] * 2 + falling + [2 * MAPS] * 4, "2 steps before, 4 of a cubic fall, 4 after"


def test_a_run_too_short_to_learn_what_matters_keeps_every_rank(make, tmp_path):
    on = make("adalora", training={"epochs": 1, "batch_size": 8}, **OPTIONS)
    assert run(on, tmp_path / "run").steps == 1
    assert kept(on.model) == 4 * MAPS


@pytest.mark.parametrize("at", [4, 8])
def test_a_stopped_run_goes_on_with_its_importances(make, tmp_path, monkeypatch, at):
    def trained(name, stop=0):
        on = make("adalora", training={**TRAINING, "learning_rate": 0.05}, **OPTIONS)
        steps = []
        run(on, tmp_path / name, listeners=(lambda e: steps.append(e["event"] == "step"),),
            stopping=lambda: "a test" if sum(steps) == stop else "")  # fmt: skip
        return digest(on.model)

    whole = trained("whole")
    for name in ("resumed", "forgetful"):
        with pytest.raises(InterruptedRunError):
            trained(name, stop=at)
    assert trained("resumed") == whole
    monkeypatch.setattr(AdaLora, "resume", lambda self, backbone, progress: None)
    if at == 4:
        assert trained("forgetful") != whole
    else:
        with pytest.raises(AttributeError):  # the budget is spent, and nobody knows on what
            trained("forgetful")


@pytest.mark.filterwarnings(OWN_WARNING)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_plain_peft_reads_the_smaller_adapter(make, features, tmp_path, dropout):
    on = make("adalora", training=TRAINING, dropout=dropout, **OPTIONS)
    run(on, tmp_path / "run")
    values = [v for name, v in on.model.backbone.network.named_parameters() if ".lora_E." in name]
    with torch.no_grad():
        values[0].zero_()  # an update may lose every rank
        for value in values[1:]:
            value.mul_(100)
    before, ranks = features(on), kept(on.model)
    assert ranks < 2 * MAPS
    on.model.method.save(on.model.backbone, tmp_path / "one", "bert")
    torch.testing.assert_close(features(on), before)
    saved = load_file(tmp_path / "one" / WEIGHTS)
    assert sum(len(value) for name, value in saved.items() if "lora_E" in name) == ranks
    torch.testing.assert_close(features(on, tmp_path / "one"), before)
    again = make("adalora", dropout=dropout, **OPTIONS)
    again.model.method.load(again.model.backbone, tmp_path / "one")
    again.model.head.load_state_dict(on.model.head.state_dict())
    assert digest(again.model) == digest(on.model)
    again.model.method.save(again.model.backbone, tmp_path / "two", "bert")
    assert (tmp_path / "one" / WEIGHTS).read_bytes() == (tmp_path / "two" / WEIGHTS).read_bytes()
    assert json.loads((tmp_path / "two" / CONFIG).read_text())["init_r"] == 4


@pytest.mark.filterwarnings(OWN_WARNING)
def test_weights_of_an_earlier_epoch_are_not_cut_by_a_later_budget(make, features, tmp_path):
    on = make("adalora", training=TRAINING, **OPTIONS)
    run(on, tmp_path / "run")
    shake(on.model)  # as weights from before the budget fell: every value is there
    before = features(on)
    on.model.method.save(on.model.backbone, tmp_path / "one", "bert")
    torch.testing.assert_close(features(on, tmp_path / "one"), before)


def test_the_penalty_is_the_mean_distance_from_orthogonal(make):
    on = make("adalora", orthogonal=0.5, **OPTIONS)
    far = []
    for name, value in on.model.backbone.network.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            vectors = value if ".lora_A." in name else value.T
            far.append(torch.sqrt(((vectors @ vectors.T - torch.eye(4)) ** 2).sum()))
    torch.testing.assert_close(on.model.method.penalty(on.model.backbone), 0.5 * sum(far) / len(far))


def test_training_with_the_penalty_makes_the_vectors_more_orthogonal(make, tmp_path):
    def distance(strength):
        on = make("adalora", training={**TRAINING, "learning_rate": 0.02}, **OPTIONS, orthogonal=strength)
        run(on, tmp_path / str(strength))
        measure = AdaLora(AdaLoraOptions(orthogonal=1.0))
        return float(measure.penalty(on.model.backbone).detach())

    assert distance(1.0) < 0.8 * distance(0.0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target_rank": 4, "initial_rank": 4}, "use a target_rank of at most 3, or lora for equal ranks"),
        ({"warm_share": 0.5, "final_share": 0.5}, "use shares of less than 1 together"),
        ({"initial_rank": 33}, "use a rank of at most 32, or full"),
    ],
)
def test_what_cannot_work_says_what_does(make, root, options, told):
    recipe = make("adalora").recipe.having("method", **options)
    with pytest.raises(UnsupportedError, match=told):
        check(recipe, root)
