"""Every form of LoRA is saved relative to the published weights."""

import json

import pytest
import torch
from safetensors.torch import load_file

from attune.methods.peft_layout import CONFIG, WEIGHTS
from support.cells import digest, shake

FORMS = [
    {"rank": 4},
    {"rank": 4, "rslora": True},
    {"rank": 4, "dora": True},
    {"rank": 4, "init": "pissa"},
    {"rank": 4, "init": "olora"},
    {"rank": 4, "init": "pissa", "rslora": True, "alpha": 3.0},
    {"rank": 4, "init": "olora", "dora": True},
]


def named(form):
    return "-".join(f"{key}={value}" for key, value in form.items())


@pytest.mark.parametrize("form", FORMS, ids=named)
def test_plain_peft_on_the_published_weights_gives_the_same_features(make, features, tmp_path, form):
    on = make("lora", **form)
    torch.testing.assert_close(features(on), features(make("frozen")), atol=1e-4, rtol=0)
    shake(on)
    assert (features(on) - features(make("frozen"))).abs().max() > 0.1
    on.model.method.save(on.model.backbone, tmp_path, "bert")
    torch.testing.assert_close(features(on, tmp_path), features(on), atol=1e-4, rtol=0)
    document = json.loads((tmp_path / CONFIG).read_text())
    assert document["r"] == (8 if "init" in form else 4)
    assert document["init_lora_weights"] is True
    assert document["base_model_name_or_path"] == "bert"


@pytest.mark.parametrize("form", FORMS, ids=named)
def test_what_is_saved_comes_back_bit_for_bit(make, features, tmp_path, form):
    on, again = make("lora", **form), make("lora", **form)
    shake(on)
    on.model.method.save(on.model.backbone, tmp_path / "one", "bert")
    assert digest(again.model) != digest(on.model)
    again.model.method.load(again.model.backbone, tmp_path / "one")
    again.model.head.load_state_dict(on.model.head.state_dict())
    assert digest(again.model) == digest(on.model)
    torch.testing.assert_close(features(again), features(on), atol=0, rtol=0)
    again.model.method.save(again.model.backbone, tmp_path / "two", "bert")
    for name in (WEIGHTS, CONFIG):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_machine_whose_decomposition_has_other_signs_gives_the_same_answers(make, features, tmp_path, monkeypatch):
    on = make("lora", rank=4, init="pissa")
    shake(on)
    on.model.method.save(on.model.backbone, tmp_path / "one", "bert")
    svd = torch.linalg.svd

    def other(matrix, full_matrices):
        left, values, right = svd(matrix, full_matrices=full_matrices)
        sign = torch.where(torch.arange(len(values)) % 2 == 0, -1.0, 1.0)
        return left * sign * 1.001, values, right * sign[:, None]

    monkeypatch.setattr(torch.linalg, "svd", other)
    again = make("lora", rank=4, init="pissa")
    assert not all(
        torch.equal(value, on.model.method.started[key]) for key, value in again.model.method.started.items()
    )
    again.model.method.load(again.model.backbone, tmp_path / "one")
    torch.testing.assert_close(features(again), features(on), atol=1e-4, rtol=0)
    again.model.method.save(again.model.backbone, tmp_path / "two", "bert")
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("one", "two"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_rslora_divides_by_the_root_of_the_rank(make):
    def scale(**form):
        modules = make("lora", rank=16, alpha=8.0, **form).model.backbone.network.modules()
        return {module.scaling["default"] for module in modules if hasattr(module, "lora_A")}

    assert scale() == {0.5}
    assert scale(rslora=True) == {2.0}


def test_dora_learns_one_length_a_row(make):
    tensors = make("lora", rank=4, dora=True).model.backbone.network.state_dict()
    lengths = {name: value for name, value in tensors.items() if "lora_magnitude_vector" in name}
    assert len(lengths) == 2 * 6
    name = next(name for name in lengths if "layer.0.intermediate" in name)
    weight = tensors[name.replace("lora_magnitude_vector.default.weight", "base_layer.weight")]
    torch.testing.assert_close(lengths[name], weight.norm(dim=1))
