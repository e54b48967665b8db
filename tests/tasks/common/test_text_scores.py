"""Figures of texts: equal to the packages' own, under weights too; slots by exact value."""

import random

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from attune.tasks.common.lexicon import NOTHING_SAID
from attune.tasks.common.slot_check import check
from attune.tasks.common.slots import slots_of, written
from attune.tasks.common.text_scores import TextScores

WORDS = "the a red house is not far from old river , and we go there by train . café Straße 饭店".split()


def made(count=40, seed=0, references=2):
    """Texts that share words with their references; some empty, some the same, some very short."""
    draw = random.Random(seed)
    said, right = [], []
    for row in range(count):
        own = [" ".join(draw.choices(WORDS, k=draw.randint(1, 14))) for _ in range(1 + row % references)]
        words = own[0].split()
        if row % 5:
            words = [draw.choice(WORDS) if draw.random() < 0.3 else word for word in words]
        said.append("" if row == 7 else " ".join(words))
        right.append({"texts": own})
    return TextScores("made", right, said, None)


def one(scores, weights=None):
    weights = np.ones(len(scores.gold)) if weights is None else weights
    return {name: float(value[0]) for name, value in scores.measure(weights[None].astype(float)).items()}


def streams(golds):
    most = max(len(gold["texts"]) for gold in golds)
    return [[gold["texts"][n] if n < len(gold["texts"]) else None for gold in golds] for n in range(most)]


@pytest.mark.parametrize("references", [1, 3])
def test_corpus_figures_are_sacrebleu_s(references):
    scores = made(references=references)
    found = one(scores)
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(scores.chosen, streams(scores.gold)).score / 100)
    if references == 1:  # sacreBLEU's chrF takes no rows without a reference in a later stream
        assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(scores.chosen, streams(scores.gold)).score / 100)
    assert 0.1 < found["bleu"] < 0.9


def test_a_weight_of_two_is_a_row_that_stands_there_twice():
    scores = made(references=1)
    draw = np.random.default_rng(3).integers(0, 3, len(scores.gold))
    rows = np.repeat(np.arange(len(draw)), draw)
    drawn = scores.take(rows)
    assert one(scores, draw) == pytest.approx(one(drawn))
    bleu = sacrebleu.corpus_bleu(drawn.chosen, streams(drawn.gold)).score / 100
    assert one(scores, draw)["bleu"] == pytest.approx(bleu)


@pytest.mark.parametrize("said", ["", "x", "the red", "a b c d e"])
def test_few_or_no_matches_are_smoothed_as_sacrebleu_does(said):
    scores = TextScores("short", [{"texts": ["the red house is old"]}], [said], None)
    expected = sacrebleu.corpus_bleu([said], [["the red house is old"]]).score / 100
    assert one(scores)["bleu"] == pytest.approx(expected)
    assert one(scores)["chrf"] == pytest.approx(sacrebleu.corpus_chrf([said], [["the red house is old"]]).score / 100)


def test_rouge_is_rouge_score_s_averaged_over_rows():
    golds, texts = [{"texts": ["The cats were running."]}, {"texts": ["a house"]}], ["A cat ran running", "a red house"]
    found = one(TextScores("two", golds, texts, None))
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    each = [scorer.score(gold["texts"][0], text) for gold, text in zip(golds, texts, strict=True)]
    for name, kind in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        assert found[name] == pytest.approx(np.mean([row[kind].fmeasure for row in each]))


def test_chinese_is_counted_by_character():
    golds, texts = [{"texts": ["今天天气很好。"]}], ["今天天气不好。"]
    scores = TextScores("zh", golds, texts, None, tokenise="zh")
    expected = sacrebleu.corpus_bleu(texts, [[golds[0]["texts"][0]]], tokenize="zh").score / 100
    assert one(scores)["bleu"] == pytest.approx(expected)
    assert one(scores)["rouge_1"] == pytest.approx(5 / 6)


def test_perplexity_is_there_where_surprise_is_and_follows_the_rows():
    scores = made(6)
    assert "perplexity" not in scores.has() and "slot_error_rate" not in scores.has()
    surprise = np.column_stack([np.arange(6.0), np.full(6, 2.0)])
    told = TextScores("told", scores.gold, scores.chosen, None, surprise=surprise, first=("rouge_l", "perplexity"))
    assert one(told)["perplexity"] == pytest.approx(np.exp(15 / 12))
    assert one(told.take(np.array([1, 3])))["perplexity"] == pytest.approx(np.exp(4 / 4))
    assert one(told.beside(told))["perplexity"] == pytest.approx(np.exp(15 / 12))
    assert told.leads() == ("rouge_l", "perplexity") and scores.leads() == ("bleu", "chrf", "rouge_l")


def test_a_row_is_right_where_its_text_is_a_reference():
    golds = [{"texts": ["a b", "c  d"]}, {"texts": ["if x:\n    y"]}, {"texts": ["a"]}]
    scores = TextScores("same", golds, ["c  d", "if x: \n    y\n", "A"], None)
    assert scores.right().tolist() == [True, True, False]
    assert one(scores)["same_text"] == pytest.approx(2 / 3)


EAGLE = [("name", "The Eagle"), ("food", "French"), ("area", "city centre"), ("familyFriendly", "no")]
OTHERS = [("food", "Italian"), ("area", "riverside"), ("priceRange", "cheap"), ("name", "Eagle")]
KNOWN = NOTHING_SAID.knowing([*EAGLE, *OTHERS])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Eagle is a French place in the city centre, not family friendly.", ((), (), ())),
        ("The Eagle is not family-friendly, in the City  Centre.", (("food",), (), ())),
        ("The Eagle is an Italian place in the city centre and family friendly.", ((), (), ("food", "familyFriendly"))),
        ("The Eagle: French and Italian, city centre, not family friendly.", ((), (), ("food",))),
        ("A cheap French place, The Eagle, city centre, not family friendly.", ((), ("priceRange",), ())),
        ("A Frenchman by the riverside.", (("name", "food", "familyFriendly"), (), ("area",))),
    ],
)
def test_slots_are_missing_added_or_wrong_by_exact_value(text, found):
    told = check(text, EAGLE, KNOWN)
    assert (told.missing, told.added, told.wrong) == found and told.slots == 4


@pytest.mark.parametrize(
    ("text", "found"),
    [("fish and chips", ((), ())), ("fish", (("food",), ())), ("fish and ham", ((), ("food",))),
     ("ham", (("food",), ("food",))), ("fish, chips and ham", ((), ("food",))), ("", (("food", "food"), ()))],
)  # fmt: skip
def test_every_value_of_a_slot_is_looked_for(text, found):
    slots = [("food", "fish"), ("food", "chips"), ("drink", "none"), ("food", "fish")]
    told = check(text, slots, NOTHING_SAID.knowing([("food", "ham"), ("drink", "tea")]))
    assert (told.missing, told.wrong) == found and told.slots == 2 and not told.added


def test_values_are_found_in_writing_without_spaces():
    known = NOTHING_SAID.knowing([("菜", "川菜"), ("地", "河边"), ("name", "Cotto")])
    assert not check("Cotto餐厅在河边，是川菜馆。", [("菜", "川菜"), ("name", "Cotto"), ("地", "河边")], known).count
    assert check("Cottos在河边", [("name", "Cotto")], known).missing == ("name",)
    assert not check("İstanbul'da", [("city", "İstanbul")], known).count


def test_the_slot_error_rate_is_of_all_slots():
    golds = [{"texts": ["x"], "slots": [list(slot) for slot in EAGLE]}] * 2
    texts = ["The Eagle is a French place in the city centre, not family friendly.", "The Eagle."]
    scores = TextScores("slots", golds, texts, None, lexicon=KNOWN)
    assert one(scores)["slot_error_rate"] == pytest.approx(3 / 8)


def test_meaning_representations_are_read_and_written():
    text = "name[The Eagle], customer rating[5 out of 5], near[Café, Rouge]"
    found = [("name", "The Eagle"), ("customer rating", "5 out of 5"), ("near", "Café, Rouge")]
    assert slots_of(text) == found
    assert slots_of(written(dict(found))) == found
    assert slots_of("The Eagle is nice") is None and slots_of("") is None
    assert (
        written({"kids": True, "stars": 4, "food": ["fish", "chips"]}) == "kids[yes], stars[4], food[fish], food[chips]"
    )
    for wrong, said in (({"a": {"b": 1}}, "no text"), ({"a": "x]"}, "brackets"), ({}, "no slot")):
        with pytest.raises(ValueError, match=said):
            written(wrong)
