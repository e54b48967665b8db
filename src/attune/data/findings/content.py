"""One pass over all texts: empty and very long rows, languages, personal data, lengths."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from attune.core.texts import SECOND, parts, texts_of
from attune.data import redaction
from attune.data.findings.record import SIDES, Collector, Finding
from attune.data.rows import LONG
from attune.data.table import Table

SCRIPTS = (
    ("Han", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")),
    ("Kana", re.compile(r"[\u3040-\u30ff]")),
    ("Hangul", re.compile(r"[\u1100-\u11ff\uac00-\ud7af]")),
    ("Cyrillic", re.compile(r"[\u0400-\u052f]")),
    ("Arabic", re.compile(r"[\u0600-\u06ff\u0750-\u077f]")),
    ("Devanagari", re.compile(r"[\u0900-\u097f]")),
    ("Thai", re.compile(r"[\u0e00-\u0e7f]")),
    ("Greek", re.compile(r"[\u0370-\u03ff]")),
    ("Hebrew", re.compile(r"[\u0590-\u05ff]")),
)
LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
EDGES = (0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_240, LONG)
PEEK = 2000
MINORITY = 0.05


@dataclass
class Tables:
    """What a pass over all texts counts.

    Attributes:
        lengths: Rows by characters, keyed by the lower edge of the bin, by split.
        languages: Rows by script, by split.
        personal: Pieces of personal data by kind, by split.
    """

    lengths: dict[str, dict[int, int]] = field(default_factory=dict)
    languages: dict[str, dict[str, int]] = field(default_factory=dict)
    personal: dict[str, dict[str, int]] = field(default_factory=dict)


def script(text: str) -> str:
    """The script most of a text is in, which is as much of its language as can be told without a model.

    Args:
        text: Any text; its first 2,000 characters count.

    Returns:
        A script's name; `Japanese` for Han with kana, `mixed` where Latin letters and another script share it evenly,
        `none` without letters.
    """
    text = text[:PEEK]
    latin = len(LATIN.findall(text))
    if text.isascii():
        return "Latin" if latin else "none"
    counts = {name: len(pattern.findall(text)) for name, pattern in SCRIPTS}
    if counts["Kana"] and counts["Kana"] * 5 > counts["Han"]:
        counts["Japanese"] = counts.pop("Kana") + counts.pop("Han")
    best = max(counts, key=lambda name: counts[name])
    if not counts[best]:
        return "Latin" if latin else "none"
    weight = 4 if best in {"Han", "Japanese"} else 1
    if latin and 0.5 < counts[best] * weight / latin < 2:
        return f"{best} and Latin"
    return best if counts[best] * weight >= latin else "Latin"


def _edge(length: int) -> int:
    return max(edge for edge in EDGES if edge <= length)


def check(tables: dict[str, Table], folder: Path) -> tuple[list[Finding], Tables]:
    """Reads every text once.

    Args:
        tables: The splits.
        folder: For references.

    Returns:
        Findings `empty`, `very_long`, `personal_data`, `language_mix`, those that there are; and the counts.
    """
    rows = {name: Collector(folder / f"{name}.rows") for name in ("empty", "very_long", "personal_data")}
    counted = Tables()
    for name, table in tables.items():
        lengths: Counter[int] = Counter()
        languages: Counter[str] = Counter()
        personal: Counter[str] = Counter()
        number = 0
        for columns in table.batches():
            for text in texts_of(columns):
                both = parts(text) if SECOND in columns else [text]
                _look(SIDES.index(name), number, both, rows, personal)
                lengths[_edge(sum(map(len, both)))] += 1
                languages[script(" ".join(part[: PEEK // len(both)] for part in both))] += 1
                number += 1
        counted.lengths[name] = {edge: lengths[edge] for edge in EDGES}
        counted.languages[name] = dict(languages.most_common())
        counted.personal[name] = dict(personal.most_common())
    return _findings(rows, counted, tables), counted


def _look(side: int, row: int, texts: list[str], rows: dict[str, Collector], personal: Counter[str]) -> None:
    longest = max(map(len, texts))
    if any(not text or text.isspace() for text in texts):
        rows["empty"].add(side, row, "no text" if len(texts) == 1 else "a text is missing")
    elif longest > LONG:
        rows["very_long"].add(side, row, f"{longest:,} characters")
    found = [one for text in texts for one in redaction.find(text[:LONG])]
    if found:
        kinds = [one.kind for one in found]
        personal.update(kinds)
        rows["personal_data"].add(side, row, ", ".join(dict.fromkeys(kinds)))


def _findings(rows: dict[str, Collector], counted: Tables, tables: dict[str, Table]) -> list[Finding]:
    total = max(sum(map(len, tables.values())), 1)
    texts = {
        "empty": (
            "warn",
            "{count:,} rows have no text.",
            "They teach the model to answer nothing with a label.",
            "`attune audit --fix` drops them; `train` refuses them.",
        ),
        "very_long": (
            "note",
            f"{{count:,}} rows have more than {LONG:,} characters.",
            "Only their beginning is read; they are often several documents glued together by a missing quote.",
            "Look at them; cut them into rows or remove them.",
        ),
        "personal_data": (
            "warn",
            "{count:,} rows hold personal data: " + _kinds(counted.personal) + ".",
            "What a model is tuned on can be read out of it; the rows may not be allowed to leave their place.",
            "Redact the texts before tuning where the data is not needed.",
        ),
    }
    found: list[Finding] = []
    for kind, (severity, summary, cost, remedy) in texts.items():
        count = rows[kind].count
        if count:
            found.append(
                Finding(
                    kind=kind,
                    severity="note" if severity == "note" else "warn",
                    count=count,
                    share=count / total,
                    summary=summary.format(count=count),
                    cost=cost,
                    remedy=remedy,
                    rows=rows[kind].close(tables),
                    references=rows[kind].path,
                )
            )
    mix = _mix(counted.languages, total)
    return [*found, mix] if mix else found


def _kinds(personal: dict[str, dict[str, int]]) -> str:
    total: Counter[str] = Counter()
    for counts in personal.values():
        total.update(counts)
    return ", ".join(f"{count:,} {kind}" for kind, count in total.most_common())


def _mix(languages: dict[str, dict[str, int]], total: int) -> Finding | None:
    scripts: Counter[str] = Counter()
    for counts in languages.values():
        scripts.update(counts)
    del scripts["none"]
    if len(scripts) < 2:
        return None
    (main, _), *others = scripts.most_common()
    count = sum(number for _, number in others)
    listed = ", ".join(f"{name} {number / total:.1%}" for name, number in scripts.most_common(5))
    return Finding(
        kind="language_mix",
        severity="note",
        count=count,
        share=count / total,
        summary=f"{count:,} rows are not in the main script ({main}): {listed}.",
        cost="A backbone that was not trained on a script reads its rows as unknown characters."
        if count / total > MINORITY
        else "Too few rows to learn another language from, enough to be answered wrongly.",
        remedy="Choose a multilingual backbone, or keep these rows out and send them elsewhere.",
    )
