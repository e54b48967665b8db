import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from answers import multi, single
from attune.core.recipe import EvaluationOptions
from attune.core.records import Answers
from attune.evaluation import words
from attune.evaluation.confusion import confused_pairs, heat_cells
from attune.evaluation.evaluate import compare, evaluate
from attune.evaluation.intervals import Difference
from attune.evaluation.report import comparison_report, report

OPTIONS = EvaluationOptions(resamples=100)
HISTORY = [
    {"epoch": 1, "step": 10, "train_loss": 1.0, "validation_loss": 1.1, "validation_accuracy": 0.7},
    {"epoch": 2, "step": 20, "train_loss": 0.5, "validation_loss": float("nan"), "validation_accuracy": 0.8},
]
HOSTILE = "<script>alert('x')</script>"


class Balance(HTMLParser):
    """Checks that elements close in the order they were opened."""

    VOID = {"meta", "br", "wbr", "img", "link", "hr", "input"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        pass


def page(answers: Answers, **changes: object) -> str:
    rows = len(answers.gold)
    texts = [f"{HOSTILE} {row}" for row in range(rows)]
    found = evaluate(
        answers,
        texts,
        [f"row-{row}" for row in range(rows)],
        baselines=[replace(answers, name="tfidf", chosen=np.roll(answers.chosen, 1, axis=0))],
        options=OPTIONS,
        notices=["7 rows were cut"],
    )
    values = {
        "title": "A & B",
        "recipe_toml": '[data]\ntrain = "a.csv"',
        "history": HISTORY,
        "facts": {"backbone": "minilm"},
    }
    return report(found, **(values | changes))


def whole(html: str) -> None:
    parser = Balance()
    parser.feed(html)
    assert not parser.open


@pytest.mark.parametrize("answers", [single(), single(400, 40), multi()], ids=["single", "many", "multi"])
def test_a_report_is_whole_and_self_contained(answers):
    html = page(answers)
    whole(html)
    assert "://" not in html
    assert not re.search(r"<(script|link|img|iframe)", html)
    assert not re.search(r"(src|href)=\"(?!#)", html)
    assert "@import" not in html
    assert "url(" not in html.replace("url(#", "")
    for expected in ("A &amp; B", "Better than TF-IDF by", "7 rows were cut", "minilm", "train = &#34;a.csv&#34;"):
        assert expected in html
    assert "&lt;script&gt;" in html


def test_a_report_says_the_headline():
    answers = single()
    accuracy = 100 * float((answers.gold == answers.chosen).mean())
    assert f'<div class="big">{accuracy:.1f}' in page(answers)


def test_equal_input_gives_equal_bytes():
    assert page(multi()) == page(multi())


def test_labels_are_escaped_and_chinese_stays_text():
    answers = replace(single(), labels=("好评", "差评", HOSTILE, "d", "e"), name=HOSTILE)
    html = page(answers)
    whole(html)
    assert "好评" in html
    assert "<script" not in html
    wide = single(400, 40)
    assert "<script" not in page(replace(wide, labels=(HOSTILE, *wide.labels[1:])))


def test_what_is_missing_is_left_out():
    bare = page(single(), history=[], facts={})
    assert "Learning curves" not in bare
    assert "Learning curves" not in page(single(), history=HISTORY[:1])
    steps = [{"epoch": 1, "step": 5, "train_loss": 1.0}, {"epoch": 1, "step": 9, "train_loss": 0.5}]
    assert ">step<" in page(single(), history=steps)
    perfect = single()
    assert "No row was answered wrong" in page(replace(perfect, chosen=perfect.gold))


def test_a_comparison_is_whole_and_says_who_is_better():
    a, b = single(seed=1, noise=0.8, name="full"), single(seed=2, noise=3, name=HOSTILE)
    texts = [HOSTILE] * 300
    found = compare(a, b, texts, [str(n) for n in range(300)], options=OPTIONS)
    html = comparison_report(found, facts={"set": "test"})
    whole(html)
    assert "<script" not in html
    assert "full is better than &lt;script" in html
    assert html == comparison_report(found, facts={"set": "test"})


def test_verdicts():
    clear = Difference(0.041, 0.030, 0.052, 0.0001, "exact McNemar")
    assert words.verdict("accuracy", clear, "TF-IDF") == "better than TF-IDF by 4.1 points [3.0, 5.2], p < 0.001"
    assert words.verdict("log_loss", clear, "TF-IDF") == "worse than TF-IDF by 0.041 [0.030, 0.052], p < 0.001"
    worse = Difference(-0.02, -0.03, -0.01, 0.02, "exact McNemar")
    assert words.verdict("accuracy", worse, "lora") == "worse than lora by 2.0 points [1.0, 3.0], p = 0.020"
    chance = Difference(0.002, -0.01, 0.014, 0.7, "exact McNemar")
    assert (
        words.verdict("accuracy", chance, "lora") == "no clear difference from lora: +0.2 points [−1.0, +1.4], p = 0.70"
    )
    assert words.signed("accuracy", -0.0001) == "0.0"


def test_confusions_are_ranked():
    matrix = [[5, 3, 0], [1, 9, 0], [0, 0, 4]]
    pairs = confused_pairs(matrix, ["a", "b", "c"])
    assert [(pair["gold"], pair["chosen"], pair["count"], pair["back"]) for pair in pairs] == [
        ("a", "b", 3, 1),
        ("b", "a", 1, 3),
    ]
    cells = heat_cells(matrix, ["a", "b", "c"])
    assert [(cell["row"], cell["column"], cell["right"]) for cell in cells] == [
        (0, 0, True),
        (0, 1, False),
        (1, 0, False),
        (1, 1, True),
        (2, 2, True),
    ]
    assert cells[1]["said"] == "a → b: 3"
