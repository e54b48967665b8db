"""BM25 against its formula, written out."""

import math

import numpy as np
import pytest

from attune.tasks.common.bm25 import K1, B, Bm25, terms

TEXTS = ["the parcel is late", "the refund is late late", "where is my parcel card", "refund"]


def by_hand(query, text):
    """The sum over the query's words, as it is in Robertson & Zaragoza (2009), equation 3.15, and Lucene's weight."""
    bags = [one.split() for one in TEXTS]
    mean = sum(map(len, bags)) / len(bags)
    total = 0.0
    for word in query.split():
        containing = sum(word in bag for bag in bags)
        often = text.split().count(word)
        rare = math.log(1 + (len(bags) - containing + 0.5) / (containing + 0.5))
        total += rare * often * (K1 + 1) / (often + K1 * (1 - B + B * len(text.split()) / mean))
    return total


def test_scores_are_those_of_the_formula():
    queries = ["late parcel", "refund refund", "the card", "unheard"]
    expected = [[by_hand(query, text) for text in TEXTS] for query in queries]
    np.testing.assert_allclose(Bm25(TEXTS).scores(queries), expected, atol=1e-12)
    assert (Bm25(TEXTS).scores(["the is late"]) >= 0).all(), "a word that most texts have costs nothing"


def test_chinese_is_read_two_characters_at_a_time():
    assert terms("Wo的订单ABC 在哪里？好") == ["wo", "的订", "订单", "abc", "在哪", "哪里", "好"]
    found = Bm25(["我的订单在哪里", "我要退款", "订单号是多少"]).scores(["订单在哪"])[0]
    assert found[0] > found[2] > found[1] == 0


@pytest.mark.parametrize("texts", [["", "?!"], ["。。"], [""]])
def test_texts_without_a_word_are_found_by_nothing(texts):
    assert Bm25(texts).scores(["parcel", ""]).tolist() == [[0.0] * len(texts)] * 2
