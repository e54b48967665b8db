"""Conversations as token ids, with the tokens that the assistant says."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import TemplateError
from numpy.typing import NDArray

from attune.core.conversation import Message, disorder, unturned
from attune.errors import DataError

MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""How a template says itself what the assistant says."""
ASKED, SAID = "Who is there?", "Nobody but me."
"""A conversation that shows what a template writes behind an answer."""
Span = tuple[int, int]


@dataclass(frozen=True)
class Chat:
    """A conversation as a causal language model reads it.

    Attributes:
        ids: `(T,)` int64.
        spoken: `(T,)` bool: tokens that the assistant says, with the end of its turn.
    """

    ids: NDArray[np.int64]
    spoken: NDArray[np.bool_]


def render(tokenizer: Any, messages: Sequence[Message], *, answer: bool) -> Chat:
    """Renders a conversation by the tokenizer's own template, or plainly where it has none.

    Args:
        tokenizer: A fast one.
        messages: Mappings with `role` and `content`.
        answer: Whether the text ends where the assistant's next turn begins.

    Returns:
        Token ids and mask.

    Raises:
        DataError: The messages are in a wrong order, or the template has no place for them.
    """
    in_order(messages, answer=answer)
    messages = single_voiced(tokenizer, messages)
    if MARKED.search(getattr(tokenizer, "chat_template", None) or ""):
        return marked(tokenizer, messages, answer=answer)
    text, spans = told_apart(tokenizer, messages, answer=answer)
    batch = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
    places = np.asarray(batch["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    spoken = np.zeros(len(places), dtype=np.bool_)
    for begin, end in spans:
        spoken |= (places[:, 0] < end) & (places[:, 1] > begin) & (places[:, 0] < places[:, 1])
    return Chat(np.asarray(batch["input_ids"], dtype=np.int64), spoken)


def single_voiced(tokenizer: Any, messages: Sequence[Message]) -> list[Message]:
    """Messages, broken by a space where they would be read as somebody else's turn.

    What the assistant says is learned, so that only what begins and ends turns is broken in it: a template may name
    further tokens, such as `<think>`, for the assistant itself to say.
    """
    marks = marks_of(tokenizer)
    own = turning(tokenizer, marks) if any(turn["role"] == "assistant" for turn in messages) else marks
    plain = not getattr(tokenizer, "chat_template", None)
    found: list[Message] = []
    for turn in messages:
        text = apart(tokenizer, turn["content"], own if turn["role"] == "assistant" else marks)
        found.append({**turn, "content": unturned(text) if plain else text})
    return found


def apart(tokenizer: Any, text: str, ids: Collection[int]) -> str:
    """A text, what would be read as one of some tokens broken by a space: nobody speaks for another.

    Args:
        tokenizer: A fast one.
        text: A message's content.
        ids: The tokens.

    Returns:
        The text, as it is unless it spells such tokens.
    """
    spelled = {tokenizer.convert_ids_to_tokens(number).strip().lower() for number in ids} - {""}
    small = text.lower()
    while any(token in small for token in spelled):
        batch = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
        pairs = zip(batch["input_ids"], batch["offset_mapping"], strict=True)
        places = [(a, b) for number, (a, b) in pairs if number in ids and text[a:b].strip().lower() in spelled]
        if not places:
            break
        for start, end in reversed(places):
            token = text[start:end].strip()  # some tokens take the space before them along
            broken = f"{token[0]} {token[1:]}" if len(token) > 1 else ""
            text = f"{text[:start]} {broken}{text[end:]}"
    return text


def marks_of(tokenizer: Any) -> frozenset[int]:
    """The tokens that mean more than their letters: special ones, and added ones that the chat template writes."""
    template = getattr(tokenizer, "chat_template", None) or ""
    added = tokenizer.added_tokens_decoder.items()
    named = {number for number, token in added if is_mark(token.content) and token.content in template}
    return special_of(tokenizer) | named


def special_of(tokenizer: Any) -> frozenset[int]:
    """The tokens that are special by themselves, whatever the chat template writes."""
    found = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    ends = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id}
    return frozenset({*found, *tokenizer.all_special_ids} - ({tokenizer.unk_token_id} - ends))  # GPT-2's is its end


def is_mark(token: str) -> bool:
    """Whether an added token reads as a mark: added words and white space stand in a template's source by chance."""
    token = token.strip()
    return len(token) > 1 and not all(sign.isalnum() or sign.isspace() for sign in token)


def turning(tokenizer: Any, marks: frozenset[int]) -> frozenset[int]:
    """Of the tokens that are marks the special ones, and those that a short conversation is rendered with."""
    special = special_of(tokenizer)
    if special == marks:
        return marks
    found = set(special)
    talk = [{"role": role, "content": ASKED} for role in ("system", "user", "assistant", "user")]
    for turns in (talk, talk[1:]):  # some templates refuse a system message
        try:
            text = written(tokenizer, turns, answer=False)
        except DataError:
            continue
        found |= marks.intersection(tokenizer(text, add_special_tokens=False)["input_ids"])
    return frozenset(found)


def turn_ends(tokenizer: Any) -> list[int]:
    """The token that ends the assistant's turn by the tokenizer's chat template; none where there is no such.

    Args:
        tokenizer: A fast one.

    Returns:
        The first special token behind what the assistant says.
    """
    if not getattr(tokenizer, "chat_template", None):
        return []
    turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
    try:
        _, found, rest = written(tokenizer, turns, answer=False).rpartition(SAID)
    except DataError:
        return []
    marks = marks_of(tokenizer)
    ids = tokenizer(rest, add_special_tokens=False)["input_ids"] if found else []
    return [number for number in ids if number in marks][:1]


def marked(tokenizer: Any, messages: Sequence[Message], *, answer: bool) -> Chat:
    """A conversation by a template that marks what the assistant says."""
    written(tokenizer, messages, answer=answer)
    batch = tokenizer.apply_chat_template(
        [dict(turn) for turn in messages], tokenize=True, add_generation_prompt=answer, return_dict=True,
        return_assistant_tokens_mask=True,
    )  # fmt: skip
    spoken = np.asarray(batch["assistant_masks"], dtype=np.bool_)
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if turns and not spoken.any():
        raise voiceless(turns[0])
    return Chat(np.asarray(batch["input_ids"], dtype=np.int64), spoken)


def in_order(messages: Sequence[Message], *, answer: bool) -> None:
    """Refuses a conversation that is none: a system message may come first, then user and assistant take turns."""
    if flaw := disorder(messages, answer=answer):
        index, found, expected = flaw
        raise wrong(found, index, expected)


def wrong(found: str, index: int, expected: str) -> DataError:
    """What is said of a message."""
    return DataError(
        found, where=f"message {index}", expected=expected, remedy="mend the order of the messages in the row"
    )


def voiceless(index: int) -> DataError:
    """What is said of a template without the assistant role."""
    return DataError(
        "the tokenizer's chat template renders nothing of what the assistant says",
        where=f"message {index}",
        expected="a template with the assistant role",
        remedy="use a checkpoint tuned for conversations, or one without a template, which is rendered plainly",
    )


def told_apart(tokenizer: Any, messages: Sequence[Message], *, answer: bool) -> tuple[str, list[Span]]:
    """The text of a conversation, and where in it the assistant speaks.

    A turn begins where the rendering of what came before it ends, and ends where the rendering with it does.
    """
    text = written(tokenizer, messages, answer=answer)
    spans: list[Span] = []
    for index in [index for index, message in enumerate(messages) if message["role"] == "assistant"]:
        before = written(tokenizer, messages[:index], answer=True)
        after = written(tokenizer, messages[: index + 1], answer=False)
        if messages[index]["content"].strip() not in after[len(before) :]:
            raise voiceless(index)
        if not (text.startswith(after) and after.startswith(before)):
            raise DataError(
                "the tokenizer's chat template renders an earlier turn otherwise once others follow it",
                where=f"message {index}",
                expected="a template under which a conversation begins as its first turns do",
                remedy="give each answer as a conversation of its own, or use a template with {% generation %}",
            )
        spans.append((len(before), len(after)))
    return text, spans


def written(tokenizer: Any, messages: Sequence[Message], *, answer: bool) -> str:
    """A conversation as text."""
    if not getattr(tokenizer, "chat_template", None):
        end = tokenizer.eos_token or ""
        turns = [f"{turn['role']}: {turn['content']}{end if turn['role'] == 'assistant' else ''}" for turn in messages]
        return "\n".join([*turns, *(["assistant:"] if answer else [])])
    try:
        plain = [dict(turn) for turn in messages]
        return tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=answer)
    except (TemplateError, ValueError, KeyError) as error:
        raise DataError(
            f"the tokenizer's chat template refuses the messages: {error}",
            where=f"{len(messages)} message(s), the last by the {messages[-1]['role']}",
            expected="roles and an order that the template knows",
            remedy="leave out the system message if the template has none, or use another checkpoint",
        ) from None
