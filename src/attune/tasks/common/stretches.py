"""Stretches of a text, such as its sentences, among the tokens of its windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from attune.core.packing import MARK_MASK

INSIDE = 1
"""Mark of a token within a stretch; those above it mark a stretch's first token, and say where in the text it is."""
PLACES = MARK_MASK - INSIDE
"""How many such places are told apart."""
FIRST, LAST = 5, 3
"""Stretches at the beginning and at the end that have a place of their own; those between share the others."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Stretches:
    """The stretches of one text.

    Attributes:
        first: `(U,)` place of each one's first token among the tokens of all windows; −1 where it has none.
        marks: For each window `(T,)`: `INSIDE`, above it at a first token, 0 where no stretch is or where another
            window has more of it.
    """

    first: Ints
    marks: list[Ints]


def stretches_of(windows: Sequence[Ints], spans: Sequence[tuple[int, int]]) -> Stretches:
    """Finds the tokens of stretches.

    Args:
        windows: For each window `(T, 4)`: first and end character, word and text of each token, −1 for special ones.
        spans: First and end character of each stretch, in order and apart.

    Returns:
        The stretches. One that several windows hold is read in the window that holds most of it, of equals in the one
        in which it stands further from the edge.
    """
    places = np.concatenate(windows)
    sizes = np.array([len(each) for each in windows])
    window, starts = np.repeat(np.arange(len(windows)), sizes), np.cumsum(sizes) - sizes
    first, marks = np.full(len(spans), -1, dtype=np.int64), np.zeros(len(places), dtype=np.int64)
    if spans:
        begins, ends = np.asarray(spans, dtype=np.int64).T
        own = np.searchsorted(begins, places[:, 0], side="right") - 1
        real = (places[:, 3] >= 0) & (places[:, 1] > places[:, 0]) & (own >= 0)
        real[real] = places[real, 0] < ends[own[real]]
        held = np.flatnonzero(real)
        for number in np.unique(own[held]):
            chosen = roomiest(held[own[held] == number], window, starts, sizes)
            first[number] = chosen[0]
            marks[chosen] = INSIDE
            marks[chosen[0]] = INSIDE + 1 + place_of(int(number), len(spans))
    return Stretches(first, np.split(marks, starts[1:]))


def roomiest(tokens: Ints, window: Ints, starts: Ints, sizes: Ints) -> Ints:
    """Of the tokens of one stretch in all windows, those of the window that holds most of it."""
    groups = [tokens[window[tokens] == at] for at in np.unique(window[tokens])]

    def room(group: Ints) -> tuple[int, int]:
        at = window[group[0]]
        return len(group), int(min(group[0] - starts[at], starts[at] + sizes[at] - 1 - group[-1]))

    return max(groups, key=room)


def place_of(number: int, count: int) -> int:
    """Where in its text a stretch stands, from 0: the first ones, shares of the middle, the last ones."""
    if number < FIRST:
        return number
    if count - number <= LAST:
        return PLACES - (count - number)
    middle = PLACES - FIRST - LAST
    return FIRST + (number - FIRST) * middle // (count - FIRST - LAST)


def width_of(width: int) -> int:
    """Features of a stretch, where a token has `width`."""
    return 2 * width + PLACES


def features(tokens: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
    """What is known of each stretch, at its first token: `[s, s · d, place]`.

    `s` is the mean of its tokens' vectors, `d` the mean of `s` over the stretches of the piece, so that a linear map
    can weigh in what a stretch has in common with its document; `place` is where in the text it stands, one-hot.

    Args:
        tokens: `(P, T, D)`.
        inputs: The collated batch with `marks` `(P, T)`.

    Returns:
        `(P, T, 2 D + PLACES)`; zero at all other tokens.
    """
    marks = inputs.get("marks", torch.zeros(tokens.shape[:2], dtype=torch.int64, device=tokens.device))
    begins = marks > INSIDE
    number = begins.cumsum(1)
    member = F.one_hot(number * (marks > 0), int(number.max()) + 1)[..., 1:].to(tokens.dtype)
    mean = shares(member, 1).transpose(1, 2) @ tokens
    middle = shares(member.amax(1, keepdim=True), 2) @ mean
    piece, at = begins.nonzero(as_tuple=True)
    own = mean[piece, number[piece, at] - 1]
    place = F.one_hot(marks[piece, at] - INSIDE - 1, PLACES).to(tokens)
    found = tokens.new_zeros(*tokens.shape[:2], width_of(tokens.shape[2]))
    found[piece, at] = torch.cat([own, own * middle[piece, 0], place], dim=-1)
    return found


def shares(member: Tensor, dimension: int) -> Tensor:
    """Ones of a mask as shares that sum to one along a dimension, zero where it has none."""
    return member / member.sum(dimension, keepdim=True).clamp(min=1)
