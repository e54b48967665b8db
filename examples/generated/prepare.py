"""Three small sets whose right answers follow from the text, so that the best figure is known: `python prepare.py OUT`.

dates: a date in words and the same as ISO 8601; notes: what was said at the desk, and who wants what on which day;
programs: what a function is to do, the function, and tests. A program writes them; nothing is of people. The rows are
drawn by a fixed seed. No text of a test file is in its training file, but every word is.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any

Row = dict[str, Any]
MONTHS = "January February March April May June July August September October November December".split()
NAMES = "Amir Bella Chen Dora Emil Farah Goran Hana Igor Jana Kofi Lena Mei Nils Olga Pavel".split()
ACTS = {"return": "is sending back", "exchange": "would like another one instead of", "collect": "is coming by for"}
THINGS = (
    "the blue kettle,a pair of boots,the desk lamp,two pillows,the tent,a rain coat,the toaster,a phone case".split(",")
)
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday".split()
CHATTER = (
    "The line was bad.", "It had been raining all morning.", "The call came in before lunch.",
    "Somebody was laughing in the background.", "We spoke about the new opening hours.",
    "The shop was full of people.", "There was some talk of a parade.", "The music in the hall was loud.",
    "A delivery van was blocking the door.", "The caller was friendly and in no hurry.",
)  # fmt: skip
STEPS: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "add {k}": ("{x} + {k}", lambda x, k: x + k),
    "take away {k}": ("{x} - {k}", lambda x, k: x - k),
    "multiply by {k}": ("{x} * {k}", lambda x, k: x * k),
    "square it": ("{x} * {x}", lambda x, k: x * x),
    "change the sign": ("-{x}", lambda x, k: -x),
}
ASKED = (-3, 0, 2, 7)
"""What the functions are tried on."""


def ordinal(day: int) -> str:
    """1st, 2nd, 3rd, 4th, …"""
    return f"{day}{'th' if 10 < day < 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def dates(draw: random.Random) -> Iterator[Row]:
    """Dates from 1950 on, each in one of five forms."""
    for number in draw.sample(range(36_500), 3_600):
        day = date(1950, 1, 1) + timedelta(number)
        month = MONTHS[day.month - 1]
        forms = (
            f"{month} {day.day}, {day.year}",
            f"{day.day} {month} {day.year}",
            f"the {ordinal(day.day)} of {month}, {day.year}",
            f"{day.day}. {month[:3]} {day.year}",
            f"{day.year}, {month[:3]} {ordinal(day.day)}",
        )
        yield {"source": draw.choice(forms), "target": day.isoformat()}


def notes(draw: random.Random) -> Iterator[Row]:
    """What was said, in which three sentences matter, and the one that says it."""
    kinds = list(product(NAMES, ACTS, THINGS, DAYS))
    for name, act, thing, day in draw.sample(kinds, len(kinds)):
        facts = [f"It was {name} who called.", f"The caller {ACTS[act]} {thing}.", f"The day will be {day}."]
        said = draw.sample(CHATTER, 4)
        for at, fact in zip(sorted(draw.choices(range(5), k=3), reverse=True), facts[::-1], strict=True):
            said.insert(at, fact)
        yield {"source": " ".join(said), "target": f"{name} wants to {act} {thing} on {day}."}


def programs(draw: random.Random) -> Iterator[Row]:
    """Functions of two steps, with what they are to return."""
    steps = [(words, k) for words in STEPS for k in (range(2, 10) if "{k}" in words else (0,))]
    for number, ((first, i), (second, j)) in enumerate(draw.sample([*product(steps, steps)], len(steps) ** 2)):
        (inner, one), (outer, two) = STEPS[first], STEPS[second]
        body = f"    x = {inner.format(x='x', k=i)}\n    return {outer.format(x='x', k=j)}\n"
        yield {
            "id": f"step-{number}",
            "source": f"f(x): {first.format(k=i)}, then {second.format(k=j)}",
            "target": f"def f(x):\n{body}",
            "tests": [f"assert f({x}) == {two(one(x, i), j)}" for x in ASKED],
        }


SETS = {"dates": (dates, 600), "notes": (notes, 400), "programs": (programs, 150)}
"""Set to what writes it, and how many of its rows are for testing."""


def main() -> None:
    """Writes NAME.train.jsonl and NAME.test.jsonl of each set."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, (made, asked) in SETS.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in made(random.Random(name))]
        (out / f"{name}.test.jsonl").write_text("".join(lines[:asked]), encoding="utf-8")
        (out / f"{name}.train.jsonl").write_text("".join(lines[asked:]), encoding="utf-8")


if __name__ == "__main__":
    main()
