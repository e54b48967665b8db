"""BitFit moves bias terms, and only where there are some."""

import pytest

from attune.errors import UnsupportedError
from attune.lifecycle.train import train
from attune.training.optimiser import moving


def test_the_layers_bias_terms_move_and_nothing_else(make):
    on = make("bias")
    names = [name for name, _ in moving(on.model) if name.startswith("backbone.")]
    layers = {f"backbone.encoder.layer.{index}." for index in (0, 1)}
    assert {name[: len("backbone.encoder.layer.0.")] for name in names} == layers
    assert all(name.endswith(".bias") for name in names)
    assert len(names) == 2 * 8  # query, key, value, attention's output, its norm, two feed-forward maps, their norm
    sizes = sum(value.numel() for name, value in moving(on.model) if name.startswith("backbone."))
    assert sizes == 2 * (32 * 7 + 48)


def test_a_backbone_without_bias_terms_is_refused_before_data_is_read(make, root, tmp_path):
    recipe = make("bias").recipe.having("backbone", name="modernbert")
    with pytest.raises(UnsupportedError) as caught:
        train(recipe, root, tmp_path / "out")
    assert "method bias needs bias_terms, which the modernbert network of modernbert does not provide" in str(
        caught.value
    )
    works = caught.value.found.rsplit(": ", 1)[1].split(", ")
    assert {"full", "frozen", "lora", "ia3", "adalora"} <= set(works) and "bias" not in works
    assert not (tmp_path / "out").exists()
