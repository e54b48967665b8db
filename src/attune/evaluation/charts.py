"""Curves as inline SVG: the same bytes every time, text as text, colours from the page's own light or dark palette."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attune.tasks.metrics import Bin

INK, MUTED, LINE, ACCENT, SECOND = "#010101", "#010102", "#010103", "#010104", "#010105"
PALETTE = {INK: "--ink", MUTED: "--muted", LINE: "--line", ACCENT: "--accent", SECOND: "--second"}
"""Stand-in colours, each exchanged for a variable of the page's style sheet."""

FEW = 10
"""Decisions below which a bin's dot is hollow: its height says little."""

LOSSES = {"train_loss": "training", "validation_loss": "validation"}

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "attune",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.labelcolor": MUTED,
    "figure.facecolor": "none",
    "lines.linewidth": 2.0,
}


def drawn(draw: Callable[[Figure], None], width: float, height: float) -> str:
    """Draws a figure and returns it as an `<svg>` element.

    Args:
        draw: Puts axes on the figure.
        width: Inches.
        height: Inches.

    Returns:
        SVG without document head, metadata, identity of groups or links to anywhere.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inlined(buffer.getvalue())


def inlined(document: str) -> str:
    """An SVG document as an element of a page."""
    svg = document[document.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r"<svg \1\2", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"([^>]*?)height="[^"]*"', r"<svg \1\2", svg)
    for colour, variable in PALETTE.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg


def learning_curves(history: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """Losses on the left, the validation metric on the right.

    Args:
        history: Rows with `epoch` or `step`, `train_loss`, `validation_loss` and other `validation_*` figures, any of
            which may be missing.
        titles: The metrics to draw, shares only, with their names in words.

    Returns:
        SVG, or nothing where there is no curve to draw.
    """
    losses = series(history, list(LOSSES))
    metrics = series(history, [f"validation_{name}" for name in titles], factor=100)
    panels = [panel for panel in (losses, metrics) if panel]
    if not panels:
        return ""

    def draw(figure: Figure) -> None:
        for place, panel in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), place + 1)
            for (key, points), colour in zip(panel.items(), (SECOND, ACCENT, INK, MUTED), strict=False):
                label = LOSSES.get(key) or titles[key.removeprefix("validation_")]
                axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, label=label)
            axes.set_xlabel(abscissa(history))
            axes.set_title("Loss" if panel is losses else "On validation rows, %", loc="left", fontsize=11, color=INK)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend()

    return drawn(draw, 10 if len(panels) > 1 else 5.5, 3.2)


def abscissa(history: Sequence[Mapping[str, Any]]) -> str:
    """What the curves run over: epochs where every row has its own, else steps."""
    epochs = [row.get("epoch") for row in history]
    return "epoch" if None not in epochs and len(set(epochs)) == len(epochs) else "step"


def series(
    history: Sequence[Mapping[str, Any]], keys: Sequence[str], factor: float = 1
) -> dict[str, list[tuple[float, float]]]:
    """The finite points of each figure that has two or more; at most four figures."""
    over = abscissa(history)
    result: dict[str, list[tuple[float, float]]] = {}
    for key in keys:
        rows = [(row.get(over, place + 1), row.get(key)) for place, row in enumerate(history)]
        points = [(float(x), factor * float(y)) for x, y in rows if y is not None and np.isfinite(y)]
        if len(points) > 1 and len(result) < 4:
            result[key] = points
    return result


def reliability_diagram(bins: Sequence[Bin], said: str, came: str) -> str:
    """How often answers of each confidence came true, over how many there are (Guo et al., 2017, figure 1).

    Args:
        bins: Bins of confidence, empty ones included.
        said: What lies on the horizontal axis.
        came: What lies on the vertical axis.

    Returns:
        SVG.
    """
    filled = [bin for bin in bins if bin.count]
    total = sum(bin.count for bin in bins)

    def draw(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        width = bins[0].high - bins[0].low
        top.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        middles = [(bin.low + bin.high) / 2 for bin in filled]
        top.bar(middles, [bin.accuracy for bin in filled], width=width * 0.92, color=ACCENT, alpha=0.28)
        for bin in filled:
            face = ACCENT if bin.count >= FEW else "none"
            top.plot(bin.confidence, bin.accuracy, "o", color=ACCENT, markerfacecolor=face, markersize=5)
        top.set(xlim=(0, 1), ylim=(-0.02, 1.04), ylabel=came)
        bottom.bar(middles, [bin.count / total for bin in filled], width=width * 0.92, color=SECOND, alpha=0.6)
        bottom.set(xlabel=said, ylabel="share")
        bottom.yaxis.set_major_locator(MaxNLocator(2))

    return drawn(draw, 5.2, 4.4)
