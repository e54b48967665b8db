"""An audit as one self-contained HTML page."""

from __future__ import annotations

from typing import Any

import jinja2

from attune.data.audit import Audit
from attune.data.page_template import PAGE

MOST_CLASSES = 100
WORDS = {"stop": "stops the run", "warn": "mend", "note": "know"}


def html(audit: Audit, title: str = "Data audit") -> str:
    """Writes the page: verdict, findings with examples, class counts, lengths, languages, personal data.

    Args:
        audit: What was found.
        title: Heading of the page.

    Returns:
        HTML with everything inside; nothing is fetched. Light or dark as the reader's system is.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["thousands"] = "{:,}".format
    environment.filters["percent"] = "{:.2%}".format
    return environment.from_string(PAGE).render(
        title=title,
        findings=audit.findings,
        words=WORDS,
        verdict=_verdict(audit),
        rows=audit.tables["rows"],
        classes=_classes(audit.tables["classes"]),
        hidden=max(len(audit.tables["classes"]) - MOST_CLASSES, 0),
        lengths=_lengths(audit.tables["lengths"]),
        languages=_shares(audit.tables["languages"]),
        personal=_shares(audit.tables["personal"]),
        sampled=audit.sampled,
    )


def _verdict(audit: Audit) -> tuple[str, str]:
    stops = audit.stops()
    if stops:
        names = ", ".join(one.kind.replace("_", " ") for one in stops)
        return "stop", f"Not fit to tune on as it is: {names}."
    warned = sum(one.severity == "warn" for one in audit.findings)
    if warned:
        return "warn", f"Fit to tune on; {warned} {'thing is' if warned == 1 else 'things are'} worth mending first."
    return "note", "Fit to tune on."


def _classes(by_class: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    shown = list(by_class.items())[:MOST_CLASSES]
    most = max((sum(row.values()) for _, row in shown), default=1) or 1
    return [
        {
            "label": label,
            "total": sum(row.values()),
            "parts": [{"side": side, "count": count, "width": 100 * count / most} for side, count in row.items()],
        }
        for label, row in shown
    ]


def _lengths(lengths: dict[str, dict[int, int]]) -> list[dict[str, Any]]:
    edges = sorted({edge for one in lengths.values() for edge in one})
    totals = {edge: sum(one.get(edge, 0) for one in lengths.values()) for edge in edges}
    filled = [index for index, edge in enumerate(edges) if totals[edge]]
    if not filled:
        return []
    most = max(totals.values())
    bins: list[dict[str, Any]] = []
    for index in range(filled[0], filled[-1] + 1):
        edge = edges[index]
        name = f"{edge:,}–{edges[index + 1] - 1:,}" if index + 1 < len(edges) else f"{edge:,} and more"
        bins.append({"name": name, "count": totals[edge], "height": 100 * totals[edge] / most})
    return bins


def _shares(by_side: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    totals: dict[str, int] = {}
    for one in by_side.values():
        for name, count in one.items():
            totals[name] = totals.get(name, 0) + count
    everything = sum(totals.values()) or 1
    ordered = sorted(totals.items(), key=lambda entry: -entry[1])
    return [{"name": name, "count": count, "width": 100 * count / everything} for name, count in ordered]
