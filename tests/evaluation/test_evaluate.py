import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from answers import multi, single
from attune.core.recipe import EvaluationOptions
from attune.core.records import Answers
from attune.errors import DataError
from attune.evaluation.evaluate import Comparison, Evaluation, compare, evaluate
from attune.evaluation.rows import worst
from attune.evaluation.slices import by_length, by_script, script
from attune.tasks.metrics import NAMES

OPTIONS = EvaluationOptions(resamples=100)


def texts_of(rows: int) -> tuple[list[str], list[str]]:
    return [f"text {'x' * (row % 37)}" for row in range(rows)], [f"row-{row}" for row in range(rows)]


@pytest.mark.parametrize("make", [single, multi])
def test_an_evaluation_goes_to_json_and_back(make):
    found = evaluate(
        make(), *texts_of(300), baselines=[make(seed=5, noise=4, name="tfidf")], options=OPTIONS, notices=["cut"]
    )
    assert Evaluation.from_dict(json.loads(json.dumps(found.as_dict(), allow_nan=False))) == found
    assert tuple(found.metrics) == NAMES[found.multi_label]
    assert found.notices == ["cut"]
    assert found.baselines[0]["difference"].value > 0
    assert "TF-IDF" in found._repr_html_()


def test_labels_and_confusion_are_scikit_learns():
    answers = single()
    found = evaluate(answers, *texts_of(300), options=OPTIONS)
    assert found.confusion == confusion_matrix(answers.gold, answers.chosen).tolist()
    assert [row["f1"] for row in found.per_class] == pytest.approx(f1_score(answers.gold, answers.chosen, average=None))
    assert sum(row["support"] for row in found.per_class) == sum(row["chosen"] for row in found.per_class) == 300
    assert found.per_class[0]["average_precision"] is None
    several = evaluate(multi(), *texts_of(300), options=OPTIONS)
    assert several.confusion is None
    assert all(row["average_precision"] > 0.5 for row in several.per_class)


def test_labels_rare_unknown_or_absent_are_said():
    gold = np.array([0] * 10 + [1, 2])
    probabilities = np.tile([0.5, 0.4, 0.0, 0.1], (12, 1))
    answers = Answers("m", ("many", "few", "unknown", "absent"), gold, probabilities, np.zeros(12, dtype=np.int64))
    said = " / ".join(evaluate(answers, *texts_of(12), options=OPTIONS).notices)
    assert "fewer than 5 rows here" in said
    assert "never learned: unknown" in said
    assert "nothing is known of them: absent" in said


def test_slices_part_the_rows():
    found = evaluate(single(), *texts_of(300), options=OPTIONS)
    assert sum(part["rows"] for part in found.slices) == 300
    assert {part["by"] for part in found.slices} == {"length"}
    assert [name for name, _ in by_length(["a"] * 9)] == ["1 character"]
    assert script("退款") == "han"
    assert script("refund") == "latin"
    assert script("退款 refund") == "mixed"
    assert script("123") == "other"
    groups = by_script(["退款", "refund", "x 退", "12", "ab"])
    assert [(name, rows.tolist()) for name, rows in groups] == [
        ("latin", [1, 4]),
        ("han", [0]),
        ("mixed", [2]),
        ("other", [3]),
    ]


def test_the_surest_errors_come_first():
    gold = np.array([0, 0, 1])
    probabilities = np.array([[0.4, 0.6], [0.1, 0.9], [0.2, 0.8]])
    answers = Answers("m", ("a", "b"), gold, probabilities, probabilities.argmax(axis=1))
    found = worst(answers, ["one\n two", "x" * 500, "three"], ["1", "2", "3"])
    assert [row["id"] for row in found] == ["2", "1"]
    assert found[1] == {"id": "1", "text": "one two", "gold": ["a"], "chosen": ["b"], "confidence": 0.6}
    assert len(found[0]["text"]) == 240


def test_the_surest_errors_of_several_labels():
    gold = np.array([[True, False], [True, True]])
    probabilities = np.array([[0.9, 0.7], [0.9, 0.05]])
    found = worst(Answers("m", ("a", "b"), gold, probabilities, probabilities > 0.5), ["x", "y"], ["1", "2"])
    assert [(row["id"], row["chosen"], round(row["confidence"], 2)) for row in found] == [
        ("2", ["a"], 0.95),
        ("1", ["a", "b"], 0.7),
    ]


@pytest.mark.parametrize("make", [single, multi])
def test_a_comparison_parts_rows_by_who_is_right(make):
    a, b = make(seed=1, name="a"), make(seed=2, noise=3, name="b")
    found = compare(a, b, *texts_of(300), options=OPTIONS)
    assert len(found.only_a) + len(found.only_b) + found.both + found.neither == 300
    for row in found.only_a:
        assert row["a"] == row["gold"] != row["b"]
    assert Comparison.from_dict(json.loads(json.dumps(found.as_dict(), allow_nan=False))) == found
    back = compare(b, a, *texts_of(300), options=OPTIONS)
    assert (len(back.only_b), back.both) == (len(found.only_a), found.both)


def test_other_rows_are_refused():
    a = single()
    with pytest.raises(DataError, match="gold labels of"):
        compare(a, replace(a, gold=np.roll(a.gold, 1)), *texts_of(300), options=OPTIONS)
    with pytest.raises(DataError, match="300 answers, 299 texts"):
        evaluate(a, *texts_of(299), options=OPTIONS)


def test_one_row_or_no_label_at_all_is_enough():
    one = Answers("m", ("a", "b"), np.array([0]), np.array([[0.9, 0.1]]), np.array([0]))
    assert evaluate(one, [""], ["1"], baselines=[one], options=OPTIONS).metrics["accuracy"].value == 1
    nothing = np.zeros((3, 2), dtype=bool)
    several = Answers("m", ("a", "b"), nothing, np.full((3, 2), 0.2), nothing)
    found = evaluate(several, *texts_of(3), baselines=[several], options=OPTIONS)
    assert found.metrics["macro_f1"].value == found.metrics["average_precision"].value == 0
    assert found.worst == []
