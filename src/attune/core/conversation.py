"""Conversations: messages in order, and the same as one text, for everything that compares, counts or shows texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

ROLES = ("system", "user", "assistant")
SPEAKS = re.compile(rf"(?<=\n)([^\S\n]*)({'|'.join(ROLES)}):")
"""A line of a message that reads as if somebody else spoke."""
TURN = "\x1e"
"""Stands before each message of a conversation; ASCII's own record separator, which no text needs."""
Message = Mapping[str, str]


def disorder(messages: Sequence[Mapping[str, Any]], *, answer: bool) -> tuple[int, str, str] | None:
    """What is wrong with a conversation: a system message may come first, then user and assistant take turns.

    Args:
        messages: Mappings with `role` and `content`.
        answer: Whether the assistant is to go on, so that the last word is the user's.

    Returns:
        The number of the message, what was found and what was expected; nothing where it is in order.
    """
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            return index, f"role is {role!r}", f"one of {', '.join(ROLES)}"
        if not isinstance(content, str) or not content.strip():
            return index, f"the {role} says {content!r}", "a text that is not empty"
    turns = [message["role"] for message in messages]
    lead = 1 if turns[:1] == ["system"] else 0
    for index, role in enumerate(turns[lead:], lead):
        due = ROLES[1 + (index - lead) % 2]
        if role != due:
            return index, f"the {role} speaks, and it is the turn of the {due}", "turns of user and assistant"
    if not turns[lead:]:
        return max(len(turns) - 1, 0), "nobody says anything", "a message of the user"
    if answer and turns[-1] != "user":
        return len(turns) - 1, "the last word is not the user's", "a message of the user to answer"
    return None


def given(cell: Any) -> list[Message] | None:
    """The messages that a cell holds, as values or as JSON text; nothing where it is a plain text or a list of such.

    Args:
        cell: As read.

    Returns:
        Mappings with `role` and `content`.

    Raises:
        ValueError: The messages are in a wrong order, or one of them is none; says which.
    """
    if isinstance(cell, str) and cell.lstrip().startswith("[") and '"role"' in cell:
        try:
            cell = json.loads(cell)
        except ValueError as error:
            raise ValueError(f"messages that are not JSON: {error}") from None
    if not isinstance(cell, list) or not any(isinstance(message, Mapping) for message in cell):
        return None
    if not all(isinstance(message, Mapping) for message in cell):
        raise ValueError("a list in which some messages are objects with role and content, and some are not")
    if wrong := disorder(cell, answer=False):
        index, found, expected = wrong
        raise ValueError(f"message {index}: {found}; expected {expected}")
    return [{"role": message["role"], "content": message["content"]} for message in cell]


def asked(cell: Any) -> str:
    """What of a cell the assistant answers, as a text: the messages before its last turn.

    Args:
        cell: Messages, as values or JSON text; or a text, which is then the user's only message.

    Returns:
        A text that `messages_of` reads back.

    Raises:
        ValueError: The messages are in a wrong order, or nobody asks anything.
    """
    messages = given(cell)
    if messages is None:
        if not isinstance(cell, str):
            raise ValueError(f"a {type(cell).__name__} where messages with role and content were expected")
        if TURN in cell and (not cell.startswith(TURN) or disorder(messages_of(cell), answer=True)):
            raise ValueError("a text that holds the character U+001E, which parts messages")
        return cell
    before = messages[:-1] if messages[-1]["role"] == "assistant" else messages
    if wrong := disorder(before, answer=True):
        raise ValueError(f"message {wrong[0]}: {wrong[1]}; expected {wrong[2]}")
    return as_text(before)


def as_text(messages: Sequence[Message]) -> str:
    """Messages as one text, a line or more each."""
    return "".join(f"{TURN}{one['role']}: {one['content'].replace(TURN, ' ').strip()}\n" for one in messages)


def unturned(text: str) -> str:
    """What somebody says where turns are lines: a line of it that begins as a turn does is broken by a space."""
    return SPEAKS.sub(r"\1\2 :", text)


def messages_of(text: str) -> list[Message]:
    """The messages of a text that `as_text` made; any other text is the user's only message."""
    if TURN not in text:
        return [{"role": ROLES[1], "content": text}]
    parts = [part.partition(": ") for part in text.split(TURN)[1:]]
    return [{"role": role, "content": content.rstrip("\n")} for role, _, content in parts]
