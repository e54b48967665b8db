"""Phrases that a generated text must hold: one that would end without them says them first.

Constrained beam search (Anderson et al. 2017) left transformers with version 5. Here the search goes its own way until
a text would end, or until what is left of its length is needed for the phrases; then they are said one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

Forms = list[list[int]]
"""The token ids of one phrase, at the beginning of a text and within one."""


def forms(tokenizer: Any, phrase: str) -> Forms:
    """How a phrase may stand in a text, as token ids: at its beginning, and behind a space."""
    found = [tokenizer(form, add_special_tokens=False)["input_ids"] for form in (phrase, f" {phrase}")]
    return [list(ids) for ids in dict.fromkeys(tuple(ids) for ids in found if ids)]


class Required(LogitsProcessor):
    """Leaves one token to choose where a phrase has to be said.

    What is being said is remembered by row and by the tokens before it, so that it follows a beam wherever that is
    moved, and no other row.

    Args:
        phrases: Each in the forms in which it may stand.
        ends: Tokens that end a text.
        begun: Tokens of a sequence before the text.
        longest: Tokens of the text at most.
        beams: Sequences of a row.
    """

    def __init__(self, phrases: Sequence[Forms], ends: Sequence[int], begun: int, longest: int, beams: int) -> None:
        self.phrases = [phrase for phrase in phrases if phrase]
        self.ends = list(ends)
        self.begun = begun
        self.longest = longest
        self.beams = beams
        self.saying: dict[tuple[int, ...], list[int]] = {}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores with all tokens but one ruled out where that one has to follow.

        Args:
            input_ids: `(S, T)`.
            scores: `(S, V)`.

        Returns:
            `(S, V)`.
        """
        wishes = scores.argmax(-1).tolist()
        said = input_ids[:, self.begun :].tolist()
        due = [self.due(place // self.beams, *each) for place, each in enumerate(zip(said, wishes, strict=True))]
        if not any(due):
            return scores
        changed = scores.clone()
        for place, tokens in enumerate(due):
            if tokens:
                first = tokens[0]
                self.saying[(place // self.beams, *said[place], first)] = tokens[1:]
                changed[place] = -torch.inf
                changed[place, first] = 0.0 if scores[place, first] == -torch.inf else scores[place, first]
        return changed

    def due(self, row: int, said: list[int], wish: int) -> list[int]:
        """The tokens that have to follow now; none where the text may go on as it likes.

        Args:
            row: Of which row the text is.
            said: The text so far.
            wish: The likeliest next token.

        Returns:
            Token ids, the next one first.
        """
        if set(said) & set(self.ends):
            return []
        if left := self.saying.get((row, *said)):
            return left
        missing = [phrase for phrase in self.phrases if not any(holds(said, form) for form in phrase)]
        if not missing:
            return []
        # the form within a text is the last one; at its beginning, the first
        wanted = [phrase[-1] if said else phrase[0] for phrase in missing]
        needed = sum(map(len, wanted))
        return wanted[0] if wish in self.ends or self.longest - len(said) <= needed else []


def holds(text: Sequence[int], part: Sequence[int]) -> bool:
    """Whether tokens stand in a text one after another."""
    size = len(part)
    return any(list(text[at : at + size]) == list(part) for at in range(len(text) - size + 1))
