"""The order of candidates, and what is said of the cheaper ones."""

from dataclasses import replace

import numpy as np
import pytest

from answers import multi, single
from attune.core.recipe import EvaluationOptions
from attune.evaluation.choice import Candidate, Choice, as_good, cheapness, ranked
from attune.evaluation.evaluate import evaluate
from attune.evaluation.intervals import Interval, intervals, paired
from attune.evaluation.report import report

OPTIONS = EvaluationOptions(resamples=300)


def measured(name, answers, parameters=100, rate=50.0, metric="accuracy"):
    score = intervals(answers, [metric], confidence=0.95, resamples=300, seed=0)[metric]
    return Candidate(name, "ab", parameters, 1.5, 0.01, 2.0, rate, score)


def test_the_best_first_the_smaller_among_equals_and_the_unusable_last():
    def of(name, value, parameters):
        return Candidate(name, parameters=parameters, score=Interval(value, value, value))

    given = [Candidate("broken", reason="no"), of("low", 0.4, 1), of("big", 0.9, 9), of("small", 0.9, 3),
             Candidate("other", reason="no")]  # fmt: skip
    assert [each.name for each in ranked(given)] == ["small", "big", "low", "broken", "other"]


def test_where_less_is_better_the_least_comes_first():
    given = [Candidate(str(value), parameters=1, score=Interval(value, value, value)) for value in (0.5, 0.2, 0.9)]
    assert [each.name for each in ranked(given, higher=False)] == ["0.2", "0.5", "0.9"]


@pytest.mark.parametrize(("make", "metric"), [(single, "accuracy"), (multi, "macro_f1")])
def test_a_cheaper_one_is_named_where_the_paired_interval_holds_zero_and_only_there(make, metric):
    answers = {"best": make(seed=1, noise=1.0), "near": make(seed=2, noise=1.02), "far": make(seed=3, noise=4.0)}
    order = ranked([measured(name, found, metric=metric) for name, found in answers.items()])
    assert order[-1].name == "far"
    best, near = order[0].name, order[1].name
    difference = paired(answers[best], answers[near], [metric], confidence=0.95, resamples=300, seed=0)[metric]
    assert difference.low <= 0 < difference.high
    assert as_good(order, answers, metric, OPTIONS) == [], "none is cheaper"
    cheap = [order[0], replace(order[1], parameters=25), replace(order[2], parameters=5)]
    (notice,) = as_good(cheap, answers, metric, OPTIONS)
    assert f"{best} was chosen by its score, and cannot be told apart from {near}" in notice
    assert "which has 25% of its parameters:" in notice
    assert f"{metric} differs by {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]" in notice
    assert f'backbone.name = "{near}"' in notice


def test_the_smallest_of_several_is_named_first():
    answers = {name: single(seed=1) for name in ("a", "b", "c")}
    order = [measured("a", answers["a"]), measured("b", answers["b"], 60), measured("c", answers["c"], 20)]
    notices = as_good(order, answers, "accuracy", OPTIONS)
    assert ["apart from c" in notices[0], "apart from b" in notices[1], len(notices)] == [True, True, 2]


def test_what_cheaper_means():
    best = Candidate("best", parameters=1000, rows_per_second=100.0)
    assert cheapness(Candidate("o", parameters=950, rows_per_second=120.0), best) == ""
    assert cheapness(Candidate("o", parameters=900, rows_per_second=90.0), best) == "has 90% of its parameters"
    assert cheapness(Candidate("o", parameters=2000, rows_per_second=130.0), best) == (
        "reads 1.3 times as many rows a second"
    )
    both = cheapness(Candidate("o", parameters=500, rows_per_second=300.0), best)
    assert both == "has 50% of its parameters and reads 3.0 times as many rows a second"


def choice():
    answers = single(seed=1)
    return Choice(
        "a/base", "accuracy", "2,000 of 9,003 rows, stratified by label", 5, 0.95,
        [measured("a/base", answers), Candidate("<b>", reason="it is <i>broken</i>")], ["c is as good"],
    )  # fmt: skip


def test_a_choice_goes_to_json_and_back():
    assert Choice.from_dict(choice().as_dict()) == choice()


def test_the_report_shows_the_backbones_compared_and_escapes_their_names():
    answers = single(seed=1)
    found = evaluate(answers, ["t"] * 300, [str(row) for row in range(300)], options=OPTIONS)
    html = report(found, title="t", recipe_toml="", history=[], facts={}, choice=choice())
    section = html.split('<section id="backbones">')[1].split("</section>")[0]
    for said in ("Backbones compared", "2,000 of 9,003 rows", "c is as good", "not usable: it is &lt;i&gt;broken"):
        assert said in section
    assert "<i>broken" not in html
    assert f"{100 * np.mean(answers.gold == answers.chosen):.1f}" in section
    plain = report(found, title="t", recipe_toml="", history=[], facts={})
    assert "Backbones compared" not in plain
    assert '#backbones"' not in plain
