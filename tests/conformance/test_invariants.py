"""The nine invariants of DESIGN §4 over covers of the cells."""

import pytest
import torch

from attune.methods.registry import METHODS
from support import cells, worker

FAST = cells.single_cover()
PAIRS = [variant for variant in cells.pairwise_cover() if variant not in FAST]
METHOD_COVER = cells.method_cover()
TRAINED = [variant for variant in METHOD_COVER if cells.applies(4, variant)]


def applicable(variants):
    """Every variant with every invariant that says something of it."""
    return [
        pytest.param(number, variant, id=f"{variant}-{number}")
        for variant in variants
        for number in cells.IN_PROCESS
        if cells.applies(number, variant)
    ]


@pytest.mark.parametrize(("number", "variant"), applicable(FAST))
def test_invariant_on_the_single_cover(number, variant, root, tmp_path, checked):
    cells.IN_PROCESS[number](variant, root, tmp_path)
    checked(number, variant)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "variant"), applicable(PAIRS))
def test_invariant_on_the_pairwise_cover(number, variant, root, tmp_path, checked):
    cells.IN_PROCESS[number](variant, root, tmp_path)
    checked(number, variant)


@pytest.fixture(scope="module")
def two(root, tmp_path_factory):
    """What two new processes, one after the other, make of each variant: the second reads what the first packed."""
    base = tmp_path_factory.mktemp("processes")

    def jobs(*kinds):
        for variant in METHOD_COVER:
            for do, folder in kinds if variant in TRAINED else kinds[:1]:
                yield {"do": do, "variant": variant.plain(), "scratch": str(base / str(variant) / folder)}

    asked = (("pack", "packed"), ("trained", "one"), ("killed", "killed")), (("answer", "packed"), ("trained", "two"))
    found = {}
    for kinds in asked:
        made = list(jobs(*kinds))
        for job, result in zip(made, worker.serve(root, made), strict=True):
            found[str(cells.Variant(**job["variant"])), job["scratch"].rsplit("/", 1)[1], job["do"]] = result
    return found


def value(result):
    assert "error" not in result, result["error"]
    return result["value"]


@pytest.mark.slow
@pytest.mark.parametrize("variant", METHOD_COVER, ids=str)
def test_2_a_bundle_answers_the_same_in_a_new_process(variant, two, checked):
    here, there = value(two[str(variant), "packed", "pack"]), value(two[str(variant), "packed", "answer"])
    assert not cells.unlike(here, there)
    checked(2, variant)


@pytest.mark.slow
@pytest.mark.parametrize("variant", TRAINED, ids=str)
def test_4_two_runs_in_two_processes_are_equal_bit_for_bit(variant, two, checked):
    one, other = value(two[str(variant), "one", "trained"]), value(two[str(variant), "two", "trained"])
    assert one["steps"] == 9
    assert one == other
    checked(4, variant)


@pytest.mark.slow
@pytest.mark.parametrize("variant", TRAINED, ids=str)
def test_7_a_run_killed_and_resumed_ends_like_one_never_killed(variant, two, checked):
    assert value(two[str(variant), "killed", "killed"]) == value(two[str(variant), "one", "trained"])
    checked(7, variant)


def test_the_covers_hold_every_entry():
    assert {variant.method for variant in FAST} == {cell.method for cell in cells.supported()} == set(METHODS.names())
    assert {(variant.kind, variant.pooling) for variant in cells.pairwise_cover()} == {
        (variant.kind, variant.pooling) for variant in cells.every()
    }
    assert {variant.tuned for variant in METHOD_COVER} == {variant.tuned for variant in cells.every()}
    assert len(FAST) < len(cells.pairwise_cover()) < len(cells.every())
    assert len(set(cells.every())) == len(cells.every())


def test_a_check_fails_where_its_invariant_does_not_hold(root, tmp_path, monkeypatch):
    """Each check is tried on a model broken for it."""
    from attune.backbones.text import Text
    from attune.methods.full import Full
    from attune.methods.lora import Lora
    from attune.methods.prompt import Prompt
    from attune.methods.virtual import Virtual
    from attune.training.loop import Loop

    linear = [v for v in cells.every() if (v.family, v.head, v.pooling) == ("text", "linear", "mean")]
    full = next(v for v in linear if v.tuned == "full")
    lora = next(v for v in linear if v.tuned == "lora-all")
    prompt = next(v for v in linear if v.tuned == "prompt-text")

    def broken(number, variant, owner, name, instead):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, instead)
            with pytest.raises(AssertionError):
                cells.IN_PROCESS[number](variant, root, tmp_path / f"{number}-{getattr(instead, '__name__', name)}")

    apply, merge = Full.apply, Lora.merge

    def moves_too_much(self, backbone):
        apply(self, backbone)
        for parameter in backbone.network.parameters():
            parameter.requires_grad_(True)

    def merges_wrong(self, backbone):
        merge(self, backbone)
        next(iter(backbone.network.parameters())).data.mul_(1.01)

    def ignores_the_mask(self, inputs):
        return self.tokens(inputs).mean(1)

    def takes_no_step(self, weight, step):
        pass

    def merges_nothing(self, backbone):
        pass

    def refuses_nothing(self, layers, width):
        return ""

    def other_rows_each_time(self):
        return torch.rand(5, 32)

    def one_step_a_batch(self, state, micro_batches):
        step(self, state, micro_batches[:1])

    def no_limit(self):
        return 10_000

    step = Loop._step
    broken(1, full, Full, "apply", moves_too_much)
    broken(1, full, Loop, "_apply", takes_no_step)
    broken(3, lora, Lora, "merge", merges_wrong)
    broken(3, lora, Lora, "merge", merges_nothing)
    broken(3, prompt, Prompt, "merge", merges_nothing)
    broken(5, full, Text, "forward", ignores_the_mask)
    broken(5, prompt, Virtual, "forward", other_rows_each_time)
    broken(6, full, Loop, "_step", one_step_a_batch)
    broken(8, lora, Lora, "why_not", refuses_nothing)
    broken(8, prompt, Prompt, "positions", 0)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr(Text, "limit", property(no_limit))
        cells.IN_PROCESS[9](full, root, tmp_path / "9")
