"""Programs as answers in a run: what a row must have, what is run of it, and the figures that come of it."""

import json

import numpy as np
import pytest

from attune.core.recipe import parse
from attune.core.records import Alternative, Prediction
from attune.errors import DataError, MachineError, RecipeError
from attune.lifecycle.evaluate import evaluate_bundles
from attune.lifecycle.train import train
from attune.model.assemble import AXES, check
from attune.tasks.code import sandbox
from attune.tasks.code.problems import problem_of, read_tests
from attune.tasks.common.labelled import Labels
from attune.tasks.generation import Generation, GenerationOptions
from support.bundles import write_rows

ADD = "def add(a, b):\n"
HUMAN = {
    "text": ADD, "tests": "def check(candidate):\n    assert candidate(1, 2) == 3", "entry_point": "add",
}  # fmt: skip
MBPP = {
    "text": "Add two numbers.",
    "tests": ["assert add(1, 2) == 3", "assert add(0, 0) == zero"],
    "test_setup": "zero = 0",
}


def task(candidates=1, **programs):
    decoding = {"candidates": candidates, "sample": candidates > 1}
    return Generation(GenerationOptions(preset="code", programs=programs, decoding=decoding))


def told(*texts):
    return Prediction(texts[0], None, tuple(Alternative(text, None) for text in texts[1:]))


def figures(one, rows, predictions):
    golds = [one.right("    return a + b", row) for row in rows]
    scores = one.judged("x", predictions, golds, Labels((), ()))
    return scores, {name: found[0] for name, found in scores.measure(np.ones((1, len(rows)))).items()}


def test_programs_pass_by_the_tests_of_their_rows():
    body, wrong = "    return a + b", "    return None"
    scores, found = figures(task(continues=True), [HUMAN, HUMAN], [told(body), told(wrong)])
    assert found["pass_1"] == 0.5 and scores.right().tolist() == [True, False] and "pass_5" not in found
    assert scores.leads() == ("pass_1", "same_text", "bleu")
    _, found = figures(task(), [MBPP, MBPP], [told(ADD + body), told(ADD + wrong)])
    assert found["pass_1"] == 0.5
    _, found = figures(task(), [HUMAN], [told("print(1)")])
    assert found["pass_1"] == 0


def test_every_draw_counts_for_pass_at_k():
    body, wrong = ADD + "    return a + b", ADD + "    return None"
    scores, found = figures(task(5), [MBPP, MBPP], [told(wrong, body, wrong, wrong, body), told(*[wrong] * 5)])
    assert found["pass_1"] == pytest.approx(0.2) and found["pass_5"] == 0.5
    assert scores.beside(scores.take(np.array([0]))).passed.tolist() == [[5, 2], [5, 0], [5, 2]]


def test_nothing_is_run_unless_the_recipe_says_so(monkeypatch):
    monkeypatch.setattr(sandbox, "run", lambda *_: pytest.fail("a program was run"))
    plain = Generation(GenerationOptions(preset="code"))
    gold = plain.right("x", HUMAN)
    assert gold == {"texts": ["x"]} and not plain.form.beside
    assert "pass_1" not in plain.judged("x", [told("x")], [gold], Labels((), ())).has()


@pytest.mark.parametrize(
    ("row", "said"),
    [({"text": "x"}, "no tests; name their column"), ({**HUMAN, "entry_point": None}, "no name of what it is handed")],
)
def test_rows_that_cannot_be_tried_are_told(row, said):
    with pytest.raises(ValueError, match=said):
        problem_of(row, continues=False)
    with pytest.raises(ValueError, match="where tests"):
        read_tests(3, {})
    assert read_tests('["assert x"]', {}) == ["assert x"] and read_tests("[x for x in y]", {}) == "[x for x in y]"


def recipe(**changes):
    document = {
        "data": {
            "train": "rows.jsonl", "text": "prompt", "label": "code", "test_share": 0.2,
            "columns": {"tests": "test_list", "test_setup": "setup"},
        },
        "backbone": {
            "family": "causal", "name": "scratch", "scratch": {"layers": 1, "width": 32, "heads": 2, "positions": 160},
            "tokenizer": {"vocabulary": 340},
        },
        "task": {"name": "generation", "preset": "code", "max_target": 48, "programs": True},
        "method": {"name": "full"},
        "training": {
            "epochs": 1, "batch_size": 8, "threads": 1, "precision": "float32", "attention": "sdpa",
            "learning_rate": 3e-3, "metric": "pass_1",
        },
        "evaluation": {"resamples": 100, "baselines": ["majority"]},
    }  # fmt: skip
    return parse({**document, **changes}, AXES)


@pytest.mark.slow
def test_a_run_shows_pass_at_1_beside_baselines(tmp_path):
    rows = [
        {"prompt": f"x = {n}", "code": f"x = {n}", "test_list": [f"assert x == {n} + zero"], "setup": "zero = 0"}
        for n in range(24)
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    bundle = train(recipe(), tmp_path, tmp_path / "run")
    found = json.loads((bundle.path / "evaluation.json").read_text(encoding="utf-8"))
    assert found["headline"][0] == "pass_1" and found["metrics"]["pass_1"]["value"] < 1
    assert found["baselines"][0]["metrics"]["pass_1"]["value"] == 1.0, "a copy is right here"
    again = evaluate_bundles([bundle], str(tmp_path / "rows.jsonl")).evaluations[0]
    assert "pass_1" in again.metrics
    assert isinstance(bundle.predict(["x = 1"])[0].answer, str), "who asks need have no tests"
    write_rows(tmp_path / "rows.jsonl", [{**row, "test_list": None} for row in rows])
    with pytest.raises(DataError, match="no tests; name their column"):
        train(recipe(), tmp_path, tmp_path / "other")


def test_what_cannot_be_run_is_refused_before_data_is_read(tmp_path, monkeypatch):
    def refused(program, *_):
        raise MachineError("the network cannot be taken away from a program here", where="code")

    monkeypatch.setattr(sandbox, "run", refused)
    with pytest.raises(MachineError, match="cannot be taken away"):
        check(recipe(), tmp_path)
    with pytest.raises(RecipeError, match="set preset"):
        recipe(task={"name": "generation", "programs": True})
    with pytest.raises(RecipeError, match=r"set decoding\.sample"):
        recipe(task={"name": "generation", "preset": "code", "programs": {}, "decoding": {"beams": 5, "candidates": 5}})
    plain = recipe(task={"name": "generation", "preset": "code", "max_target": 48})
    check(plain, tmp_path)
    write_rows(
        tmp_path / "rows.jsonl",
        [{"prompt": f"x{n}", "code": f"y{n}", "test_list": ["1"], "setup": ""} for n in range(30)],
    )
    with pytest.raises(DataError, match="no validation row has 1 program"):
        train(plain, tmp_path, tmp_path / "run")
