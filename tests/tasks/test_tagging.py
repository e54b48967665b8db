"""Spans: read, aligned, decoded, measured, and through every command; bad ones refused."""

import itertools
import json
import warnings

import numpy as np
import pytest
import torch
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from attune.compression.export import to_transformers
from attune.core.records import Input, Prediction
from attune.core.texts import places_of_tokens, text_of_tokens
from attune.errors import DataError, UnsupportedError
from attune.lifecycle.train import train
from attune.model.bundle import load
from attune.tasks.common.span_scores import SpanScores
from attune.tasks.common.spans import read_spans
from attune.tasks.common.tags import Scheme, decode, marginals, viterbi
from attune.tasks.common.units import units_of, written
from attune.tasks.heads.crf import CrfHead
from support.bundles import FILLER, command, recipe, write_rows

CITY = ["parcel", "card", "account subscription"]


def made_up(count=120, seed=0):
    """Sentences of filler with up to two cities, as character offsets."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        words = list(draw.choice(FILLER, 6))
        spans, text = [], f"order {number % 7}"
        for word in words:
            text += f" {word}"
            if draw.random() < 0.25:
                city = CITY[int(draw.integers(3))]
                spans.append({"start": len(text) + 1, "end": len(text) + 1 + len(city), "label": "city"})
                text += f" {city}"
        rows.append({"text": text, "label": spans})
    return rows


@pytest.fixture(scope="module")
def tagged(workshop):
    """Bundles of tagging by head, each trained once."""
    write_rows(workshop.root / "cities.jsonl", made_up())
    made = {}

    def bundle(head="linear"):
        if head not in made:
            wanted = recipe(
                data={"train": "cities.jsonl"}, backbone={"max_unknown": 0.3}, method={"name": "full"},
                task={"name": "tagging", "head": head},
                training={"epochs": 6, "learning_rate": 3e-3, "head_learning_rate": 3e-2},
                evaluation={"resamples": 100},
            )  # fmt: skip
            made[head] = train(wanted, workshop.root, workshop.root / f"cities-{head}")
        return made[head]

    return bundle


@pytest.mark.parametrize("head", ["linear", "crf"])
def test_spans_are_learned_kept_and_told_in_the_callers_text(head, tagged, workshop):
    bundle = tagged(head)
    figures = json.loads((bundle.path / "evaluation.json").read_text(encoding="utf-8"))
    assert figures["metrics"]["entity_f1"]["value"] > 0.8
    assert [found["name"] for found in figures["baselines"]] == ["lookup"]
    again = load(bundle.path, root=workshop.root)
    text = "  Case 7  asks for CARD   please"
    (found,) = again.predict([text])
    for span in found.spans:
        assert span.text == text[span.start : span.end]
    assert found.answer == [span.label for span in found.spans]
    assert found == bundle.predict([text])[0]
    assert all(0 < span.confidence <= 1 for span in found.spans)
    assert json.loads((bundle.path / "witness.json").read_text(encoding="utf-8"))["rows"]


def test_spans_leave_through_the_command_line(tagged, workshop, tmp_path):
    path = tagged().path
    asked = "predict", path, "--data-root", workshop.root
    told = command(*asked, "late i want parcel now")
    assert told.code == 0 and "city: 'parcel' at 12–18" in told.out
    for suffix in ("jsonl", "csv", "parquet"):
        write_rows(tmp_path / "asked.jsonl", made_up(12, seed=5))
        out = tmp_path / f"out.{suffix}"
        assert command(*asked, "--file", tmp_path / "asked.jsonl", "--out", out).code == 0
        assert out.stat().st_size > 100


def test_export_refuses_with_the_reason(tagged, tmp_path):
    with pytest.raises(UnsupportedError, match="no plain folder answers as the task tagging does"):
        to_transformers(tagged(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tags_tokens_and_offsets_say_the_same():
    tokens, tags = ["I", "fly", "to", "New", "York", "."], ["O", "O", "O", "B-city", "I-city", "O"]
    row = {"text": text_of_tokens(tokens), "tokens": tokens}
    spans = [{"start": 9, "end": 17, "label": "city"}]
    assert row["text"] == "I fly to New York ."
    assert read_spans(tags, row) == spans
    assert read_spans(["O", "O", "O", "B-city", "E-city", "O"], row) == spans
    assert read_spans(" ".join(tags), {"text": row["text"]}) == spans
    assert read_spans(json.dumps(spans), row) == spans
    assert read_spans([{"start": 8, "end": 18, "type": "city"}], row) == spans, "space at the edges is not of the span"


def test_chinese_tokens_have_no_spaces_between_them():
    tokens = ["我", "在", "北", "京", "，", "用", "iPhone", "15", "拍", "😀", "。"]
    text = text_of_tokens(tokens)
    assert text == "我在北京，用 iPhone 15 拍 😀 。"
    assert [text[start:end] for start, end in places_of_tokens(tokens)] == tokens
    spans = read_spans(["O", "O", "B-LOC", "I-LOC", *["O"] * 7], {"text": text, "tokens": tokens})
    assert text[spans[0]["start"] : spans[0]["end"]] == "北京"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([{"start": 0, "end": 99, "label": "x"}], "does not lie in the text of 11 characters"),
        ([{"start": 3, "end": 3, "label": "x"}], "does not lie in the text"),
        ([{"start": 0, "end": 5, "label": "x"}, {"start": 4, "end": 7, "label": "y"}], "overlap"),
        ([{"start": 0, "end": 5, "label": "x", "text": "helly"}], "says 'helly' and the text there is 'hello'"),
        ([{"start": 0, "end": 5}], "a span without a label"),
        ([{"start": 0.5, "end": 5, "label": "x"}], "not whole numbers"),
        ([{"start": 5, "end": 6, "label": "x"}], "nothing but space"),
        (["O"], "1 tags for 2 tokens"),
        (["O", "I-x"], "tag 2 is 'I-x' after 'O'"),
        (["B-x", "I-y"], "tag 2 is 'I-y' after 'B-x'"),
        (["I-x", "O"], "tag 1 is 'I-x' after 'the start'"),
        (["B-x", "x"], "tag 2 is 'x'"),
        ("[{]", "not JSON"),
        (3, "a int where spans or tags were expected"),
    ],
)
def test_spans_that_cannot_be_are_refused(value, said):
    with pytest.raises(ValueError, match=said):
        read_spans(value, {"text": "hello world"})


def test_bad_rows_are_named_by_their_line(workshop, tmp_path):
    rows = made_up(20)
    rows[3]["label"] = [{"start": 0, "end": 500, "label": "city"}]
    rows[7]["label"] = ["O", "I-city"]
    write_rows(workshop.root / "bad.jsonl", rows)
    with pytest.raises(DataError) as caught:
        train(recipe(data={"train": "bad.jsonl"}, task={"name": "tagging"}), workshop.root, tmp_path / "out")
    assert [problem.where for problem in caught.value.problems] == ["bad.jsonl:4", "bad.jsonl:8"]
    assert not (tmp_path / "out").exists()


def test_rows_without_any_span_are_refused(workshop, tmp_path):
    write_rows(workshop.root / "none.jsonl", [{"text": f"nothing here {n}", "label": []} for n in range(20)])
    with pytest.raises(DataError, match="no training row has a span"):
        train(recipe(data={"train": "none.jsonl"}, task={"name": "tagging"}), workshop.root, tmp_path / "out")


def test_a_unit_belongs_to_the_window_that_sees_most_around_it():
    def window(first, last):
        places = [[2 * i, 2 * i + 1, i, 0] for i in range(first, last)]
        return np.array([[-1, -1, -1, -1], *places, [-1, -1, -1, -1]])

    units = units_of([window(0, 8), window(4, 12)], "a b c d e f g h i j k l", words=True)
    assert units.spans[:, 0].tolist() == list(range(0, 24, 2))
    assert units.first.tolist() == [1, 2, 3, 4, 5, 6, 13, 14, 15, 16, 17, 18]
    assert [int((marks > 0).sum()) for marks in units.marks] == [6, 6]


def test_a_word_in_several_tokens_is_one_unit_and_a_token_may_be_one():
    places = np.array([[-1] * 4, [0, 3, 0, 0], [3, 6, 0, 0], [7, 9, 1, 0], [-1] * 4])
    assert units_of([places], "abcdef gh", words=True).spans.tolist() == [[0, 6], [7, 9]]
    assert units_of([places], "abcdef gh", words=False).spans.tolist() == [[0, 3], [3, 6], [7, 9]]
    assert [written(word) for word in ("word", "Word", "WORD", "wOrd", "w0rd", "词", "A", ".")] == [
        1,
        2,
        3,
        4,
        5,
        1,
        2,
        1,
    ]


@pytest.mark.parametrize("name", ["bio", "bioes"])
def test_the_best_legal_sequence_is_found_and_its_marginals_are_right(name):
    """Against every sequence there is."""
    scheme = Scheme(name, ["x", "y"])
    draw = np.random.default_rng(0)
    count, length = len(scheme.tags_of()), 4
    step, start, end = scheme.legal()
    step, start, end = (
        step + draw.normal(size=(count, count)),
        start + draw.normal(size=count),
        end + draw.normal(size=count),
    )
    scores = draw.normal(size=(length, count))
    every = list(itertools.product(range(count), repeat=length))

    def total(path):
        steps = sum(step[a, b] for a, b in itertools.pairwise(path))
        return start[path[0]] + end[path[-1]] + steps + sum(scores[i, tag] for i, tag in enumerate(path))

    totals = np.array([total(path) for path in every])
    assert tuple(viterbi(scores, (step, start, end))) == every[int(totals.argmax())]
    chances = np.exp(totals - totals.max())
    chances /= chances.sum()
    expected = np.zeros((length, count))
    for path, chance in zip(every, chances, strict=True):
        expected[np.arange(length), path] += chance
    np.testing.assert_allclose(marginals(scores, (step, start, end)), expected, atol=1e-9)
    head = CrfHead(3, count)
    head.restrict(*scheme.legal())
    with torch.no_grad():
        for parameter, value in ((head.step, step), (head.start, start), (head.end, end)):
            parameter.copy_(
                torch.from_numpy(
                    value
                    - scheme.legal()[
                        ("step", "start", "end").index(
                            "step" if parameter is head.step else "start" if parameter is head.start else "end"
                        )
                    ]
                )
            )
    gold = every[int(totals.argmax())]
    outputs = torch.zeros(1, length + 2, count)
    outputs[0, 1 : length + 1] = torch.from_numpy(scores)
    targets = torch.tensor([[-100, *gold, -100]])
    loss, weight = head.loss(outputs, targets)
    expected_loss = np.log(np.exp(totals - totals.max()).sum())
    np.testing.assert_allclose(loss.detach().numpy(), [expected_loss], atol=1e-4)
    assert weight.tolist() == [length]


def test_no_unit_is_no_answer():
    found = decode(np.zeros((0, 3), np.float32), Scheme("bio", ["x"]).legal(), whole=False)
    assert (len(found.tags), found.margin) == (0, 1.0)


def test_strict_f1_counts_begin_end_and_label():
    def spans(*items):
        return [{"start": a, "end": b, "label": c} for a, b, c in items]

    gold = [spans((0, 3, "x"), (5, 8, "y")), spans((1, 2, "x")), []]
    chosen = [spans((0, 3, "x"), (5, 7, "y")), spans((1, 2, "y")), []]
    scores = SpanScores("who", gold, chosen, None)
    found = {name: float(value[0]) for name, value in scores.measure(np.ones((1, 3))).items()}
    assert found["entity_precision"] == found["entity_recall"] == found["entity_f1"] == pytest.approx(1 / 3)
    assert found["macro_entity_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["exact_rows"] == pytest.approx(1 / 3)
    assert scores.right().tolist() == [False, False, True]
    doubled = scores.measure(np.array([[2.0, 0.0, 0.0]]))
    assert float(doubled["entity_f1"][0]) == pytest.approx(0.5)
    assert {row["label"]: row["support"] for row in scores.by_label()} == {"x": 2, "y": 1}


def test_strict_f1_is_that_of_seqeval():
    """On made-up tags, some of them wrong, through the reading of tags as spans."""
    draw = np.random.default_rng(3)
    gold, chosen = ([legal(draw) for _ in range(40)] for _ in range(2))
    words = [" ".join("abcdefgh"[: len(tags)]) for tags in gold]
    chosen = [tags[:2] + other[2:] if draw.random() < 0.7 and other[2:3] == ["O"] else tags
              for tags, other in zip(gold, chosen, strict=True)]  # fmt: skip
    sides = [
        [read_spans(tags, {"text": text}) for tags, text in zip(side, words, strict=True)] for side in (gold, chosen)
    ]
    found = SpanScores("who", sides[0], sides[1], None).measure(np.ones((1, 40)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = f1_score(gold, chosen, mode="strict", scheme=IOB2)
    assert 0.2 < expected < 1
    assert float(found["entity_f1"][0]) == pytest.approx(expected)


def legal(draw):
    """Eight tags in BIO."""
    tags = []
    for _ in range(8):
        following = [f"I-{tags[-1][2:]}"] if tags and tags[-1] != "O" else []
        tags.append(str(draw.choice(["O", "O", "B-x", "B-y", *following])))
    return tags


def test_an_answer_is_as_sure_as_its_least_certain_span(tagged):
    found: Prediction = tagged().predict([made_up(3, seed=9)[0]["text"]])[0]
    if found.spans:
        assert found.confidence == min(span.confidence for span in found.spans)
    assert found.margin is not None and 0 <= found.margin <= 1


def test_a_backbone_from_scratch_learns_its_tokenizer_from_tagged_rows(workshop, tmp_path):
    write_rows(workshop.root / "cities.jsonl", made_up())
    wanted = recipe(
        data={"train": "cities.jsonl"}, task={"name": "tagging"}, method={"name": "full"},
        backbone={
            "name": "scratch", "scratch": {"layers": 1, "width": 16, "heads": 2, "feed_forward": 24, "positions": 64},
            "tokenizer": {"kind": "bpe", "vocabulary": 400},
        },
        training={"epochs": 1}, evaluation={"resamples": 100},
    )  # fmt: skip
    bundle = train(wanted, workshop.root, tmp_path / "out")
    (found,) = bundle.predict(["late i want parcel now"])
    assert all(span.text == "late i want parcel now"[span.start : span.end] for span in found.spans)


def test_a_validation_row_longer_than_every_training_row_is_read_in_windows(workshop, tmp_path):
    write_rows(workshop.root / "short.jsonl", made_up(40))
    rows = made_up(8, seed=1)
    longer = " ".join(row["text"] for row in [*rows, *rows])
    write_rows(workshop.root / "longer.jsonl", [*rows, {"text": longer, "label": []}])
    wanted = recipe(
        data={"train": "short.jsonl", "validation": "longer.jsonl", "acknowledge": ["leakage"]},
        backbone={
            "name": "scratch", "scratch": {"layers": 1, "width": 16, "heads": 2, "feed_forward": 24, "positions": 256},
            "tokenizer": {"kind": "bpe", "vocabulary": 400},
        },
        method={"name": "full"}, task={"name": "tagging"},
        training={"epochs": 1, "start": "random"}, evaluation={"resamples": 100},
    )  # fmt: skip
    bundle = train(wanted, workshop.root, tmp_path / "out")
    backbone = bundle.model.backbone
    assert backbone.max_length < len(bundle.model.encode([{"text": longer}]).ids[0])
    assert backbone.max_length < backbone.encode([Input(longer)], max_length=256).longest < 256
