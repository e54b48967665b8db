"""Extractive summaries: sentences found, chosen by the oracle, learned, answered and measured; bad rows refused."""

import json
import random

import numpy as np
import pytest
import torch

from attune.core.form import Form
from attune.core.packing import IGNORED
from attune.errors import DataError, MachineError
from attune.lifecycle.train import train
from attune.model.assemble import Cell, why_not
from attune.model.bundle import load
from attune.tasks.common import rouge as rouges
from attune.tasks.common.excerpts import best, central, excerpt, lead
from attune.tasks.common.labelled import Labels
from attune.tasks.common.oracle import oracle, read_summary
from attune.tasks.common.rouge import RougeScores, rouge, tokens_of
from attune.tasks.common.sentences import sentences
from attune.tasks.common.stretches import INSIDE, PLACES, features, place_of, stretches_of, width_of
from attune.tasks.extractive import Extractive, ExtractiveOptions
from support.bundles import FILLER, TOPICS, command, recipe, write_rows


def made_up(count=90, seed=0, lines=True):
    """Documents of five lines; the summary is the one line that is about a topic, wherever it stands."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        topic = TOPICS[sorted(TOPICS)[number % 3]].split()
        parts = [" ".join(draw.choices(FILLER, k=draw.randint(3, 5))) for _ in range(4)]
        told = " ".join(draw.sample(topic, 4))
        parts.insert(draw.randrange(5), told)
        rows.append({"text": "\n".join(parts) if lines else parts, "label": told})
    return rows


@pytest.fixture(scope="module")
def summaries(workshop):
    """A bundle, trained once."""
    write_rows(workshop.root / "documents.jsonl", made_up())
    wanted = recipe(
        data={"train": "documents.jsonl"}, backbone={"max_unknown": 0.3}, task={"name": "extractive"},
        method={"name": "full"}, training={"epochs": 4, "learning_rate": 3e-3, "head_learning_rate": 3e-2},
        evaluation={"resamples": 100, "baselines": ["majority", "tfidf", "zero_shot"]},
    )  # fmt: skip
    return train(wanted, workshop.root, workshop.root / "documents")


def test_a_summary_is_learned_kept_and_beats_the_first_sentences(summaries, workshop):
    told = json.loads((summaries.path / "evaluation.json").read_text(encoding="utf-8"))
    assert told["metrics"]["rouge_l"]["value"] > 0.9
    assert [found["name"] for found in told["baselines"]] == ["lead", "centroid"]
    assert told["baselines"][0]["difference"]["low"] > 0
    assert any("tfidf left out: it labels whole texts" in notice for notice in told["notices"])
    again = load(summaries.path, root=workshop.root)
    row = made_up(3, seed=9)[2]
    (found,) = again.predict([{"text": row["text"]}])
    assert found == summaries.predict([row["text"]])[0]
    assert found.answer == row["label"]
    (span,) = found.spans
    assert (span.text, row["text"][span.start : span.end]) == (row["label"], row["label"])
    assert 0.5 < span.confidence <= 1 and found.confidence is None
    assert again.model.labels == Labels(("chosen sentences", "documents"), again.model.labels.counts)
    assert again.model.task.answers_with(again.model.labels) == "Answers with at most 1 sentences of the text"


def test_a_document_may_come_as_a_list_of_its_sentences(summaries, workshop):
    given = made_up(6, seed=5, lines=False)
    as_lists = summaries.predict([{"text": row["text"]} for row in given])
    assert as_lists == summaries.predict(["\n".join(row["text"]) for row in given])
    write_rows(workshop.root / "lists.jsonl", given)
    told = command("evaluate", summaries.path, "--data", workshop.root / "lists.jsonl", "--json")
    assert told.code == 0, told.err
    assert Form(lines=True).joined({"text": ["a\nb", "c"]}) == {"text": "a b\nc"}
    assert Form().joined({"text": ["a", "c"]}) == {"text": ["a", "c"]}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two!  Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith paid $3.50 to J. Doe of the U.S. Army.  He left.", None),
        ('"Really?" she said. "Yes." He ran', ['"Really?" she said.', '"Yes."', "He ran"]),
        ("Wait... what? 1. Point. So do I. See fig. 3.", ["Wait... what?", "1. Point.", "So do I.", "See fig. 3."]),
        ("今天很好。你呢？“我也好！”他走了", ["今天很好。", "你呢？", "“我也好！”", "他走了"]),
        ("他说……好的。用 iPhone 15。OK. 再见", ["他说……", "好的。", "用 iPhone 15。", "OK.", "再见"]),
        (" a b. c\n\n  D e. F \r\n", ["a b. c", "D e. F"]),
        ("😀！好", ["😀！", "好"]),
        ("", []),
    ],
)  # fmt: skip
def test_sentences_of_english_and_of_chinese(text, parts):
    wanted = parts if parts is not None else ["Dr. Smith paid $3.50 to J. Doe of the U.S. Army.", "He left."]
    assert [text[start:end] for start, end in sentences(text)] == wanted


def test_lines_or_sentences_by_choice():
    text = "One. Two.\nThree."
    assert len(sentences(text)) == len(sentences(text, "line")) == 2
    assert len(sentences(text, "sentence")) == 3
    assert len(sentences("One. Two.", "line")) == 1


def test_the_oracle_takes_what_says_most_and_stops_where_more_says_less():
    parts = ["good morning to you", "the red parcel was late", "it went to the wrong address", "well well"]
    assert oracle(parts, ["the red parcel was late"]) == [1]
    assert oracle(parts, ["a red parcel was late and went to a wrong address"]) == [1, 2]
    assert oracle(parts, ["nothing alike"]) == []
    assert oracle(["same words", "same words"], ["same words"]) == [0]
    assert oracle(parts, ["the red parcel was late", "it went to the wrong address"]) == [1, 2]


def test_rouge_is_that_of_rouge_score_and_of_chinese_by_character():
    from rouge_score.rouge_scorer import RougeScorer

    plain = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    draw = random.Random(0)
    for _ in range(20):
        one, other = (
            " ".join(draw.choices([*FILLER, "parcels", "Parcel,", "returning", "return."], k=9)) for _ in "ab"
        )
        wanted = plain.score(other, one)
        assert rouge(one, (other,)) == pytest.approx([wanted[kind].fmeasure for kind in rouges.KINDS])
    assert tokens_of("我用 iPhones，好！") == ("我", "用", "iphon", "好")
    assert tokens_of("Привет мир") == ("привет", "мир")
    assert rouge("今天很好", ("今天不好",)) == pytest.approx([0.75, 1 / 3, 0.75])
    assert rouge("a red parcel", ("blue", "red parcel")) == rouge("a red parcel", ("red parcel",))


def test_scores_are_means_over_rows_under_weights():
    scores = RougeScores("a", [["red parcel"], ["blue", "late"]], ["red parcel", "never"], None)
    found = scores.measure(np.array([[1.0, 1.0], [3.0, 1.0], [0.0, 2.0]]))
    assert found["rouge_l"] == pytest.approx([0.5, 0.75, 0.0])
    assert scores.right().tolist() == [True, False]
    assert scores.gravity().tolist() == [0.0, 1.0]
    assert scores.words(["a", "b"]) == ["a", "b"] and scores.words("a") == ["a"]


def test_without_rouge_score_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("attune.core.extras.find_spec", lambda module: None)
    with pytest.raises(MachineError, match=r"attune\[generation\]"):
        rouges.Tokens()


def test_blocking_leaves_out_what_was_said():
    parts = ["the red parcel was late", "oh the red parcel", "a blue card"]
    scores = np.array([0.9, 0.8, 0.1])
    assert best(scores, parts, 2, blocking=False)[0] == [0, 1]
    assert best(scores, parts, 2, blocking=True)[0] == [0, 2]
    assert best(scores, ["今天很好啊", "今天很", "不"], 2, blocking=True)[0] == [0, 2]
    assert best(np.array([0.2, -np.inf, 0.3]), parts, 3, blocking=False)[0] == [0, 2]
    assert best(scores, parts, 1, blocking=False)[1] == pytest.approx(0.1)


def test_baselines_and_how_sentences_are_joined():
    text = "One a. Two b. Three c. Four d."
    assert lead(text, "auto").answer == "One a. Two b. Three c."
    assert excerpt("甲。乙。丙。", sentences("甲。乙。丙。"), [0, 2]).answer == "甲。丙。"
    assert excerpt("a\nb\nc", sentences("a\nb\nc"), [0, 2]).answer == "a\nc"

    def embed(texts):
        return np.array(
            [{"One a.": [1, 0], "Two b.": [0.6, 0.8]}.get(text, [0, 1]) for text in texts], dtype=np.float32
        )

    found = central([text, "alone"], "auto", 1, embed)
    assert [one.answer for one in found] == ["Two b.", "alone"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [("  ", "an empty summary"), ([], "an empty summary"), (["a", ""], "an empty summary"),
     (3, "a int where a summary"), ('["a", 3]', "a list where a summary")],
)  # fmt: skip
def test_bad_summaries_are_refused(cell, message):
    with pytest.raises(ValueError, match=message):
        read_summary(cell, {"text": "One. Two."}, "auto")


def test_summaries_come_as_texts_lists_and_json():
    row = {"text": "Red parcel. Blue card."}
    assert read_summary("blue", row, "auto") == {"summaries": ["blue"], "oracle": [1]}
    assert read_summary('["blue", "red"]', row, "auto") == read_summary(["blue", "red"], row, "auto")


def test_rows_without_a_summary_are_named_and_strange_ones_stop_the_run(workshop):
    rows = [{"text": row["text"], "label": "" if n == 4 else row["label"]} for n, row in enumerate(made_up(20))]
    write_rows(workshop.root / "hollow.jsonl", rows)
    wanted = recipe(data={"train": "hollow.jsonl"}, task={"name": "extractive"})
    with pytest.raises(DataError, match="an empty summary") as caught:
        train(wanted, workshop.root, workshop.root / "hollow")
    assert "hollow.jsonl:5" in str(caught.value)
    with pytest.raises(DataError, match="shares a word"):
        Extractive(ExtractiveOptions()).labels([{"oracle": []}])


def test_heads_that_cannot_score_sentences_say_why():
    assert "no tags" in why_not(Cell("text", "extractive", "crf", "full", "supervised"))
    assert "descriptions" in why_not(Cell("text", "extractive", "descriptions", "full", "supervised"))
    assert not why_not(Cell("causal", "extractive", "linear", "lora", "supervised"))


def window(*places):
    return np.array([(-1, -1, -1, -1), *[(start, end, 0, 0) for start, end in places], (-1, -1, -1, -1)])


def test_a_sentence_is_read_in_the_window_that_holds_most_of_it():
    spans = [(0, 5), (6, 12), (13, 15), (16, 18)]
    one, two = window((0, 2), (3, 5), (6, 8)), window((6, 8), (9, 12), (13, 15))
    found = stretches_of([one, two], spans)
    assert found.first.tolist() == [1, 6, 8, -1], "the last sentence has no token"
    assert found.marks[0].tolist() == [0, INSIDE + 1, INSIDE, 0, 0]
    assert (found.marks[1] > 0).tolist() == [False, True, True, True, False]
    assert (found.marks[1] > INSIDE).tolist() == [False, True, False, True, False]


def test_places_tell_the_ends_of_a_text_apart_and_share_its_middle():
    assert [place_of(number, 4) for number in range(4)] == [0, 1, 2, 3]
    many = [place_of(number, 40) for number in range(40)]
    assert many == sorted(many) and set(many) == set(range(PLACES))
    assert many.count(PLACES - 1) == many.count(0) == 1


def test_features_are_means_beside_their_product_with_the_documents():
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 6, 3, generator=draw)
    marks = torch.tensor([[0, 2, 1, 5, 0, 0], [0, 0, 0, 0, 0, 0]])
    found = features(tokens, {"marks": marks})
    assert found.shape == (2, 6, width_of(3))
    one, other = tokens[0, 1:3].mean(0), tokens[0, 3]
    middle = (one + other) / 2
    torch.testing.assert_close(found[0, 1, :6], torch.cat([one, one * middle]))
    torch.testing.assert_close(found[0, 3, :6], torch.cat([other, other * middle]))
    assert found[0, 1, 6:].nonzero().flatten().tolist() == [0] and found[0, 3, 6:].nonzero().flatten().tolist() == [3]
    assert not found[1].any() and not found[0, [0, 2, 4, 5]].any()


def test_sentences_without_a_token_are_counted_and_never_chosen(summaries):
    task, model = summaries.model.task, summaries.model
    rows = [{"text": "red parcel\n\u200b\u200d\nlate order"}]
    encoding = model.encode(rows)
    _, found = task.examples(rows, [{"oracle": [0, 1]}], encoding, model.labels)
    assert (found.golds, found.lost) == (2, 1)
    assert sorted(found.each[0][found.each[0] != IGNORED].tolist()) == [0, 1]
    (answer,) = model.predict(rows)
    assert answer.answer in ("red parcel", "late order")
