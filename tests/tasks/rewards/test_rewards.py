"""Rewards of single texts, against the figures that corpora of one text have, and what is no number."""

import numpy as np
import pytest

from attune.errors import RecipeError
from attune.tasks.common.lexicon import NOTHING_SAID
from attune.tasks.generation import Generation, GenerationOptions
from attune.tasks.rewards.base import earned, made_for, needs_of
from attune.tasks.rewards.registry import REWARDS

GOLD = {"texts": ["the red card came late", "a card came"]}


def reward(name, **options):
    return made_for(REWARDS.get(name), Generation(GenerationOptions(**options)), None)


def test_every_reward_is_best_for_a_right_text_and_says_so_of_an_empty_one_too():
    for name in ("bleu", "chrf", "exact", "rouge_l"):
        assert needs_of(REWARDS.get(name)) == frozenset()
        best = [reward(name)(text, {}, GOLD) for text in GOLD["texts"]]
        assert best == pytest.approx([1.0, 1.0]), name
        assert reward(name)("", {}, GOLD) == 0.0
        assert 0 <= reward(name)("a blue card came", {}, GOLD) < 1


def test_likeness_is_that_of_the_figures():
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    text = "a red card came late"
    assert reward("bleu")(text, {}, GOLD) == pytest.approx(sacrebleu.sentence_bleu(text, GOLD["texts"]).score / 100)
    assert reward("chrf")(text, {}, GOLD) == pytest.approx(sacrebleu.sentence_chrf(text, GOLD["texts"]).score / 100)
    best = RougeScorer(["rougeL"], use_stemmer=True).score_multi(GOLD["texts"], text)["rougeL"].fmeasure
    assert reward("rouge_l")(text, {}, GOLD) == pytest.approx(best)
    assert reward("exact")(" a card came\n", {}, GOLD) == 1.0
    chinese = {"texts": ["我的卡没有到"]}
    assert reward("bleu")("我的卡没有", {}, chinese) == 0.0 < reward("bleu", tokenise="zh")("我的卡没有", {}, chinese)


def test_slots_are_counted_by_the_one_check():
    task = Generation(GenerationOptions(preset="data_to_text"))
    gold = task.right("The Eagle serves French food.", {"text": "name[The Eagle], food[French]"})
    slots = REWARDS.get("slots")(NOTHING_SAID)
    assert needs_of(REWARDS.get("slots")) <= task.known
    assert slots("The Eagle serves French food.", {}, gold) == 0.0
    assert slots("The Eagle serves food.", {}, gold) == -0.5
    assert slots("", {}, gold) == -1.0
    assert slots("", {}, {"texts": ["anything"]}) == 0.0
    learned = task.knowing(task.learn([gold] * 3))
    assert made_for(REWARDS.get("slots"), learned, learned.labels([gold]))("The Eagle: French", {}, gold) == 0.0


def test_programs_are_run_with_their_tests():
    task = Generation(GenerationOptions(preset="code", programs={"continues": True, "seconds": 5.0}))
    row = {"text": "def double(x):\n", "tests": ["assert double(2) == 4"]}
    gold = task.right("    return 2 * x", row)
    passes = made_for(REWARDS.get("passes"), task, None)
    assert needs_of(REWARDS.get("passes")) <= task.known
    assert passes.limits.seconds == 5.0
    assert earned("passes", passes, ["    return x + x", "    return x"], [row] * 2, [gold] * 2) == [1.0, 0.0]
    assert passes("    return x", row, gold) == 0.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "0.5"])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(RecipeError, match="the reward own of a text is"):
        earned("own", lambda text, row, gold: value, ["", "a"], [{}, {}], [{}, {}])


def test_any_kind_of_number_is_one():
    assert earned("own", lambda text, row, gold: np.float32(0.5), [""], [{}], [{}]) == [0.5]
    assert earned("own", lambda text, row, gold: text == "a", ["a", "b"], [{}] * 2, [{}] * 2) == [1.0, 0.0]
