"""Segments: nothing is left out, each fits, and cuts fall between paragraphs and sentences where they can."""

import random

from attune.tasks.common.segments import segments


def fits(most):
    return lambda text: len(text.split()) <= most


def test_cuts_fall_where_paragraphs_and_sentences_end():
    text = "One two. Three four.\n\nFive six seven. Eight.\n\nNine."
    assert segments(text, fits(5)) == ["One two. Three four.\n\n", "Five six seven. Eight.\n\nNine."]
    assert segments(text, fits(3)) == ["One two. ", "Three four.\n\n", "Five six seven. ", "Eight.\n\nNine."]
    assert segments(text, fits(99)) == [text] and segments("", fits(3)) == [""]


def test_nothing_is_left_out_and_every_part_fits():
    draw = random.Random(3)
    for most in (1, 4, 30):
        words = [draw.choice(["a", "be", "see.", "the\n", "x\n\n", "到家。再见", "etc. "]) for _ in range(200)]
        text = draw.choice([" ", "  "]).join(words)
        found = segments(text, fits(most))
        assert "".join(found) == text and all(map(fits(most), found))
    long = "x" * 100
    found = segments(long, lambda text: len(text) <= 7)
    assert "".join(found) == long and max(map(len, found)) <= 7
