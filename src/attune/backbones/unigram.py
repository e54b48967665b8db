"""The pieces of a unigram tokenizer (Kudo 2018), chosen by counting alone, so that the same text gives the same pieces.

The `tokenizers` library's own trainer sums likelihoods in the order of a hash table that differs from process to
process. Here candidates come from the library's BPE, words are cut by its Viterbi search, and what is summed are whole
numbers: hard expectation-maximisation in place of Kudo's soft one, with his pruning by what the loss of a piece costs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, models, trainers

CANDIDATES = 4
"""Candidates for each piece that is wanted."""
SHRINK = 0.75
"""Share of the pieces that a round keeps (Kudo 2018)."""
LONGEST = 16
"""Characters of the longest piece."""
DIGITS = 6
UNKNOWN = "\0"


def pieces(words: Counter[str], letters: Sequence[str], size: int) -> list[tuple[str, float]]:
    """Chooses pieces and their log probabilities.

    Args:
        words: How often each word occurs.
        letters: All characters of the words; each stays a piece.
        size: Most pieces, the letters included.

    Returns:
        Pieces with scores, most probable first.
    """
    kept = candidates(words, letters, CANDIDATES * size)
    scores = dict.fromkeys(kept, -1.0)  # all alike: at first words are cut into as few pieces as possible
    while True:
        scores = estimate(words, estimate(words, scores, letters), letters)
        if len(scores) <= size:
            return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        scores = prune(words, scores, letters, max(size, int(SHRINK * len(scores))))


def candidates(words: Counter[str], letters: Sequence[str], size: int) -> list[str]:
    """Letters, and what byte pair encoding would join in words, words weighing as often as they occur."""
    core = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, len(letters)), min_frequency=2, max_token_length=LONGEST, initial_alphabet=list(letters),
        show_progress=False,
    )  # fmt: skip
    core.train_from_iterator((word for word, count in sorted(words.items()) for _ in range(count)), trainer)
    return sorted(core.get_vocab())


def counted(words: Counter[str], scores: Mapping[str, float]) -> Counter[str]:
    """How often each piece is used where every word is cut in its most probable way."""
    listed = sorted(scores)
    core = Tokenizer(models.Unigram([(UNKNOWN, 0.0), *((piece, scores[piece]) for piece in listed)], 0, False))
    found: Counter[int] = Counter()
    ordered = sorted(words)
    cut: Any = core.encode_batch_fast(ordered, add_special_tokens=False)
    for word, encoding in zip(ordered, cut, strict=True):
        for number in encoding.ids:
            found[number] += words[word]
    return Counter({listed[number - 1]: count for number, count in found.items() if number})


def estimate(words: Counter[str], scores: Mapping[str, float], letters: Sequence[str]) -> dict[str, float]:
    """Log probabilities of the pieces in use; a letter that is not in use counts as seen half a time."""
    used = counted(words, scores)
    weights: dict[str, float] = {**dict.fromkeys(letters, 0.5), **used}
    total = sum(used.values())
    return {piece: round(math.log(weight / total), DIGITS) for piece, weight in sorted(weights.items())}


def prune(words: Counter[str], scores: Mapping[str, float], letters: Sequence[str], size: int) -> dict[str, float]:
    """Drops the pieces whose loss costs the text's likelihood least; letters stay."""
    used = counted(words, scores)
    always = set(letters)
    cost = {piece: used[piece] * (scores[piece] - apart(piece, scores)) for piece in scores if piece not in always}
    worth = sorted(cost, key=lambda piece: (-cost[piece], piece))
    kept = always.union(worth[: max(size - len(always), 0)])
    return {piece: score for piece, score in scores.items() if piece in kept}


def apart(piece: str, scores: Mapping[str, float]) -> float:
    """The log probability of the best way to make a piece of smaller ones."""
    best = [0.0, *[-math.inf] * len(piece)]
    for end in range(1, len(piece) + 1):
        for begin in range(end):
            part = piece[begin:end]
            if part != piece and part in scores:
                best[end] = max(best[end], best[begin] + scores[part])
    return best[-1]
