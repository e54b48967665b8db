"""The invariants of DESIGN §4 for several tasks at once: every kind of backbone and every method that trains."""

import pytest

from support import cells, worker

VARIANTS = cells.together()


def test_every_method_every_kind_and_all_that_is_asked_together_is_tried():
    assert {v.method for v in VARIANTS} == {name for name in cells.AXES["method"].names() if cells.takes_steps(name)}
    assert {v.kind for v in VARIANTS} == {kind for kinds in cells.KINDS.values() for kind in kinds}
    for family in cells.KINDS:
        assert {v.asked for v in VARIANTS if v.family == family} == set(cells.TOGETHER), family


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_invariants_that_need_no_process_hold(variant, root, tmp_path):
    for number, check in cells.IN_PROCESS.items():
        check(variant, root, tmp_path / str(number))


def test_the_invariants_of_processes_hold(root, tmp_path):
    """2: loaded in a new process. 4: two runs are equal. 7: killed and resumed."""
    some = [next(v for v in VARIANTS if v.asked == asked) for asked in ("label-spans", "label-number")]
    jobs = [
        {"do": do, "variant": v.plain(), "scratch": str(tmp_path / str(v) / folder)}
        for v in some
        for do, folder in (("pack", "packed"), ("trained", "one"), ("killed", "killed"))
    ]
    second = [
        {"do": do, "variant": v.plain(), "scratch": str(tmp_path / str(v) / folder)}
        for v in some
        for do, folder in (("answer", "packed"), ("trained", "two"))
    ]
    first, then = worker.serve(root, jobs), worker.serve(root, second)
    assert not [found["error"] for found in first + then if "error" in found]
    for number in range(len(some)):
        packed, one, killed = (found["value"] for found in first[3 * number : 3 * number + 3])
        answered, two = (found["value"] for found in then[2 * number : 2 * number + 2])
        assert not cells.unlike(packed, answered)
        assert one == two
        assert killed["digest"] == one["digest"]
