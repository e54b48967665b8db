"""Bottleneck adapters: where they are, what they compute, what is saved, and what is refused."""

import copy
import threading

import pytest
import torch
import transformers
from safetensors.torch import load_file

from attune.compression.export import to_peft, to_transformers
from attune.core.recipe import parse
from attune.errors import BundleError, CannotMerge, UnsupportedError
from attune.lifecycle.train import train
from attune.model.assemble import AXES, assemble, check
from attune.tasks.classification import Labels
from attune.training.optimiser import build
from support import tiny
from support.bundles import Run, Workshop

STYLES = ("houlsby", "pfeiffer", "parallel")
LABELS = Labels(("a", "b"), (1, 1))
INPUTS = {"input_ids": torch.arange(5, 13).reshape(2, 4), "attention_mask": torch.ones(2, 4, dtype=torch.long)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folder with a few tiny backbones."""
    folder = tmp_path_factory.mktemp("adapter")
    for kind in ("bert", "modernbert"):
        tiny.backbone(folder / kind, kind)
    return folder


def recipe(kind="bert", pooling="mean", training=None, **options):
    return parse(
        {
            "data": {"train": "nowhere.jsonl"},
            "backbone": {"name": kind, "pooling": pooling},
            "method": {"name": "adapter", "bottleneck": 8, **options},
            "training": {"threads": 1, **(training or {})},
        },
        AXES,
    )


def made(root, **choices):
    wanted = recipe(**choices)
    return assemble(wanted, check(wanted, root), LABELS)


def stir(model, seed=1):
    """Random adapters in place of ones that add nothing."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.backbone.network.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return model


def features(model):
    with torch.inference_mode():
        return model.backbone(INPUTS)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_it_begins_as_the_published_backbone(kind, style, root):
    plain = parse({"backbone": {"name": kind}, "method": {"name": "frozen"}, "data": {"train": "x"}}, AXES)
    untuned = assemble(plain, check(plain, root), LABELS)
    assert torch.equal(features(made(root, kind=kind, style=style)), features(untuned))


def added(adapters, place, scale):
    """What an adapter adds, from its weights."""
    adapter = adapters[place]
    return lambda x: scale * (torch.relu(x @ adapter.down.weight.T + adapter.down.bias) @ adapter.up.weight.T + adapter.up.bias)  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(("style", "scale"), [("houlsby", 1.0), ("pfeiffer", 1.0), ("parallel", 4.0)])
def test_a_layer_computes_what_the_papers_say(style, scale, root):
    model = stir(made(root, style=style))
    layer = model.backbone.network.encoder.layer[0]
    adapters = layer.adapters
    draw = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = layer(draw)
        out = layer.attention.output
        context = layer.attention.self(draw)[0]
        attended = context @ out.dense.weight.T + out.dense.bias
        if style == "houlsby":
            attended = attended + added(adapters, "attention", scale)(attended)
        attended = out.LayerNorm(attended + draw)
        fed = layer.intermediate(attended) @ layer.output.dense.weight.T + layer.output.dense.bias
        fed = fed + added(adapters, "feed_forward", scale)(attended if style == "parallel" else fed)
        torch.testing.assert_close(found, layer.output.LayerNorm(fed + attended))
    assert set(adapters) == ({"attention", "feed_forward"} if style == "houlsby" else {"feed_forward"})


def test_options_change_what_is_inserted(root):
    network = made(root, bottleneck=0, reduction=4, activation="gelu", scale=2.5).backbone.network
    adapter = network.encoder.layer[1].adapters["attention"]
    assert adapter.down.weight.shape == (8, 32)
    assert adapter.scale == 2.5
    assert isinstance(adapter.activation, torch.nn.GELU)
    assert made(root, bottleneck=5).backbone.network.encoder.layer[0].adapters["attention"].down.out_features == 5


def test_only_the_top_layers_get_adapters_where_asked(root):
    model = made(root, top_layers=1)
    layers = model.backbone.network.encoder.layer
    assert [hasattr(layer, "adapters") for layer in layers] == [False, True]
    assert model.method.frozen_below(model.backbone) == 1
    assert made(root).method.frozen_below(model.backbone) == 0


def test_rates_fall_by_layer(root):
    model = made(root, training={"learning_rate": 1.0, "head_learning_rate": 3.0, "layer_decay": 0.5})
    options = recipe(training={"learning_rate": 1.0, "head_learning_rate": 3.0, "layer_decay": 0.5}).training
    rates = {id(p): group["peak"] for group in build(model, options).param_groups for p in group["params"]}
    for name, parameter in model.backbone.network.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)] == {"0": 0.5, "1": 1.0}[name.split(".")[2]]
    assert rates[id(model.head.linear.weight)] == 3.0


@pytest.mark.parametrize("style", STYLES)
def test_a_copy_has_adapters_of_its_own(style, root):
    model = stir(made(root, style=style))
    before = features(model)
    other = copy.deepcopy(model)
    assert torch.equal(features(other), before)
    stir(other, seed=2)
    assert torch.equal(features(model), before)
    assert not torch.allclose(features(other), before)


def test_two_threads_in_one_layer_do_not_read_each_other(root):
    model = stir(made(root, style="parallel"))
    inputs = [{**INPUTS, "input_ids": INPUTS["input_ids"] + shift} for shift in (0, 5)]
    with torch.inference_mode():
        alone = [model.backbone(batch) for batch in inputs]
    together = threading.Barrier(2)
    wide = model.backbone.network.encoder.layer[0].intermediate.dense
    wide.register_forward_hook(lambda *_: (together.wait(30), None)[1])
    found = [None, None]

    def answer(index):
        with torch.inference_mode():
            found[index] = model.backbone(inputs[index])

    threads = [threading.Thread(target=answer, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one, other in zip(found, alone, strict=True):
        assert torch.equal(one, other)


def test_what_is_saved_is_named_by_layer_and_not_by_the_class_around_it(root, tmp_path):
    model = stir(made(root))
    model.method.save(model.backbone, tmp_path, "bert")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]
    saved = load_file(tmp_path / "weights.safetensors")
    assert set(saved) == {
        f"adapters.{layer}.{place}.{map_}.{kind}"
        for layer in (0, 1)
        for place in ("attention", "feed_forward")
        for map_ in ("down", "up")
        for kind in ("weight", "bias")
    }
    other = made(root, pooling="first")
    assert other.backbone.stacks[0].path != model.backbone.stacks[0].path
    other.method.load(other.backbone, tmp_path)
    other.method.save(other.backbone, tmp_path, "bert")
    again = load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(again[name], value) for name, value in saved.items())


def test_adapters_of_another_style_are_refused(root, tmp_path):
    model = made(root, style="houlsby")
    model.method.save(model.backbone, tmp_path, "bert")
    with pytest.raises(BundleError, match="holds other tensors"):
        made(root, style="pfeiffer").method.load(made(root, style="pfeiffer").backbone, tmp_path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bottleneck": 33}, "use at most 32 units"),
        ({"bottleneck": 0, "reduction": 33}, "a reduction of at most 32"),
        ({"top_layers": 3}, "use at most 2, or 0"),
    ],
)
def test_options_that_cannot_work_are_refused_before_data_is_read(options, told, root, tmp_path):
    with pytest.raises(UnsupportedError, match=told):
        train(recipe(**options), root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "style", "told"),
    [
        (transformers.SqueezeBertConfig(**tiny.COMMON, embedding_size=32), "pfeiffer", "use full or frozen"),
        (transformers.FNetConfig(**tiny.COMMON, type_vocab_size=2), "houlsby", 'use style = "pfeiffer"'),
    ],
)
def test_a_network_without_the_places_is_refused_before_data_is_read(config, style, told, root, tmp_path):
    config.vocab_size = 60
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "odd")
    with pytest.raises(UnsupportedError, match=told) as caught:
        train(recipe(kind="odd", style=style), tmp_path, tmp_path / "out")
    assert "[method] adapter on odd" in caught.value.where
    assert not (tmp_path / "out").exists()


def test_an_export_that_needs_a_merge_says_why_there_is_none(workshop: Workshop, run: Run, tmp_path):
    bundle = workshop.bundle("adapter")
    with pytest.raises(CannotMerge, match="is not linear"):
        to_transformers(bundle, tmp_path / "out")
    with pytest.raises(UnsupportedError, match="method adapter has no PEFT layout"):
        to_peft(bundle, tmp_path / "out")
    done = run(
        "export", bundle.path, "--format", "transformers", "--out", tmp_path / "out", "--data-root", workshop.root
    )
    assert done.code == 2
    assert "method adapter cannot be exported as plain weights" in done.err
    assert "`attune serve`; tune with lora, frozen or full" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()
