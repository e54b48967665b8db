"""In-context learning: labelled rows shown before a row, with whose label a backbone goes on (Brown et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attune.core.encoding import Encoding
from attune.core.packing import ids_of, with_marks
from attune.errors import RecipeError
from attune.tasks.common.patterns import LABEL, TEXT, Laid, cut_to, laid, read_whole
from attune.tasks.common.verbalisers import REMEDY, refuse_equal, words_of
from attune.tasks.heads.registry import HEADS

PATTERN = "Text: {text}\nLabel: {label}\n\n"
LAST = 1
"""The mark of a prompt's last token, behind which a label's words are to stand."""

Words = list[list[int]]
"""Of each label its words as tokens."""


@dataclass(frozen=True)
class Asked:
    """Where the tokens of all labels are told, M of them, one label after the other.

    A token is told by what was read before it, so that labels of one token need no more than the prompt, and labels
    that begin alike share what they begin with.

    Attributes:
        prefixes: What is read behind the prompt, Q different beginnings of labels.
        prefix: `(M,)` the prefix that a token is told by.
        offset: `(M,)` tokens behind the prompt's last one where it is told.
        token: `(M,)` the token.
        label: `(M,)` the label it is of.
    """

    prefixes: list[tuple[int, ...]]
    prefix: Tensor
    offset: Tensor
    token: Tensor
    label: Tensor

    @classmethod
    def of(cls, words: Words) -> Asked:
        """What is asked of the words of all labels."""
        prefixes = list(dict.fromkeys(tuple(own[:-1]) for own in words))
        lines = [
            (prefixes.index(tuple(own[:-1])), at, token, label)
            for label, own in enumerate(words)
            for at, token in enumerate(own)
        ]
        prefix, offset, token, label = torch.tensor(lines, dtype=torch.int64).T
        return cls(prefixes, prefix, offset, token, label)


class InContext:
    """How one backbone reads rows behind those that are shown.

    Args:
        backbone: A causal one.
        options: The task's: `pattern`, `verbalisers`, `demonstrations`.
    """

    def __init__(self, backbone: Any, options: Any) -> None:
        self.backbone = backbone
        self.options = options
        self.pattern: str = options.pattern or PATTERN
        self.before, self.after = self.pattern.split(f"{{{LABEL}}}")
        self.asked: Asked | None = None

    @property
    def known(self) -> Asked:
        """What is asked for; the labels are known once there is a head."""
        if self.asked is None:
            raise ValueError("in-context reading without labels")
        return self.asked

    def pieces(self) -> int:
        """How many things are read of a row: the prompt, with each beginning of a label that has several tokens."""
        return len(self.known.prefixes)

    def shown(self, count: int | None = None) -> str:
        """The first demonstrations as text; all of them where no number is given."""
        words = {name: own[0] for name, own in zip(*self._named(), strict=True)}
        told = [
            laid(self.pattern, {TEXT: self.said(one.text), LABEL: words[one.label]})[0]
            for one in self.options.demonstrations[:count]
        ]
        return "".join(told)

    def said(self, text: str) -> str:
        """A text on one line, special tokens that it spells broken apart: it cannot pass for a demonstration."""
        return " ".join(self.backbone.apart(text).split())

    def _named(self) -> tuple[list[str], list[list[str]]]:
        names = list(dict.fromkeys([one.label for one in self.options.demonstrations]))
        return names, words_of(self.options.verbalisers, names)

    def prompts(self, rows: Iterable[Mapping[str, Any]], count: int | None = None) -> list[Laid]:
        """Rows behind so many demonstrations, as texts that end where the label's words are to stand."""
        lead, found = self.shown(count), list[Laid]()
        for row in rows:
            text, places = laid(self.before, {TEXT: self.said(row[TEXT])}, lead)
            found.append(Laid(text.rstrip() if self.before.rstrip() != self.before else text, places[TEXT]))
        return found

    def read_prompts(self, rows: Iterable[Mapping[str, Any]], count: int | None = None) -> tuple[Encoding, list[Laid]]:
        """Prompts as token ids with their places, whole, without an end token behind them."""
        told = self.prompts(rows, count)
        found = read_whole(self.backbone, told)
        end = self.backbone.tokenizer.eos_token_id
        sizes = [len(ids) - int(len(ids) > 1 and ids_of(ids)[-1] == end) for ids in found.ids]
        ids = [own[:size] for own, size in zip(found.ids, sizes, strict=True)]
        places = [own[:size] for own, size in zip(found.places or [], sizes, strict=True)]
        return replace(found, ids=ids, places=places), told

    @property
    def room(self) -> int:
        """Tokens that a prompt may have: what is read, less the longest beginning of a label."""
        return self.backbone.max_length - max(map(len, self.known.prefixes))

    def read(self, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids, behind the demonstrations; of a row that is too long its text loses its end."""
        found, told = self.read_prompts(rows)
        found = cut_to(found, told, self.room)
        pieces = [piece for ids in found.ids for piece in self._asking(ids)]
        count = self.pieces()
        first = np.arange(len(pieces)) % count == 0  # figures of a row are counted once, of its first piece
        parts = Encoding(
            ids=pieces,
            truncated=np.repeat(found.truncated, count),
            unknown=np.repeat(found.unknown, count) * first,
            words=np.repeat(found.words, count) * first,
            longest=max(map(len, pieces), default=0),
        )
        return parts.grouped([count] * len(rows))

    def _asking(self, ids: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        marked = with_marks(ids, (np.arange(len(ids)) == len(ids) - 1) * LAST)
        return [np.append(marked, np.asarray(prefix, dtype=np.int64)) for prefix in self.known.prefixes]

    def lengths(self, rows: Sequence[Mapping[str, Any]], count: int | None = None) -> list[int]:
        """Tokens of whole prompts with so many demonstrations."""
        return [len(ids) for ids in self.read_prompts(rows, count)[0].ids]

    def join(self, logits: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """The mean log-probability of each label's tokens.

        Args:
            logits: `(B · Q, T, V)`, what may follow each token.
            inputs: The collated batch, for its marks.

        Returns:
            `(B, K)`, in nats a token.
        """
        known, count, device = self.known, self.pieces(), logits.device
        rows = len(logits) // count
        last = (inputs["marks"] == LAST).int().argmax(1).view(rows, count)
        prefix, offset, token, label = (
            value.to(device) for value in (known.prefix, known.offset, known.token, known.label)
        )
        at = last[:, prefix] + offset
        lines = torch.arange(rows, device=device)[:, None] * count + prefix
        totals = logits.float().logsumexp(-1)
        told = logits[lines, at, token].float() - totals[lines, at]
        labels = int(label.max()) + 1
        sums = told.new_zeros(rows, labels).index_add(1, label, told)
        return sums / torch.bincount(label, minlength=labels).to(sums)

    def head(self, width: int, names: Sequence[str], dropout: float) -> nn.Module:
        """The head, once the labels' words are known.

        Args:
            width: Not read.
            names: The labels.
            dropout: Not read: nothing is trained.

        Returns:
            The head.

        Raises:
            RecipeError: Words that the vocabulary does not hold, two labels with the same, or a demonstration of
                another label.
        """
        del width, dropout
        if odd := sorted({one.label for one in self.options.demonstrations} - {*names}):
            raise RecipeError(
                f"demonstrations have labels that no training row has: {', '.join(odd[:10])}",
                where="task.demonstrations",
                expected=f"labels of the training rows: {', '.join(names[:10])}",
                remedy="mend the spelling, or leave them out",
            )
        self.asked = Asked.of(self.words(names))
        return HEADS.get(self.options.head)(len(names))

    def words(self, names: Sequence[str]) -> Words:
        """The tokens of each label's words as they stand behind a prompt; see `head`."""
        told = [own[0] for own in words_of(self.options.verbalisers, names)]
        found = [self.tokens(word) for word in told]
        unknown = self.backbone.tokenizer.unk_token_id
        odd = [word for word, ids in zip(told, found, strict=True) if not ids or (unknown in ids)]
        if odd:
            raise RecipeError(
                f"the tokenizer of {self.backbone.checkpoint.name} does not know {', '.join(map(repr, odd))}",
                where="task.verbalisers",
                expected="words that its vocabulary holds",
                remedy=REMEDY,
            )
        refuse_equal([[tuple(ids)] for ids in found], names)
        return found

    def tokens(self, word: str) -> list[int]:
        """A word's tokens as they stand behind a prompt, with the space between the two."""
        anchor = self.before.rpartition(f"{{{TEXT}}}")[2]
        bare = anchor.rstrip() or "x"
        gap = anchor[len(anchor.rstrip()) :]
        alone, both = (
            list(self.backbone.tokenizer(text, add_special_tokens=False)["input_ids"])
            for text in (bare, f"{bare}{gap}{word}")
        )
        if both[: len(alone)] == alone:
            return both[len(alone) :]
        return list(self.backbone.tokenizer(gap + word, add_special_tokens=False)["input_ids"])
