"""Answers in a context: forms of rows, windows, no answer, SQuAD's measures, and every command."""

import json
import random

import numpy as np
import pytest

from attune.backbones.checkpoints import fetch
from attune.backbones.text import Text, TextOptions
from attune.core.packing import marks_of, pieces_of
from attune.core.records import Prediction
from attune.core.texts import joined
from attune.errors import DataError, RecipeError
from attune.evaluation.intervals import intervals, paired
from attune.lifecycle.train import train
from attune.model.assemble import Cell, check, why_not
from attune.model.bundle import load
from attune.tasks.common.answers import AnswerScores, exact, f1, read_answers
from attune.tasks.common.ends import CONTEXT, IGNORED, NOWHERE, best, best_of_window, targets_of_window
from attune.tasks.common.labelled import Labels
from attune.tasks.common.span_search import search, spans_of
from attune.tasks.question_answering import QuestionAnswering, QuestionAnsweringOptions, answered, threshold
from support.bundles import FILLER, TOPICS, recipe, write_rows

TASK = {"name": "question_answering", "max_answer": 6, "overlap": 8}
CONTEXT_TEXT = "The red parcel, wrong size, was late. A card was blue."
ROW = {"text": "what was late", "text_pair": CONTEXT_TEXT}


def made_up(count=90, seed=0, unanswerable=True):
    """Asks for what stands behind a word of one topic; every third context does not hold that word."""
    draw = random.Random(seed)
    rows = {}
    while len(rows) < count:
        topic = draw.choice(sorted(TOPICS))
        word = draw.choice(TOPICS[topic].split())
        words = draw.choices(FILLER, k=draw.randint(6, 14))
        place = draw.randrange(1, len(words) - 1)
        holds = not unanswerable or len(rows) % 3
        if holds:
            words.insert(place, word)
        context = " ".join(words)
        start = context.index(word) if holds else 0
        answers = {"text": [word], "answer_start": [start]} if holds else {"text": [], "answer_start": []}
        question = f"where is the {word}"
        rows.setdefault((question, context), {"text": question, "text_pair": context, "label": answers})
    return list(rows.values())


@pytest.fixture(scope="module")
def answering(workshop):
    """Bundles with and without unanswerable questions, each trained once."""
    made = {}

    def bundle(unanswerable=True):
        if unanswerable not in made:
            name = f"questions-{unanswerable}"
            write_rows(workshop.root / f"{name}.jsonl", made_up(unanswerable=unanswerable))
            wanted = recipe(
                data={"train": f"{name}.jsonl"}, task=TASK, evaluation={"baselines": ["majority", "zero_shot"]}
            )
            made[unanswerable] = train(wanted, workshop.root, workshop.root / name)
        return made[unanswerable]

    return bundle


@pytest.fixture(scope="module")
def tiny(workshop):
    """A tiny backbone that reads 24 tokens."""
    return Text(fetch("tiny", workshop.root), TextOptions(max_length=24)).eval()


@pytest.mark.parametrize(
    "cell",
    [
        {"text": ["red parcel", "A card"], "answer_start": [4, 38]},
        [{"text": "red parcel", "start": 4}, {"text": "A card", "answer_start": 38}, {"text": "A card", "start": 38}],
        '{"text": ["red parcel", "A card"], "answer_start": [4, 38]}',
        '[{"text": "red parcel", "start": 4}, {"text": "A card", "start": 38}]',
    ],
)
def test_answers_come_in_squads_form_or_as_a_list(cell):
    found = read_answers(cell, ROW)
    assert found == [{"start": 4, "end": 14, "text": "red parcel"}, {"start": 38, "end": 44, "text": "A card"}]


@pytest.mark.parametrize("cell", [[], "[]", {"text": [], "answer_start": []}])
def test_an_empty_list_says_that_there_is_no_answer(cell):
    assert read_answers(cell, ROW) == []


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (
            [{"text": "red parcel", "start": 5}],
            "'red parcel' is not at 5 of the context, which says 'ed parcel,'; it stands at 4",
        ),
        ([{"text": "green", "start": 0}], "'green' is not at 0 of the context, which says 'The r'; it stands nowhere"),
        ([{"text": "blue", "start": -5}], "is not at -5"),
        ([{"text": "blue."}], "where an answer {start, text} was expected"),
        ([{"text": " ", "start": 3}], "where an answer {start, text} was expected"),
        (["blue"], "where an answer {start, text} was expected"),
        ({"text": ["a", "b"], "answer_start": [0]}, "both as long"),
        (7, "a int where answers were expected"),
        ("[1,", "not JSON"),
    ],
)
def test_answers_that_do_not_stand_in_the_context_are_named(cell, told):
    with pytest.raises(ValueError) as caught:
        read_answers(cell, ROW)
    assert told in str(caught.value)


def test_bad_rows_are_listed_by_line(workshop, tmp_path):
    rows = made_up(8)
    rows[1]["label"]["answer_start"][0] += 1
    rows[4]["label"] = None
    write_rows(tmp_path / "bad.jsonl", rows)
    with pytest.raises(DataError) as caught:
        train(recipe(data={"train": str(tmp_path / "bad.jsonl")}, task=TASK), workshop.root, tmp_path / "out")
    assert [problem.where.rsplit(":", 1)[1] for problem in caught.value.problems] == ["2", "5"]
    assert "text_pair" in str(caught.value) and "answer_start" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "golds", "score", "same"),
    [
        ("the red Parcel!", ["red parcel"], 1.0, 1.0),
        ("a red card", ["the red parcel"], 0.5, 0.0),
        ("red red", ["red"], 2 / 3, 0.0),
        ("late", ["wrong size", "was late"], 2 / 3, 0.0),
        ("nothing of it", ["wrong size"], 0.0, 0.0),
        ("", [], 1.0, 1.0),
        ("red", [], 0.0, 0.0),
        ("", ["red"], 0.0, 0.0),
        ("北京大学", ["北京 大学。"], 1.0, 0.0),
        ("在北京", ["北京市"], 2 / 3, 0.0),
        ("用 BERT 模型", ["BERT模型"], 6 / 7, 0.0),
    ],
)
def test_measures_are_squads_by_hand(answer, golds, score, same):
    assert f1(answer, golds) == pytest.approx(score)
    assert exact(answer, golds) == same


def scores(chosen, name="model"):
    gold = [["red parcel"], ["late"], [], ["blue"]]
    value = [
        [[{"start": 0, "end": len(text), "text": text} for text in row] for row in side] for side in (gold, chosen)
    ]
    return AnswerScores(name, *value, None)


def test_a_set_is_measured_under_weights_and_compared():
    some = scores([["red card"], ["late"], [], []])
    assert some.measure(np.ones((1, 4)))["answer_f1"] == pytest.approx([(0.5 + 1 + 1 + 0) / 4])
    assert some.measure(np.array([[1.0, 0, 0, 1], [0, 0, 3, 0]]))["exact_match"] == pytest.approx([0, 1])
    assert some.right().tolist() == [False, True, True, False]
    assert some.words(some.gold[2]) == ["no answer"] and some.words(some.gold[0]) == ["red parcel"]
    options = {"confidence": 0.95, "resamples": 200, "seed": 0}
    found = intervals(some, ["answer_f1"], **options)["answer_f1"]
    assert found.low <= found.value <= found.high
    assert paired(some, scores([[], [], [], []]), ["answer_f1"], **options)["answer_f1"].value == pytest.approx(0.375)


def read(backbone, question, context, **options):
    task = QuestionAnswering(QuestionAnsweringOptions(**{**TASK, **options}))
    return task, task.read(backbone, [{"text": question, "text_pair": context}])


def test_a_long_context_is_read_in_windows_and_its_tokens_are_marked(tiny):
    context = " ".join(f"{word} the" for word in TOPICS["refund"].split() * 6)
    task, encoding = read(tiny, "where is it", context)
    windows = pieces_of(encoding.ids[0])
    assert len(windows) > 1 and encoding.truncated.tolist() == [False]
    for window in windows:
        marks = marks_of(window)
        assert not marks[:5].any() and (marks[5:-1] == CONTEXT).all() and marks[-1] == NOWHERE
    start = context.rindex("return")
    gold = [{"start": start, "end": start + 6, "text": "return"}]
    _, targets = task.examples([{}], [gold], encoding, Labels(("answer", "no answer"), (1, 1)))
    by_window = np.split(targets.each[0], np.cumsum([len(window) for window in windows])[:-1])
    assert (targets.golds, targets.lost) == (1, 0)
    assert by_window[0][-1] == 3 and by_window[-1][-1] == 0
    assert all((window[-1] == 3) != (3 in window[:-1]) for window in by_window), "windows without it point to none"
    assert (by_window[0][:5] == IGNORED).all()


def test_a_long_question_is_cut_and_told_of(tiny):
    _, encoding = read(tiny, " ".join(["where is my order"] * 9), "it was late", max_question=5)
    assert encoding.truncated.tolist() == [True]
    _, whole = read(tiny, "where is my order", "it was late", max_question=5)
    assert whole.truncated.tolist() == [False]
    _, half = read(tiny, " ".join(["where is my order"] * 9), "it was late " * 9)
    assert half.truncated.tolist() == [True] and len(pieces_of(half.ids[0])) > 1


def places_of(*tokens):
    """Places of a window: a special token first, then tokens of the context one character apart."""
    rows = [[-1, -1, -1, -1], *([at, end, number, 1] for number, (at, end) in enumerate(tokens))]
    return np.array(rows, dtype=np.int64)


def test_an_answer_inside_a_token_points_to_it_and_one_that_is_too_long_is_missed():
    places = places_of((0, 3), (4, 9), (10, 12))
    gold = [{"start": 5, "end": 12, "text": "x" * 7}]
    targets, held = targets_of_window(places, gold, 2)
    assert (targets.tolist(), held) == ([0, 0, 1, 2], True)
    targets, held = targets_of_window(places, gold, 1)
    assert (targets.tolist(), held) == ([3, 0, 0, 0], False)


def test_the_best_span_of_all_windows_by_hand():
    places = places_of((0, 3), (4, 9), (10, 12))
    marks = np.array([NOWHERE, CONTEXT, CONTEXT, CONTEXT])
    sure = np.log(np.array([[0.1, 0.1], [0.6, 0.1], [0.2, 0.2], [0.1, 0.6]]))
    found, nowhere = best_of_window(sure, marks, places, 3)
    assert (found[0].start, found[0].end) == (0, 12) and np.exp(found[0].score) == pytest.approx(0.36)
    assert np.exp(nowhere) == pytest.approx(0.01)
    short, _ = best_of_window(sure, marks, places, 2)
    assert {(one.start, one.end) for one in short[:2]} == {(0, 9), (4, 12)}
    backwards, _ = best_of_window(sure[:, ::-1], marks, places, 3)
    assert all(one.start < one.end for one in backwards)
    empty = np.log(np.array([[0.9, 0.9], [0.05, 0.02], [0.03, 0.03], [0.02, 0.05]]))
    windows = [best_of_window(each, marks, places, 3) for each in (empty, sure)]
    answers, nowhere = best(windows)
    assert np.exp(answers[0].score) == pytest.approx(0.36) and np.exp(nowhere) == pytest.approx(0.01)
    assert len({(one.start, one.end) for one in answers}) == len(answers), "windows that overlap give one span once"


def test_none_is_answered_below_the_threshold():
    places = places_of((0, 3), (3, 10))
    marks = np.array([NOWHERE, CONTEXT, CONTEXT])
    even = np.log(np.array([[0.5, 0.5], [0.4, 0.1], [0.1, 0.4]]))
    answers, nowhere = best([best_of_window(even, marks, places, 2)])
    line = np.log(0.16 / 0.25)
    none = answered("abc  word  ", answers, nowhere, line + 0.01, ())
    assert (none.answer, none.spans) == ("", ()) and none.confidence == pytest.approx(0.25)
    some = answered("abc  word  ", answers, nowhere, line - 0.01, ("told",))
    assert some.answer == "abc  word" and some.confidence == pytest.approx(0.16) and some.notices == ("told",)
    assert (some.spans[0].start, some.spans[0].end) == (0, 9), "space at the ends is no part of an answer"
    assert some.margin == pytest.approx(0.16 - 0.25 * np.exp(line - 0.01), abs=1e-6)
    assert answered("abc", answers, nowhere, None, ()).answer, "where every row had an answer, one is given"
    assert answered("", [], nowhere, None, ()).answer == ""


def test_the_threshold_is_the_one_with_the_greatest_f1():
    odds = np.array([2.0, -1.0, 0.5, -3.0])
    kept, none = np.array([1.0, 0.8, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0])
    assert threshold(odds, kept, none) == pytest.approx(1.25)
    assert threshold(odds, np.ones(4), np.zeros(4)) == pytest.approx(-4.0)
    assert threshold(odds, np.zeros(4), np.ones(4)) == pytest.approx(3.0)


def test_a_bundle_answers_as_it_was_evaluated_and_keeps_its_threshold(workshop, answering):
    bundle = load(answering().path, root=workshop.root)
    assert bundle.labels == ["answer", "no answer"]
    assert bundle.recipe.task.no_answer_threshold is not None
    rows = made_up(20, seed=3)
    for row, found in zip(rows, bundle.predict(rows), strict=True):
        for span in found.spans:
            assert row["text_pair"][span.start : span.end] == span.text == found.answer
        assert bool(found.answer) == bool(found.spans)
    evaluation = json.loads((bundle.path / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["headline"] == ["answer_f1", "exact_match"] and evaluation["bins"]
    assert [found["name"] for found in evaluation["baselines"]] == ["span search"]
    assert [told for told in evaluation["notices"] if told.startswith("majority left out")]


def test_every_question_is_answered_where_every_training_row_was(workshop, answering):
    bundle = load(answering(False).path, root=workshop.root)
    assert bundle.recipe.task.no_answer_threshold is None
    assert all(found.answer for found in bundle.predict(made_up(20, seed=3)))


def test_predict_writes_answers_with_their_place(run, answering):
    rows = made_up(6, seed=5)
    lines = "\n".join(json.dumps({"text": row["text"], "text_pair": row["text_pair"]}) for row in rows)
    found = run("predict", answering(False).path, stdin=lines.encode()).lines
    for row, line in zip(rows, found, strict=True):
        (span,) = line["spans"]
        assert row["text_pair"][span["start"] : span["end"]] == line["answer"]


def test_no_training_row_with_an_answer_stops(workshop, tmp_path):
    write_rows(tmp_path / "none.jsonl", [{**row, "label": []} for row in made_up(12)])
    with pytest.raises(DataError, match="no training row has an answer"):
        train(recipe(data={"train": str(tmp_path / "none.jsonl")}, task=TASK), workshop.root, tmp_path / "out")


def test_answers_that_are_too_long_stop_with_the_remedy(workshop, tmp_path):
    rows = [{**row, "label": [{"start": 0, "text": row["text_pair"]}]} for row in made_up(20)]
    write_rows(tmp_path / "long.jsonl", rows)
    wanted = recipe(data={"train": str(tmp_path / "long.jsonl"), "test_share": 0}, task={**TASK, "max_answer": 3})
    with pytest.raises(DataError) as caught:
        train(wanted, workshop.root, tmp_path / "out")
    assert "longer than task.max_answer" in str(caught.value) and "raise task.max_answer" in caught.value.remedy


def test_what_cannot_answer_is_refused_before_data_is_read(workshop):
    told = why_not(Cell("text", "question_answering", "crf", "full", "supervised"))
    assert "has no tags" in told and "tagging" in told
    assert "each token" in why_not(Cell("text", "question_answering", "descriptions", "full", "supervised"))
    with pytest.raises(RecipeError, match="reads each token"):
        check(recipe(task=TASK, backbone={"pooling": "first"}), workshop.root)


def test_untuned_search_finds_the_span_whose_mean_is_nearest(tiny):
    tokens = np.eye(5, dtype=np.float32)
    places = np.array([[-1, -1, -1, -1], [0, 2, 0, 0], [2, 4, 0, 0], [5, 8, 1, 0], [-1, -1, -1, -1]])
    ends, means = spans_of(tokens, places)
    assert ends == [(0, 4), (5, 8), (0, 8)]
    np.testing.assert_allclose(means[0], [0, 0.5, 0.5, 0, 0])
    np.testing.assert_allclose(means[2], [0, 1 / 3, 1 / 3, 1 / 3, 0], atol=1e-6)
    context = " ".join(FILLER * 3)
    texts = [joined(["help me", context]), joined(["now", "two red"])]
    found = search(tiny, texts, 4)
    assert all(isinstance(one, Prediction) and 1 <= len(one.answer.split()) <= 10 for one in found)
    for one, text in zip(found, texts, strict=True):
        span = one.spans[0]
        assert text.split("\x1f")[1][span.start : span.end] == one.answer
