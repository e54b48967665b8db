"""Tokenizers trained on the user's own text."""

import hashlib
import subprocess
import sys
from collections import Counter

import pytest

from attune.backbones.unigram import pieces
from attune.backbones.vocabulary import TokenizerOptions, train
from attune.errors import AttuneError, DataError, RecipeError
from support import worker

KINDS = ("bpe", "unigram", "wordpiece")
SENTENCES = ["酒店早餐太差了，房间还可以。", "Hotel breakfast was bad, the room was fine.", "房间太小，早餐还可以 👍"]
TEXTS = SENTENCES * 4 + [f"the room, order {n} of room {n % 7}{'abcdefg'[n % 7]}甲乙丙丁" for n in range(60)]
CODE = """
import hashlib, sys
from attune.backbones.vocabulary import TokenizerOptions, train
texts = sys.stdin.read().splitlines()
for kind in ("bpe", "unigram", "wordpiece"):
    made = train(lambda: texts, TokenizerOptions(kind=kind, vocabulary=330), positions=64)
    print(hashlib.sha256(made.tokenizer.backend_tokenizer.to_str().encode()).hexdigest())
"""


def made(kind="bpe", texts=TEXTS, vocabulary=330, **options):
    return train(lambda: texts, TokenizerOptions(kind=kind, vocabulary=vocabulary, **options), positions=64)


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_a_template_for_pairs_and_spans_in_the_caller_s_text(kind):
    tokenizer = made(kind).tokenizer
    assert [tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id] == [
        0,
        2,
        3,
        4,
    ]
    assert tokenizer.unk_token_id == 1
    text = "房间 the room，太小"
    found = tokenizer(text, "早餐", return_offsets_mapping=True, return_token_type_ids=True)
    ids, types = found["input_ids"], found["token_type_ids"]
    assert ids[0] == 2 and ids.count(3) == 2 and ids[-1] == 3
    assert types == [0] * (ids.index(3) + 1) + [1] * (len(ids) - ids.index(3) - 1)
    spans = [span for span, kind_of in zip(found["offset_mapping"], types, strict=True) if kind_of == 0 and span[1]]
    assert all(text[begin:end].strip() == text[begin:end] for begin, end in spans), "a span holds the space before it"
    assert {place for begin, end in spans for place in range(begin, end)} == set(range(len(text))) - {2, 6}
    assert 1 not in ids


def test_the_bytes_are_the_same_in_every_process():
    """The library's own trainers for WordPiece and Unigram fail this."""
    here = [hashlib.sha256(made(kind).tokenizer.backend_tokenizer.to_str().encode()).hexdigest() for kind in KINDS]
    said = subprocess.run(
        [sys.executable, "-c", CODE], input="\n".join(TEXTS), capture_output=True, text=True, env=worker.environment(),
        check=True,
    ).stdout.split()  # fmt: skip
    assert said == here
    assert len(set(here)) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_tokens_than_asked_for_and_case_is_dropped_on_request(kind):
    plain, lower = made(kind).tokenizer, made(kind, lower=True).tokenizer
    assert len(plain) <= 330
    assert plain("Hotel")["input_ids"] != plain("hotel")["input_ids"]
    assert lower("Hotel")["input_ids"] == lower("hotel")["input_ids"]


def test_rare_characters_are_unknown_and_counted_but_no_byte_is():
    texts = [*["天地" * 50] * 100, "玄"]
    known = made("wordpiece", texts, 50)
    assert (known.characters, known.known) == (3, 2)
    assert 0.9999 < known.covered < 1
    assert "2 of the text's 3 different characters" in str(known)
    assert known.tokenizer("玄天")["input_ids"][1] == known.tokenizer.unk_token_id
    every = made("bpe", texts)
    assert (every.known, every.covered) == (3, 1)
    assert every.tokenizer.unk_token_id not in every.tokenizer("从未见过的字")["input_ids"]


def test_unigram_keeps_what_is_worth_more_than_its_parts():
    words = Counter({"foobar": 50, "foo": 30, "xyz": 1})
    found = dict(pieces(words, sorted("foobarxyz"), 12))
    assert "foobar" in found and "foo" in found and set("foobarxyz") <= set(found)
    assert len(found) <= 12
    assert found["foobar"] > found["x"]


@pytest.mark.parametrize(
    ("kind", "called"), [("bpe", "256 bytes"), ("unigram", "characters"), ("wordpiece", "letters")]
)
def test_a_vocabulary_too_small_for_the_alphabet(kind, called):
    with pytest.raises(RecipeError, match=called) as caught:
        made(kind, vocabulary=20)
    assert caught.value.where == "backbone.tokenizer.vocabulary"
    assert "at least" in caught.value.expected


@pytest.mark.parametrize("texts", [[], ["", "  \n\t"]])
def test_no_text(texts):
    with pytest.raises(DataError, match="no text to train a tokenizer on") as caught:
        train(lambda: texts, TokenizerOptions(), positions=64, where="empty.txt")
    assert isinstance(caught.value, AttuneError) and caught.value.where == "empty.txt"
