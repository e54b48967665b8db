"""What a generating backbone reads and learns to write: prompts and targets as token ids, within its positions."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.core.conversation import Message, messages_of, unturned
from attune.core.encoding import Encoding
from attune.core.packing import IGNORED, as_pieces, ids_of
from attune.core.records import Input
from attune.errors import DataError, RecipeError

Ids = NDArray[np.int64]
WORD = re.compile(r"\S+")
FEWEST = 8
"""Tokens of what is read below which nothing is worth writing."""


@dataclass(frozen=True)
class Example:
    """One row to learn from.

    Attributes:
        ids: What is read and what is written, one sequence or two pieces.
        targets: Aligned with the ids: what may stand there by a decoder, or follow by a network that goes on.
        lost: Whether the end of what is written was cut off.
    """

    ids: Ids
    targets: NDArray[np.int32]
    lost: bool


@dataclass(frozen=True)
class Prompts:
    """How rows of one recipe are read by one backbone.

    Attributes:
        backbone: A generating one.
        before: What stands before a text.
        cue: What stands behind it, where what is written goes on from it.
        talks: Whether rows are conversations.
        longest: Tokens of what is written at most, the end token included.
    """

    backbone: Any
    before: str
    cue: str
    talks: bool
    longest: int

    @property
    def room(self) -> int:
        """Tokens of what is read at most."""
        backbone = self.backbone
        return min(backbone.max_length, backbone.limit - self.longest) if backbone.onward else backbone.max_length

    def check(self) -> None:
        """Refuses a backbone whose positions do not hold what is read and what is written.

        Raises:
            RecipeError: Fewer than eight tokens are left for what is read.
        """
        if self.room < FEWEST:
            raise too_long(self.longest, self.backbone.limit, FEWEST)

    def read(self, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Prompts as token ids, ragged."""
        self.check()
        texts = [str(row["text"]) for row in rows]
        if self.talks and self.backbone.onward:
            return self.conversations(texts)
        if self.talks:
            texts = [transcript(messages_of(text)) for text in texts]
        encoding = self.backbone.encode([Input(self.whole(text)) for text in texts], max_length=self.room)
        if encoding.truncated.any() and (self.cue or self.before or self.talks):
            kept = [self.shortened(text) if cut else text for text, cut in zip(texts, encoding.truncated, strict=True)]
            again = self.backbone.encode([Input(self.whole(text)) for text in kept], max_length=self.room)
            encoding = replace(again, truncated=encoding.truncated)
        return self.unended(encoding)

    def fits(self, text: str) -> bool:
        """Whether a text is read to its end."""
        return len(self.backbone.tokenizer(self.whole(text), verbose=False)["input_ids"]) <= self.room

    @property
    def free(self) -> int:
        """Tokens of a text at most, what stands around it left out."""
        return self.room - len(self.backbone.tokenizer(self.whole(""))["input_ids"])

    def whole(self, text: str) -> str:
        """A text with what stands around it."""
        return f"{self.before}{text}{self.cue}"

    def shortened(self, text: str) -> str:
        """As much of a text as there is room for; of a conversation its end, of others their beginning."""
        tokenizer = self.backbone.tokenizer
        if not tokenizer.is_fast:
            return self.shortened_by_words(text)
        around = tokenizer(self.whole(""), add_special_tokens=True)["input_ids"]
        room = max(self.room - len(around) - 1, 1)
        places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        if len(places) <= room:
            return text
        return text[places[-room][0] :] if self.talks else text[: places[room - 1][1]]

    def shortened_by_words(self, text: str) -> str:
        """The same in whole words, for a tokenizer that does not tell where its tokens stand."""
        words = list(WORD.finditer(text))
        if self.talks:
            first = bisect_left(words, True, key=lambda word: self.fits(text[word.start() :]))
            return text[words[min(first, len(words) - 1)].start() :]
        count = bisect_left(words, True, key=lambda word: not self.fits(text[: word.end()]))
        return text[: words[max(count - 1, 0)].end()]

    def unended(self, encoding: Encoding) -> Encoding:
        """Prompts without an end token behind them, where a text goes on from them."""
        end = self.backbone.tokenizer.eos_token_id
        if not self.backbone.onward:
            return encoding
        return replace(
            encoding, ids=[ids[:-1] if len(ids) > 1 and ids_of(ids)[-1] == end else ids for ids in encoding.ids]
        )

    def conversations(self, texts: Sequence[str]) -> Encoding:
        """Conversations as the backbone's chat template renders them, up to where the assistant's turn begins."""
        read = [self.kept(messages_of(text)) for text in texts]
        ids = [self.backbone.prompt(messages, answer=True).ids for messages, _ in read]
        unknown = self.backbone.tokenizer.unk_token_id
        return Encoding(
            ids=ids,
            truncated=np.asarray([cut for _, cut in read], dtype=np.bool_),
            unknown=np.asarray([int((row == unknown).sum()) if unknown is not None else 0 for row in ids]),
            words=np.asarray([len(row) for row in ids], dtype=np.int64),
            longest=max(map(len, ids), default=0),
        )

    def kept(self, messages: Sequence[Message]) -> tuple[list[Message], bool]:
        """The last messages that there is room for, with the system's; and whether something was left out.

        Where the last message alone is too long, its end is kept.

        Args:
            messages: In order, the last one the user's.

        Returns:
            The messages, and whether some are not whole.

        Raises:
            DataError: There is no room even for what stands around it.
        """
        lead, turns = (list(messages[:1]), list(messages[1:])) if messages[0]["role"] == "system" else ([], [*messages])
        for first in range(0, len(turns), 2):
            kept = [*lead, *turns[first:]]
            if self.length(kept) <= self.room:
                return kept, first > 0
        last, text = turns[-1], turns[-1]["content"].rstrip()
        places = self.backbone.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        starts = [start for start, _ in places][-self.room :]
        endings = [[*lead, {**last, "content": text[start:]}] for start in starts]
        # rendered, a text may have more tokens than by itself: what spells special tokens is broken into several
        first = bisect_left(endings, True, key=lambda ending: self.length(ending) <= self.room)
        if first < len(endings):
            return endings[first], True
        around = self.length([*lead, {**last, "content": "."}])
        raise DataError(
            f"a conversation that is {around} tokens long without its last message",
            where="messages",
            expected=f"fewer than {self.room} tokens: the backbone has {self.backbone.limit} positions, and "
            f"{self.longest} are kept for the answer",
            remedy="shorten the system message, lower task.max_target, or use a backbone with more positions",
        )

    def length(self, messages: Sequence[Message]) -> int:
        """Tokens of a conversation up to where the assistant's turn begins."""
        return len(self.backbone.prompt(messages, answer=True).ids)

    def example(self, row: Mapping[str, Any], prompt: Ids, target: str) -> Example:
        """One row with what is to be written."""
        if self.talks and self.backbone.onward:
            return self.spoken(str(row["text"]), prompt, target)
        if self.backbone.onward:
            tokenizer = self.backbone.tokenizer
            ids = np.asarray(tokenizer(target, add_special_tokens=False)["input_ids"], dtype=np.int64)
            ids = np.append(ids, tokenizer.eos_token_id)
        else:
            (ids,) = self.backbone.encode_targets([target])
        return replace(self.continued(prompt, ids[: self.longest]), lost=len(ids) > self.longest)

    def continued(self, prompt: Ids, written: Ids) -> Example:
        """What was read with the tokens that were written, the end token among them if there is one."""
        if self.backbone.onward:
            return Example(np.concatenate([prompt, written]), following(prompt, written), lost=False)
        ignored = np.full(len(prompt), IGNORED, dtype=np.int32)
        targets = np.concatenate([ignored, written.astype(np.int32)])
        return Example(as_pieces([prompt, written]), targets, lost=False)

    def marked(self, example: Example) -> str:
        """An example as text, what is learned of it between ⟦ and ⟧."""
        learned = example.targets != IGNORED
        if self.backbone.onward:  # a token's target is the token behind it
            learned = np.concatenate([[False], learned[:-1]])
        ids, parts = ids_of(example.ids), np.flatnonzero(np.diff(learned)) + 1
        found: list[str] = []
        for piece, told in zip(np.split(ids, parts), np.split(learned, parts), strict=True):
            text: str = self.backbone.tokenizer.decode(piece.tolist())
            found.append(f"⟦{text}⟧" if told[0] else text)
        return " ".join(found)

    def spoken(self, text: str, prompt: Ids, target: str) -> Example:
        """A conversation with its answer; every turn of the assistant's is learned."""
        messages, _ = self.kept(messages_of(text))
        chat = self.backbone.prompt([*messages, {"role": "assistant", "content": target}])
        whole = len(prompt) + self.longest
        ids, spoken = chat.ids[:whole], chat.spoken[:whole]
        targets = np.full(len(ids), IGNORED, dtype=np.int32)
        targets[:-1][spoken[1:]] = ids[1:][spoken[1:]]
        return Example(ids, targets, len(chat.ids) > whole)


def following(prompt: Ids, written: Ids) -> NDArray[np.int32]:
    """Of each token of a prompt and of what is written behind it the one that follows, where it is learned."""
    targets = np.full(len(prompt) + len(written), IGNORED, dtype=np.int32)
    targets[len(prompt) - 1 : -1] = written
    return targets


def transcript(messages: Sequence[Message]) -> str:
    """A conversation as plain text, a line a message."""
    return "\n".join(f"{one['role']}: {unturned(one['content'])}" for one in messages)


def too_long(longest: int, places: int, least: int) -> RecipeError:
    """The error where what is to be written does not leave as many positions as are needed besides.

    Args:
        longest: Tokens of what is written at most.
        places: Positions that there are.
        least: Positions that are needed besides.

    Returns:
        What to raise.
    """
    return RecipeError(
        f"texts of up to {longest} tokens, and the backbone has {places} positions for them",
        where="task.max_target",
        expected=f"at most {max(places - least, 0)}: {least} positions are needed besides, for what is read or for the "
        "token that a text begins with",
        remedy=f"set task.max_target = {max(places - least, 2)}, or use a backbone with more positions",
    )
