"""Overrides that name another entry begin its table anew."""

from attune.core.recipe import override, parse
from attune.model.assemble import AXES


def test_another_method_does_not_inherit_the_former_s_keys() -> None:
    document = {"method": {"name": "frozen", "trainable_layers": 2}}
    assert override(document, ["method.name=full"]) == {"method": {"name": "full"}}
    assert parse(override(document, ["method.rank=4", "method.name=lora"]), AXES).method.rank == 4
    assert document["method"]["trainable_layers"] == 2


def test_the_same_method_keeps_its_keys() -> None:
    document = {"method": {"name": "frozen", "trainable_layers": 2}}
    assert override(document, ["method.name=frozen"]) == document
