import numpy as np
import pytest

from attune.core.records import Answers
from attune.errors import DataError
from attune.evaluation.baselines import majority, readable, tfidf, zero_shot
from attune.tasks.metrics import classification_metrics

LABELS = ("refund", "card_lost", "never_met")
TEXTS = [
    *(f"please give me my money back for order {n}" for n in range(20)),
    *(f"I lost my card number {n} and need a new one" for n in range(20)),
]
GOLD = np.repeat([0, 1], 20)


def accuracy(answers: Answers) -> float:
    return classification_metrics(answers)["accuracy"]


def test_majority_answers_the_most_frequent_label():
    found = majority(LABELS, np.array([1, 1, 0]), GOLD)
    assert (found.chosen == 1).all()
    assert found.probabilities[0] == pytest.approx([1 / 3, 2 / 3, 0])
    assert accuracy(found) == 0.5


def test_majority_answers_the_most_frequent_set():
    train = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=bool)
    found = majority(LABELS, train, train[:1])
    assert found.chosen.tolist() == [[True, True, False]]
    assert found.probabilities[0] == pytest.approx([2 / 3, 2 / 3, 1 / 3])


def test_tfidf_learns_and_is_the_same_each_time():
    asked = ["money back please", "my card is lost"]
    found = tfidf(TEXTS, GOLD, asked, np.array([0, 1]), LABELS, seed=0)
    assert found.chosen.tolist() == [0, 1]
    assert found.probabilities.sum(axis=1) == pytest.approx(1)
    assert not found.probabilities[:, 2].any()
    again = tfidf(TEXTS, GOLD, asked, np.array([0, 1]), LABELS, seed=0)
    assert (again.probabilities == found.probabilities).all()


def test_tfidf_reads_chinese():
    texts = [f"我要退款订单{n}" for n in range(12)] + [f"银行卡丢了怎么办{n}" for n in range(12)]
    found = tfidf(texts, np.repeat([0, 1], 12), ["退款什么时候到", "卡丢了"], np.array([0, 1]), LABELS, seed=0)
    assert accuracy(found) == 1


def test_tfidf_of_several_labels():
    texts = [*TEXTS, *(f"lost my card {n}, money back please" for n in range(20))]
    gold = np.zeros((60, 3), dtype=bool)
    gold[:20, 0] = gold[20:40, 1] = True
    gold[40:, :2] = True
    asked = [
        "give me my money back for order 99",
        "I lost my card 99 and need a new one",
        "lost my card 99, money back please",
    ]
    found = tfidf(texts, gold, asked, gold[[0, 20, 40]], LABELS, seed=0)
    assert found.chosen.tolist() == [[True, False, False], [False, True, False], [True, True, False]]


def test_tfidf_of_one_label_or_few_rows():
    one = tfidf(["a b", "c d"], np.array([1, 1]), ["a"], np.array([1]), LABELS, seed=0)
    assert one.chosen.tolist() == [1]
    assert one.probabilities.tolist() == [[0, 1, 0]]


def test_tfidf_reads_texts_without_words():
    found = tfidf(["?!", "!!", "😀"] * 3, np.array([0, 1, 0] * 3), ["?"], np.array([0]), LABELS, seed=0)
    assert found.chosen.tolist() == [0]


def test_tfidf_samples_large_sets(monkeypatch):
    monkeypatch.setattr("attune.evaluation.tfidf.TRAINING_ROWS", 24)
    monkeypatch.setattr("attune.evaluation.tfidf.TUNING_ROWS", 12)
    found = tfidf(TEXTS, GOLD, TEXTS, GOLD, LABELS, seed=0)
    assert accuracy(found) == 1


def test_baselines_need_training_rows():
    with pytest.raises(DataError):
        tfidf([], np.array([], dtype=np.int64), ["a"], np.array([0]), LABELS, seed=0)
    with pytest.raises(DataError):
        majority(LABELS, np.array([], dtype=np.int64), np.array([0]))


def letters(texts: list[str]) -> np.ndarray:
    return np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz "] for text in texts], dtype=float)


def test_zero_shot_takes_the_nearest_name():
    found = zero_shot(letters, LABELS, ["a refund", "lost a card"], np.array([0, 1]), multi_label=False)
    assert found.chosen.tolist() == [0, 1]
    assert found.probabilities.sum(axis=1) == pytest.approx(1)
    assert readable("card_lost/stolen-now") == "card lost stolen now"
    assert readable("___") == "___"


def test_zero_shot_of_several_labels_keeps_what_is_near_the_best():
    vectors = {"x": [1, 0], "y": [0.99, 0.141], "z": [0, 1], "text": [1, 0]}
    gold = np.array([[True, True, False]])
    found = zero_shot(
        lambda texts: np.array([vectors[t] for t in texts]), ("x", "y", "z"), ["text"], gold, multi_label=True
    )
    assert found.chosen.tolist() == [[True, True, False]]
    assert ((found.probabilities >= 0.5) == found.chosen).all()
