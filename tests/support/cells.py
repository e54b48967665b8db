"""The cells of the conformance suite: variants, covers, and one check an invariant of DESIGN §4."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from attune.backbones.checkpoints import Checkpoint
from attune.core.conversation import as_text
from attune.core.packing import IGNORED, by_piece, pieces_of
from attune.core.recipe import Recipe, Several, parse
from attune.core.texts import FIRST, SECOND, joined, parts, row_of
from attune.errors import CannotMerge
from attune.lifecycle.begin import describe
from attune.lifecycle.train import train
from attune.lifecycle.worded import word
from attune.model import bundle as bundles
from attune.model.assemble import (
    AXES,
    Cell,
    Model,
    assemble,
    cells,
    check,
    nothing_moves,
    reads_of,
    task_of,
    why_not,
)  # fmt: skip
from attune.tasks.common.contrast import key_of
from attune.tasks.common.labelled import Labels
from attune.tasks.common.oracle import read_summary
from attune.tasks.common.supcon import supervised_contrast
from attune.tasks.heads.registry import HEADS
from attune.training.encoded import Encoded, encode, ground, learned_from, prepare, refuse_lost
from attune.training.events import Events
from attune.training.loop import Loop, Place
from attune.training.optimiser import moving
from attune.training.reference import refer, surprises
from support.plain import texts_stay
from support.tiny import EVERY, FAMILIES, WORDS, backbone

TOLERANCE = 5e-5
"""Of merged against unmerged logits, and of a row answered in another batch."""
ACCUMULATED = 1e-6
"""Of parameters after accumulated against whole batches, and of probabilities in another process."""

METHODS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "adalora": {
        "adalora": {"target_rank": 3, "initial_rank": 4, "interval": 1, "warm_share": 0.0, "final_share": 0.25},
        "adalora-attention": {"target_rank": 3, "initial_rank": 4, "targets": "attention", "interval": 2},
    },
    "adapter": {
        "adapter-houlsby": {"reduction": 4},
        "adapter-pfeiffer": {"style": "pfeiffer", "bottleneck": 8, "activation": "gelu"},
        "adapter-parallel": {"style": "parallel", "bottleneck": 8},
        "adapter-top": {"reduction": 4, "top_layers": 1},
    },
    "frozen": {"frozen-0": {"trainable_layers": 0}, "frozen-1": {"trainable_layers": 1}},
    "full": {"full": {}, "full-gradual": {}},
    "lora": {
        "lora-all": {"rank": 4},
        "lora-attention": {"rank": 2, "targets": "attention"},
        "lora-dora-rslora": {"rank": 3, "alpha": 4.0, "dora": True, "rslora": True},
        "lora-pissa": {"rank": 4, "init": "pissa"},
        "lora-pissa-dora": {"rank": 3, "alpha": 4.0, "init": "pissa", "dora": True},
        "lora-olora-rslora": {"rank": 4, "init": "olora", "rslora": True, "alpha": 4.0},
    },
    "p_tuning": {"p_tuning": {"tokens": 6, "hidden": 16}},
    "prefix": {"prefix": {"tokens": 4}, "prefix-hidden": {"tokens": 4, "hidden": 16}},
    "prompt": {"prompt": {}, "prompt-text": {"tokens": 5, "init_text": "where is my order"}},
}
"""Method to its variants; a method that is not here has one, with its defaults."""
TRAINING: Mapping[str, Mapping[str, Any]] = {"full-gradual": {"unfreeze": "gradual"}}
"""Method variant to what it sets in [training]."""
TASKS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "classification": {
        "classification": {},
        "ordinal": {"order": ("refund", "address", "cancel")},
        "hierarchical": {"hierarchy": "/"},
    },
    "causal_lm": {name: {"between": name} for name in ("line", "end", "nothing")},
    "denoising": {"spans": {}, "dense": {"noise_share": 0.4, "span": 1.5}},
    "label_embedding": {"plain": {}, "sizes": {"sizes": (8, 32), "size": 8}},
    "embedding": {"plain": {}, "sizes": {"sizes": (8, 32), "size": 8, "symmetric": True, "negatives": 1}},
    "extractive": {"mean": {}, "windows": {"sentences": 2, "overlap": 4, "blocking": False}},
    "generation": {
        "greedy": {"max_target": 12, "preset": "translation"},
        "beams": {
            "max_target": 12,
            "before": "where",
            "label_smoothing": 0.1,
            "decoding": {"beams": 3, "candidates": 2, "no_repeat": 2, "forbidden": ("late",)},
        },
        "drawn": {
            "max_target": 12,
            "preset": "dialogue",
            "decoding": {"sample": True, "top_k": 20, "temperature": 1.2, "required": ("parcel card",)},
        },
    },
    "masked_lm": {"mixed": {}, "words": {"whole_words": True, "corruption": "mask", "mask_share": 0.3}},
    "pair": {"cross": {}, "bi": {"encoder": "bi"}},
    "question_answering": {
        "whole": {"max_answer": 8},
        "windows": {"max_answer": 4, "overlap": 4, "no_answer_threshold": -1.0},
    },
    "relation": {
        "bare": {"markers": ["red", "blue"], "typed": False},
        "typed": {"markers": ["red", "blue"], "type_markers": ["one", "two"], "pooled": True},
    },
    "tagging": {"bio": {}, "bioes": {"scheme": "bioes", "casing": False, "overlap": 4}, "tokens": {"units": "token"}},
    "ranking": {name: {"encoder": name, "candidates": 6} for name in ("cross", "bi")},
    "regression": {name: {"encoder": name} for name in ("single", "cross", "bi", "cosine")},
}
"""Task to its variants; a task that is not here has one, with its defaults."""
OBJECTIVES: Mapping[str, Mapping[str, Any]] = {
    "preference": {"beta": 0.5, "label_smoothing": 0.05, "supervised_weight": 0.3},
    "reward": {"reward": "chrf", "samples": 2, "supervised_weight": 1.0},
}
"""Objective to its options; one that is not here has its defaults."""
APART = {("preference", "beams"), ("reward", "beams")}
"""Objectives and variants of tasks that do not go together: the targets of that one are smoothed."""
TOGETHER: Mapping[str, list[dict[str, Any]]] = {
    "label-spans": [
        {"name": "kind", "type": "classification", "weight": 2.0},
        {"name": "spans", "type": "tagging", "head": "crf", "overlap": 4},
    ],
    "label-number": [
        {"name": "kind", "type": "classification", "class_weights": "balanced"},
        {"name": "number", "type": "regression", "weight": 0.5},
    ],
    "labels": [
        {"name": "kind", "type": "classification"},
        {"name": "kinds", "type": "classification", "multi_label": True},
    ],
    "spans": [
        {"name": "spans", "type": "tagging", "scheme": "bioes", "overlap": 4},
        {"name": "again", "type": "tagging", "casing": False, "overlap": 4},
    ],
}
"""Several tasks at once, which are no cells of their own: what is asked together, by a name for it."""
KINDS: Mapping[str, Sequence[str]] = FAMILIES
"""Backbone family to the kinds of tiny model it is tried on."""
POOLINGS = {"text": ("mean", "first"), "causal": ("mean", "last"), "seq2seq": ("mean", "first")}
"""Backbone family to the ways in which its tokens become one vector."""
LABELS = ("address", "cancel", "refund")
LABELS_OF: Mapping[str, tuple[str, ...]] = {
    "ordinal": ("refund", "address", "cancel"),
    "hierarchical": ("order/address", "order/cancel", "pay/refund"),
}
"""Variants of tasks whose labels have a structure, and the labels in the model's order; a row has one of them."""
HEAD_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "cloze": {"pattern": "{text} it is {mask}", "calibrate": True},
    "descriptions": {"shots": 2, "calibrate": True},
    "in_context": {"pattern": "{text} it is {label} now ", "calibrate": True},
}
"""Head to what is set in [task] for it, so that all of its code runs."""
FILLS = "-fills"
"""What the folder of an encoder with its vocabulary head is called behind its kind."""


def head_options(head: str, asked: str) -> dict[str, Any]:
    """What is set in [task] for a head: words where labels are no single ones, and rows to show."""
    found = dict(HEAD_OPTIONS.get(head, {}))
    names = LABELS_OF.get(asked, LABELS)
    if head == "cloze" and asked in LABELS_OF:
        found["verbalisers"] = {name: [name.rsplit("/", 1)[-1], more] for name, more in zip(names, WORDS, strict=False)}
    if head == "in_context":
        found["demonstrations"] = [{"text": "where is my card", "label": name} for name in names[:2]]
    return found


def asks_in_words(head: str) -> bool:
    """Whether a head lays rows out in words: it has one way of pooling, and one label a row."""
    return hasattr(HEADS.get(head), "asks")


OF_TRAINING = frozenset({1, 4, 6, 7})
"""Invariants that say something of steps; they do not apply to a method that takes none."""


@dataclass(frozen=True)
class Variant:
    """A cell with the options that change what its code does."""

    family: str
    task: str
    head: str
    method: str
    objective: str
    kind: str
    pooling: str
    tuned: str
    multi_label: bool
    asked: str

    def __str__(self) -> str:
        labels = "multi" if self.multi_label else "single"
        task = self.task if self.asked == self.task else f"{self.task}-{self.asked}"
        names = (self.kind, self.pooling, task, self.head, self.tuned, labels, self.objective)
        return "-".join(names)

    @property
    def cell(self) -> Cell:
        """The cell it belongs to."""
        return Cell(self.family, self.task, self.head, self.method, self.objective)

    def recipe(self, *, data: Mapping[str, Any] | None = None, **training: Any) -> Recipe:
        """A recipe for it, small, in float32, on one thread, from a random head."""
        defaults = {
            "precision": "float32", "attention": "sdpa", "threads": 1, "start": "random", "batch_size": 4, "epochs": 2,
            "checkpoint_steps": 1, "learning_rate": 2e-3, "head_learning_rate": 1e-2, "seed": 7,
        }  # fmt: skip
        options = METHODS.get(self.method, {}).get(self.tuned, {})
        if self.task == "together":
            task: Any = TOGETHER[self.asked]
        else:
            task = self._task()
        document = {
            "data": data or {"train": "nowhere.jsonl"},
            "backbone": {"family": self.family, "name": self._folder(), "pooling": self.pooling},
            "task": task,
            "method": {"name": self.method, **options},
            "objective": {"name": self.objective, **OBJECTIVES.get(self.objective, {})},
            "training": {**defaults, **TRAINING.get(self.tuned, {}), **training},
            "evaluation": {"baselines": ["majority"], "resamples": 100},
        }  # fmt: skip
        return parse(document, AXES)

    def _task(self) -> dict[str, Any]:
        """The table [task]."""
        asked = TASKS.get(self.task, {}).get(self.asked, {})
        return {
            "name": self.task, "head": self.head, **asked, **head_options(self.head, self.asked),
            **({"multi_label": self.multi_label} if labelled(self.task) else {}),
        }  # fmt: skip

    def _folder(self) -> str:
        """The backbone's folder."""
        return self.kind + (FILLS if self.head == "cloze" else "")

    def plain(self) -> dict[str, Any]:
        """As JSON; `Variant(**plain)` is equal."""
        return asdict(self)


def supported() -> list[Cell]:
    """Cells in which nothing is missing."""
    return [cell for cell in cells() if not why_not(cell)]


def refused() -> list[tuple[Cell, str]]:
    """Cells in which something is, with the reason."""
    return [(cell, reason) for cell in cells() if (reason := why_not(cell))]


def labelled(task: str) -> bool:
    """Whether a task asks for label names, one a row or several."""
    return "multi_label" in AXES["task"].get(task).Options.model_fields


def plain(task: str) -> bool:
    """Whether a task learns from texts alone."""
    if task == "together":
        return False
    entry = AXES["task"].get(task)
    return not entry(entry.Options()).form.labelled


def usual(family: str) -> str:
    """How a family pools where nothing is said."""
    return str(AXES["backbone"].get(family).Options.model_fields["pooling"].default)


@cache
def bare(family: str, kind: str, needs: frozenset[str]) -> Any:
    """The outline of a kind of tiny model; made once."""
    return AXES["backbone"].get(family).outline(EVERY[kind](100), needs)


@cache
def without(family: str, kind: str, needs: frozenset[str]) -> frozenset[str]:
    """What a kind of tiny model does not have, though its family does."""
    return AXES["backbone"].get(family).lacks(EVERY[kind](100), needs)


@cache
def lacking(cell: Cell, tuned: str, kind: str, needs: frozenset[str]) -> str:
    """Why a variant of a method cannot work on a kind of tiny model, though it does on others; empty where it can."""
    family, method = cell.family, cell.method
    entry = AXES["method"].get(method)
    if missing := entry.needs & without(family, kind, needs):
        return ", ".join(sorted(missing))
    options = entry.Options.model_validate({"name": method, **METHODS.get(method, {}).get(tuned, {})})
    return nothing_moves(cell, entry(options)) or entry(options).no_place(lambda: bare(family, kind, needs))


NONE: frozenset[str] = frozenset()


def asking(family: str, method: str) -> Cell:
    """A cell of several tasks."""
    return Cell(family, "classification", "linear", method, "supervised")


def together() -> tuple[Variant, ...]:
    """Variants of several tasks at once: every method once, every kind of backbone with one of them."""
    tuned = [(method, name) for method in AXES["method"].names() for name in [*METHODS.get(method, {method: {}})][:1]]
    tuned = [pair for pair in tuned if takes_steps(pair[0])]
    found: list[Variant] = []
    number = 0
    for family, kinds in KINDS.items():
        for kind in kinds:
            for _ in range(2):
                able = [
                    (method, name) for method, name in tuned if not lacking(asking(family, method), name, kind, NONE)
                ]
                method, name = able[number % len(able)]
                asked = [*TOGETHER][number % len(TOGETHER)]
                pooling = POOLINGS[family][number // 2 % 2] if asked != "spans" else usual(family)
                found.append(
                    Variant(family, "together", "several", method, "supervised", kind, pooling, name, False, asked)
                )
                number += 1
    return tuple(found)


def pools(cell: Cell) -> bool:
    """Whether it matters to a cell how tokens become one vector."""
    return reads_of(AXES["task"].get(cell.task)) == "pooled" and not asks_in_words(cell.head)


@cache
def every() -> tuple[Variant, ...]:
    """Every variant of every supported cell, on every kind that has what the method needs."""
    found: list[Variant] = []
    for cell in sorted(supported(), key=lambda cell: cell.objective != "supervised"):
        for kind, pooling, tuned, many, asked in product(
            KINDS[cell.family],
            POOLINGS[cell.family] if pools(cell) else (usual(cell.family),),
            METHODS.get(cell.method, {cell.method: {}}),
            (False, True) if labelled(cell.task) and not asks_in_words(cell.head) else (False,),
            TASKS.get(cell.task, {cell.task: {}}),
        ):
            if (many and asked in LABELS_OF) or (cell.objective, asked) in APART:
                continue
            if not lacking(cell, tuned, kind, AXES["task"].get(cell.task).needs):
                found.append(
                    Variant(**asdict(cell), kind=kind, pooling=pooling, tuned=tuned, multi_label=many, asked=asked)
                )
    return tuple(found)


def applies(number: int, variant: Variant) -> bool:
    """Whether an invariant says something of a variant: told by what its method does, not by its name."""
    return number not in OF_TRAINING or takes_steps(variant.method)


@cache
def takes_steps(method: str) -> bool:
    """Whether a method trains; a registry looks at every installed package each time it is asked."""
    return AXES["method"].get(method).trains


def entries(variant: Variant) -> frozenset[tuple[str, Any]]:
    """What a variant uses: one name and value an axis."""
    return frozenset(asdict(variant).items())


OPTIONS = {"tuned": {"method", "family", "pooling"}, "asked": {"task", "head", "family", "multi_label"}}
"""Of what is set in a variant's tables, with which other parts it is tried together; entries with all of each other."""


def pairs(variant: Variant) -> frozenset[Any]:
    """Every two of its entries, and every option with the entries that read it."""
    found = combinations(sorted(entries(variant), key=str), 2)
    return frozenset(pair for pair in found if met(pair[0][0], pair[1][0]) and met(pair[1][0], pair[0][0]))


def met(name: str, other: str) -> bool:
    """Whether a part of a variant is to be tried together with another."""
    return other in OPTIONS.get(name, {other})


def covering(of: Callable[[Variant], frozenset[Any]], among: Sequence[Variant] | None = None) -> list[Variant]:
    """Few variants that have between them everything that all variants have: always the one that adds most, the first
    of equals. What a variant adds only falls, so that one is looked at again only when it would be next (Minoux 1978).
    """
    variants = every() if among is None else among
    sets = [of(variant) for variant in variants]
    left = set[Any]().union(*sets)
    queue = [(-len(added), number) for number, added in enumerate(sets)]
    heapq.heapify(queue)
    chosen: list[Variant] = []
    while left:
        _, number = heapq.heappop(queue)
        now = (-len(sets[number] & left), number)
        if queue and queue[0] < now:
            heapq.heappush(queue, now)
            continue
        chosen.append(variants[number])
        left -= sets[number]
    return chosen


def single_cover() -> list[Variant]:
    """Every entry at least once."""
    return covering(entries)


def cell_cover() -> list[Variant]:
    """Every cell at least once, and every two entries at least once together."""
    return covering(lambda variant: pairs(variant) | {variant.cell})


def covered_cells() -> list[Variant]:
    """Every cell, each with every two of its kinds, poolings, options and forms of label at least once."""
    variants = every()
    return [
        chosen
        for cell in supported()
        for chosen in covering(pairs, [variant for variant in variants if variant.cell == cell])
    ]


def pairwise_cover() -> list[Variant]:
    """Every two entries at least once together."""
    return covering(pairs)


def method_cover() -> list[Variant]:
    """Every variant of every method and every head at least once."""
    return covering(lambda v: frozenset({("method", v.tuned), ("head", v.task, v.asked, v.head, v.multi_label)}))


def backbones(root: Path) -> Path:
    """One tiny backbone a kind, in folders of that name; lively, so that rows differ by more than rounding."""
    for kinds in KINDS.values():
        for kind in kinds:
            if not (root / kind).is_dir():
                enliven(backbone(root / kind, kind))
    for kind in KINDS["text"]:
        if not (root / f"{kind}{FILLS}").is_dir():
            enliven(backbone(root / f"{kind}{FILLS}", kind, fills=True))
    return root


def enliven(folder: Path) -> None:
    """Makes a backbone's weights larger."""
    weights = folder / "model.safetensors"
    lively = {
        name: value * (0.1 / value.std()) if value.ndim == 2 and value.std() > 0 else value
        for name, value in load_file(weights).items()
    }
    save_file(lively, weights, metadata={"format": "pt"})


def spans_in(text: str) -> list[dict[str, Any]]:
    """Every word of a text that is a label name, as a span; two of them side by side are one."""
    found: list[dict[str, Any]] = []
    for match in re.finditer("|".join(rf"{label}(?: {label})?" for label in LABELS), text):
        found.append({"start": match.start(), "end": match.end(), "label": match.group().split()[0]})
    return found


def answers_in(text: str) -> list[dict[str, Any]]:
    """The first label names of a context; nothing where a pair has an even length."""
    context = parts(text)[1]
    found = spans_in(context)[:1] if len(text) % 2 else []
    return [{"start": at["start"], "end": at["end"], "text": context[at["start"] : at["end"]]} for at in found]


def in_lines(text: str) -> str:
    """A text with three words a line."""
    words = text.split()
    return "\n".join(" ".join(words[at : at + 3]) for at in range(0, len(words), 3))


def summary_in(text: str) -> dict[str, Any]:
    """What is right where a document's summary is its lines that hold a label name."""
    told = [line for line in text.splitlines() if any(label in line.split() for label in LABELS)]
    return read_summary("\n".join(told), {FIRST: text}, "auto")


def in_halves(text: str) -> str:
    """A text as two lines."""
    words = text.split()
    return "\n".join(" ".join(part) for part in (words[: len(words) // 2], words[len(words) // 2 :]))


def in_kin(text: str) -> str:
    """A text as two lines, both of which begin with its first word."""
    first, second = in_halves(text).split("\n")
    return f"{first}\n{text.split()[0]} {second}"


LAID_OUT: Mapping[str, Callable[[str], str]] = {
    "extractive": in_lines, "next_sentence": in_kin, "sentence_order": in_halves
}  # fmt: skip
"""Task to the form of its texts, where they are more than words in a row."""
GOLDS: Mapping[str, Callable[[str], Any]] = {
    "extractive": summary_in, "question_answering": answers_in, "tagging": spans_in
}  # fmt: skip
"""Task to what is right for a text, where that is more than labels."""


def ends_of(text: str) -> dict[str, Any]:
    """The first word of a text and the last as its two entities; the further apart, the longer it is."""
    first, last = text.split()[0], text.split()[-1]
    tail = {"start": len(text) - len(last), "end": len(text), "label": "price" if len(text) % 2 else "order"}
    return {"entities": [{"start": 0, "end": len(first), "label": "account"}, tail]}


ALSO: Mapping[str, Callable[[str], dict[str, Any]]] = {"relation": ends_of}
"""Task to what else is read of a row, made of its text."""


class Table:
    """Made-up labelled rows of uneven length, each with a word that tells its label; of a pair in both texts.

    Where a task asks for more than labels, `GOLDS` makes it of the text, and `ALSO` what else it reads.
    """

    def __init__(
        self,
        count: int,
        *,
        multi_label: bool = False,
        task: str = "classification",
        seed: int = 0,
        longest: int = 20,
        labels: Sequence[str] = LABELS,
    ) -> None:
        pair = SECOND in AXES["task"].get(task)(AXES["task"].get(task).Options()).form.texts
        self.task = task
        draw = np.random.default_rng(seed)
        name = {label.rsplit("/", 1)[-1]: label for label in labels}
        words = [word for word in WORDS if word not in LABELS]
        self.multi_label = multi_label
        self.fields = (FIRST, SECOND) if pair else (FIRST,)
        self.texts: list[str] = []
        self.golds: list[Any] = []
        for row in range(count):
            label = LABELS[row % len(LABELS)]
            rest = draw.choice(words, int(draw.integers(2, longest)))
            told = " ".join([label, label, *rest])
            half = len(rest) // 2
            both = [" ".join([label, label, *part]) for part in (rest[:half], rest[half:])]
            self.texts.append(joined(both) if pair else LAID_OUT.get(task, str)(told))
            several = sorted({label, LABELS[int(draw.integers(len(LABELS)))]}) if row % 5 else []
            made = GOLDS.get(task)
            self.golds.append(made(self.texts[-1]) if made else several if multi_label else name[label])

    def __len__(self) -> int:
        return len(self.texts)

    def row(self, text: str) -> dict[str, Any]:
        """What is read of a row with this text."""
        made = ALSO.get(self.task)
        return {**row_of(text, self.fields), **(made(text) if made else {})}

    def rows(self) -> list[dict[str, Any]]:
        """Rows as the model answers them."""
        return [self.row(text) for text in self.texts]

    def long(self) -> dict[str, Any]:
        """A row longer than any other."""
        return self.row(joined([LAID_OUT.get(self.task, str)(" ".join(WORDS))] * len(self.fields)))

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """Columns, `size` rows at a time."""
        name = "gold" if self.task in GOLDS else "labels" if self.multi_label else "label"
        for at in range(0, len(self), size):
            rows = [self.row(text) for text in self.texts[at : at + size]]
            columns = {field: [row[field] for row in rows] for field in rows[0]}
            yield {**columns, name: self.golds[at : at + size]}


class Numbers(Table):
    """Made-up rows with a number: how often a word stands in the text; of two texts, how much they share.

    Args:
        count: Rows.
        fields: The fields of a row's texts.
    """

    def __init__(self, count: int, fields: tuple[str, ...]) -> None:
        super().__init__(count, multi_label=False)
        draw = np.random.default_rng(1)
        self.fields, self.texts, self.golds = fields, [], []
        words = [word for word in WORDS if word not in LABELS]
        for row in range(count):
            length = int(draw.integers(4, 9))
            first, other = draw.choice(words, length).tolist(), draw.choice(words, length).tolist()
            shared = length if row % 3 == 0 else int(draw.integers(0, 2))
            second = first[:shared] + other[shared:]
            alone = ["refund"] * (4 if shared == length else 0)
            self.texts.append(joined([" ".join(first), " ".join(second)][: len(fields)] if len(fields) > 1 else
                                     [" ".join([*alone, *first])]))  # fmt: skip
            self.golds.append(100.0 + 10.0 * shared / length)

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """Columns, `size` rows at a time."""
        for columns in super().batches(size):
            yield {**columns, "gold": columns["label"]}


class Rankings(Table):
    """Made-up rows of a query and four candidates, of which those that share a label's word with it are right.

    Args:
        count: Rows.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count, multi_label=False, longest=8)
        draw = np.random.default_rng(2)
        words = [word for word in WORDS if word not in LABELS]
        self.candidates: list[list[str]] = []
        named, self.golds = self.golds, []
        for label in named:
            told = [label, *draw.permutation([name for name in LABELS if name != label]), label]
            order = draw.permutation(4)
            texts = [" ".join([told[at], told[at], str(at), *draw.choice(words, 2 + at)]) for at in order]
            self.candidates.append(texts)
            self.golds.append(sorted(int(place) for place, at in enumerate(order) if told[at] == label))

    def rows(self) -> list[dict[str, Any]]:
        """Rows as the model answers them."""
        return [{**row, "candidates": own} for row, own in zip(super().rows(), self.candidates, strict=True)]

    def long(self) -> dict[str, Any]:
        """A row longer than any other."""
        return {**super().long(), "candidates": self.candidates[0]}

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """Columns, `size` rows at a time."""
        at = 0
        for columns in super().batches(size):
            count = len(columns["text"])
            yield {**columns, "gold": columns["label"], "candidates": self.candidates[at : at + count]}
            at += count


class Texts(Table):
    """The same rows for a task that learns from texts alone: one at a time, so that each is packed by itself."""

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """Columns, one row at a time."""
        del size
        return super().batches(1)


class Pairs(Table):
    """Made-up texts with one that belongs to each: it shares their label's word and one more. Some have negatives.

    Two rows have one positive, so that one must not count as a negative of the other.

    Args:
        count: Rows.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count, longest=8)
        named, self.golds = self.golds, []
        for row, (text, label) in enumerate(zip(self.texts, named, strict=True)):
            others = [name for name in LABELS if name != label]
            negatives = [f"{others[0]} {text.split()[2]}", f"{others[1]} is it late"][: row % 3]
            words = self.texts[0].split() if row == 3 else text.split()
            self.golds.append({"positive": f"{label} {' '.join(words[2:4])}", "negatives": negatives})

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """Columns, `size` rows at a time."""
        for columns in super().batches(size):
            yield {**columns, "gold": columns["label"]}


class Written(Table):
    """Made-up rows with a text to be written: the first words of what is read, the last of them first.

    Args:
        count: Rows.
        talks: Whether what is read is a conversation.
    """

    def __init__(self, count: int, *, talks: bool) -> None:
        super().__init__(count, multi_label=False, longest=7 if talks else 12)
        self.talks = talks
        self.golds = [{"texts": [" ".join(text.split()[1 : 3 + row % 3][::-1])]} for row, text in enumerate(self.texts)]

    def row(self, text: str) -> dict[str, Any]:
        """What is read of a row with this text."""
        if not self.talks:
            return super().row(text)
        words = text.split()
        turns = [("user", words[:1]), ("assistant", words[1:3]), ("user", words)]
        return {FIRST: as_text([{"role": role, "content": " ".join(said)} for role, said in turns])}

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """Columns, `size` rows at a time."""
        for columns in super().batches(size):
            yield {**columns, "gold": columns["label"]}


class Pairwise(Written):
    """The same rows with a preferred text and another, in which one word is none that was read.

    Args:
        count: Rows.
        talks: Whether what is read is a conversation.
    """

    def __init__(self, count: int, *, talks: bool) -> None:
        super().__init__(count, talks=talks)
        written = [gold["texts"][0] for gold in self.golds]
        self.golds = [
            {"chosen": text, "rejected": " ".join(["late", *text.split()[row % 2 : -1], "is"])}
            for row, text in enumerate(written)
        ]


class Joined(Table):
    """Made-up rows with what is right in several tasks; every third has nothing for the first, but for the others.

    Args:
        count: Rows.
        asked: One of `TOGETHER`.
    """

    def __init__(self, count: int, asked: str) -> None:
        super().__init__(count)
        told: dict[str, Callable[[str, str], Any]] = {
            "kind": lambda text, label: label,
            "kinds": lambda text, label: sorted({label, LABELS[len(text) % 3]}) if len(text) % 4 else [],
            "number": lambda text, label: 100.0 + 10.0 * text.count("refund"),
            "spans": lambda text, label: spans_in(text),
            "again": lambda text, label: spans_in(text)[:1],
        }
        names = [task["name"] for task in TOGETHER[asked]]
        made = [
            {name: told[name](text, label) for name in names}
            for text, label in zip(self.texts, self.golds, strict=True)
        ]
        self.golds = [{**gold, names[0]: None} if row % 3 == 2 else gold for row, gold in enumerate(made)]

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """Columns, `size` rows at a time."""
        for columns in super().batches(size):
            yield {**columns, "gold": columns["label"]}


def made_up(variant: Variant, count: int) -> Table:
    """Made-up rows of a variant's task."""
    if plain(variant.task):
        return Texts(count, task=variant.task)
    if variant.task == "embedding":
        return Pairs(count)
    if variant.task == "label_embedding":
        return Table(count, longest=8)
    if variant.task == "generation":
        kind = Pairwise if AXES["objective"].get(variant.objective).pairs else Written
        return kind(count, talks=variant.asked == "drawn")
    if variant.task == "together":
        return Joined(count, variant.asked)
    if variant.task == "ranking":
        return Rankings(count)
    if variant.task == "regression":
        return Numbers(count, AXES["task"].get("regression")(variant.recipe().task).fields)
    names = LABELS_OF.get(variant.asked, LABELS)
    return Table(count, multi_label=variant.multi_label, task=variant.task, labels=names)


@dataclass
class Bench:
    """A model of a variant with rows to try it on."""

    model: Model
    recipe: Recipe
    table: Table
    rows: Encoded
    checkpoint: Checkpoint


def unnamed(variant: Variant) -> bool:
    """Whether what a task learns of its rows is no label names."""
    return variant.task in (
        "embedding", "extractive", "generation", "label_embedding", "ranking", "regression", "together",
    ) or plain(variant.task)  # fmt: skip


def bench(variant: Variant, root: Path, scratch: Path, *, count: int = 8, recipe: Recipe | None = None) -> Bench:
    """Assembles a variant and encodes `count` rows for it."""
    recipe = recipe or variant.recipe()
    checkpoint = check(recipe, root)
    table = made_up(variant, count)
    learned = Labels(LABELS_OF.get(variant.asked, LABELS), (3, 2, 5))
    labels = task_of(recipe).labels(table.golds) if unnamed(variant) else learned
    model = assemble(recipe, checkpoint, labels, dropout=recipe.training.dropout)
    scratch.mkdir(parents=True, exist_ok=True)
    rows = encode(model, table, scratch / "ids")
    prepare(model, rows)
    refer(model, rows)
    ground(model, rows, table, scratch / "grounds")
    if model.describable:
        describe(model, rows, recipe.training.seed)
    if model.worded:
        word(model, rows, recipe.training.seed)
    return Bench(model, recipe, table, rows, checkpoint)


def run(on: Bench, folder: Path, *, listeners: tuple[Any, ...] = (), stopping: Callable[[], str] = lambda: "") -> Loop:
    """Trains a bench to the end with the real loop, or goes on where the folder's checkpoint was written."""
    folder.mkdir(parents=True, exist_ok=True)
    events = Events(folder / "events.jsonl", lambda: 0.0, listeners)
    loop = Loop(on.model, on.rows, on.recipe.training, Place(folder, events, stopping), None, True)
    loop.run()
    return loop


def mean_loss(on: Bench) -> float:
    """Loss of all rows, in evaluation mode; where texts are drawn, of the right ones, as theirs says nothing alone."""
    on.model.eval()
    if on.model.objective.draws:
        return float(np.divide(*surprises(on.model, on.rows)[:, 0].sum(axis=0)))
    with torch.inference_mode():
        ids, drawn = learned_from(on.model, on.rows, range(len(on.rows)), (0, 0))
        total, weight = on.model.objective.loss(on.model, on.model.collate(ids), drawn)
    return float(total.sum() / weight.sum())


def least_loss(on: Bench) -> float:
    """What texts of a label cannot fall below: several are right for one, and at the best share its probability."""
    _, drawn = learned_from(on.model, on.rows, range(len(on.rows)), (0, 0))
    names = torch.unique(drawn[:, 1], return_inverse=True)[1]
    perfect = torch.nn.functional.one_hot(names).double()[:, None].expand(-1, 2, -1)
    total, _ = supervised_contrast(perfect, drawn[:, [0, 2]], drawn[:, 1:2].expand(-1, 2), 1e3, ())
    return float(total.mean()) * max(1, len(on.model.task.options.sizes))


def learnable(on: Bench) -> list[Any]:
    """Token ids of all rows as they are learned from; where they are drawn, of one draw."""
    return learned_from(on.model, on.rows, range(len(on.rows)), (0, 0))[0]


def snapshot(model: Model) -> dict[str, bytes]:
    """Every parameter and buffer as bytes."""
    return {name: value.detach().cpu().numpy().tobytes() for name, value in model.state_dict().items()}


def kept(model: Model) -> dict[str, torch.nn.Parameter]:
    """What a bundle keeps: what moves, and the head whether it moves or not."""
    return {**dict(moving(model)), **{f"head.{name}": value for name, value in model.head.named_parameters()}}


def digest(model: Model) -> str:
    """SHA-256 of what moves, head included."""
    found = hashlib.sha256()
    for name, parameter in kept(model).items():
        found.update(name.encode() + parameter.detach().cpu().numpy().tobytes())
    return found.hexdigest()


def shake(on: Bench, seed: int = 3) -> None:
    """Moves everything that a bundle keeps so that nothing is at its neutral start, and answers differ."""
    draw = torch.Generator().manual_seed(seed)
    jolt({name: value for name, value in moving(on.model) if not name.startswith("head.")}, 0.1, draw)
    head = 0.5
    if on.model.describable:  # its vectors have length one; far from the features, no label of several would apply
        describe(on.model, on.rows, seed)
        head = 0.05
    jolt(dict(on.model.head.named_parameters()), head, draw)


def jolt(parameters: Mapping[str, torch.nn.Parameter], size: float, draw: torch.Generator) -> None:
    """Adds noise of a size."""
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * size)


def should_move(variant: Variant, model: Model, name: str) -> bool:
    """Whether the method says that a parameter of the backbone moves; told from its name, not from requires_grad."""
    bare = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
    if bare in model.backbone.fresh:
        return True
    if variant.method in ("lora", "adalora"):
        return "lora_" in name and (not variant.tuned.endswith("-attention") or "att" in bare.lower())
    if variant.method == "ia3":
        return ".ia3_l." in name
    if variant.method in ("p_tuning", "prefix", "prompt"):
        return ".virtual." in f".{bare}"
    if variant.method == "adapter":
        top = top_layer(model)
        return ".adapters." in bare and (variant.tuned != "adapter-top" or top in bare)
    if (variant.pooling == "mean" or variant.family != "text") and ".pooler." in f".{bare}":
        return False
    if variant.kind == "marian" and "embed_positions" in bare:  # sines, which are no parameters
        return False
    if variant.tuned == "frozen-1":
        top = top_layer(model)
        tables = ("embed", "wte", "wpe")
        below = {f".{stack.path.rpartition('.')[0]}." for stack in model.backbone.stacks[:-1]}  # an encoder, all of it
        below |= {f".{model.backbone.stacks[-1].path}.", *tables, "shared"}
        above = not any(part in f".{bare}" for part in below)
        return f".{top}" in f".{bare}" or above
    if variant.method == "bias":
        return bare.endswith(".bias") and "embed" not in bare
    return variant.method == "full"


def top_layer(model: Model) -> str:
    """The module path of the top layer, with a dot."""
    stack = model.backbone.stacks[-1]
    return f"{stack.path}.{stack.count - 1}."


def loss_falls(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 1: loss falls on eight examples, and only declared parameters move."""
    own = variant.head == "own"  # no fresh head learns beside the backbone
    rate = max(1e-2 if own else 2e-3, AXES["method"].get(variant.method).rate)  # virtual tokens want more than weights
    epochs = 30
    if variant.head == "vector":  # nothing of its own helps a method that moves little
        rate, epochs = max(5e-3, rate), 60
    if variant.task == "generation" and variant.method not in ("full", "frozen"):
        rate = max(rate, 1e-2)
    recipe = variant.recipe(
        batch_size=8, epochs=epochs, warmup=0.0, weight_decay=0.0, learning_rate=rate, head_learning_rate=0.05
    )
    on = bench(variant, root, scratch, recipe=recipe)
    if hasattr(on.model.task, "learn_of"):  # eight examples stay eight; drawn anew, they have to be understood
        draw = on.model.task.draw
        on.model.task.draw = lambda rows, numbers, moment: draw(rows, numbers, (0, 0))
    before, loss = snapshot(on.model), mean_loss(on)
    run(on, scratch / "run")
    after = mean_loss(on)
    # random words that stay as they are leave little to learn about which of them comes next, and a target that is
    # spread over the steps of an order leaves little below the loss of a guess, least where labels are given words
    spread_out = (0.998 if variant.head == "cloze" else 0.99) if variant.asked == "ordinal" else 0.95
    least = (0.995 if variant.method == "full" else 0.998) if own else spread_out
    floor = least_loss(on) if variant.task == "label_embedding" else 0.0
    assert after - floor < least * (loss - floor), f"loss went from {loss:.4f} to {after:.4f}"
    named = dict(on.model.named_parameters())
    known = {id(value): name for name, value in named.items()}
    everything = on.model.state_dict(keep_vars=True)  # tied parameters are there by each of their names
    changed = {
        known.get(id(everything[name]), name) for name, value in snapshot(on.model).items() if value != before[name]
    }
    declared = {f"head.{name}" for name, _ in on.model.head.named_parameters()}
    names = [name for name, _ in on.model.backbone.network.named_parameters()]
    declared |= {f"backbone.network.{name}" for name in names if should_move(variant, on.model, name)}
    marked = {name for name, value in named.items() if value.requires_grad}
    assert marked == declared, f"marked otherwise than the method says: {sorted(marked ^ declared)[:8]}"
    assert not changed - declared, f"moved undeclared: {sorted(changed - declared)[:8]}"
    still = {name for name in declared - changed if not taken_by_the_budget(variant, on.model, name)}
    assert not still, f"declared and never moved: {sorted(still)[:8]}"


def tied(model: Model) -> set[str]:
    """Second names of parameters that have two."""
    twice = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return twice - {name for name, _ in model.named_parameters()}


def taken_by_the_budget(variant: Variant, model: Model, name: str) -> bool:
    """Whether AdaLoRA's budget took a parameter's last rank, so that it is zero as it was in the beginning."""
    value = model.get_parameter(name)
    return variant.method == "adalora" and "lora_E" in name and not bool(value.any())


def merge_agrees(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 3: `merge()` agrees with the unmerged model, or says why it cannot be and changes nothing."""
    on = bench(variant, root, scratch)
    ids = learnable(on)
    untouched = on.model.logits(ids)
    shake(on)
    before = on.model.logits(ids)
    moved = np.abs(before - untouched).max() > 20 * TOLERANCE
    assert moved or not kept(on.model), "the shake changed nothing, so nothing is tried"
    if reason := on.model.method.cannot_merge:
        error = raised(lambda: on.model.method.merge(on.model.backbone))
        assert isinstance(error, CannotMerge), f"merged what it says cannot be: {error!r}"
        assert reason in str(error) and "lora" in error.remedy, f"no reason or no remedy in: {error}"
        np.testing.assert_array_equal(on.model.logits(ids), before)
        return
    on.model.method.merge(on.model.backbone)
    left = [name for name, _ in on.model.backbone.network.named_parameters() if "lora_" in name or "ia3_" in name]
    assert not left, f"still there after the merge: {left[:4]}"
    np.testing.assert_allclose(on.model.logits(ids), before, atol=TOLERANCE, rtol=0)


def batches_agree(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 5: one row alone, in a batch, in a padded batch, in another order: the same answer."""
    on = bench(variant, root, scratch)
    shake(on)
    spread = float(on.model.logits(learnable(on)).std())
    on.model.temperature = max(1.0, spread)  # else a wide head is so sure of one label that rows do not differ
    rows = questions(on.model, on.table)
    alone = [on.model.predict([row])[0] for row in rows]
    together = on.model.predict(rows)
    draw = np.random.default_rng(1).permutation(len(rows))
    drawn = on.model.predict([rows[index] for index in draw])
    mixed = [drawn[index] for index in np.argsort(draw)]
    (long,) = as_questions(on.model, [on.table.long()])
    padded = [on.model.predict([row, long])[0] for row in rows]
    lengths = on.rows.lengths()
    assert len(set(lengths.tolist())) > 2, "rows of one length need no padding"
    logits = on.model.logits(learnable(on)[: len(rows)])
    assert np.abs(logits - logits.mean(0)).max() > 20 * TOLERANCE, "all answers are alike, so the order is not tried"
    for name, found in (("batch", together), ("order", mixed), ("padded", padded)):
        if variant.task == "generation":
            assert [one.answer for one in found] == [one.answer for one in alone], name
        np.testing.assert_allclose(chances(found), chances(alone), atol=TOLERANCE, rtol=0, err_msg=name)


def chances(found: Sequence[Any]) -> Any:
    """What answers were chosen by, one after the other."""
    return np.concatenate([item.probabilities for item in found])


def accumulation_agrees(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 6: a micro-batch of B accumulated n times equals a batch of B·n; rows weigh unevenly, and 11 = 4+4+3.

    One optimiser step is one epoch here, so that both orders hold the same rows a step. SGD, for under Adam a gradient
    that is nothing but rounding (attention's key bias) makes a whole step.
    """
    ends: list[dict[str, torch.Tensor]] = []
    for name, sizes in (("whole", (11, 1)), ("parts", (4, 3))):
        recipe = variant.recipe(
            batch_size=sizes[0], accumulation=sizes[1], epochs=4, optimiser="sgd", schedule="constant", warmup=0.0,
            learning_rate=0.02, head_learning_rate=0.02,
        )  # fmt: skip
        if "class_weights" in type(recipe.task).model_fields:
            recipe = recipe.having("task", class_weights="balanced")
        on = bench(variant, root, scratch / name, count=11, recipe=recipe)
        begin = digest(on.model)
        loop = run(on, scratch / name / "run")
        assert loop.steps == 4 and loop.batches == (1 if name == "whole" else 3)
        assert digest(on.model) != begin, "nothing moved"
        ends.append({key: value.detach().clone() for key, value in moving(on.model)})
    for key, value in ends[0].items():
        # of numbers above 8 not even two neighbours in float32 are so near
        bound = np.maximum(ACCUMULATED, np.spacing(np.abs(value.numpy())))
        apart = np.abs(ends[1][key].numpy() - value.numpy())
        assert (apart <= bound).all(), f"{key}: {apart.max()} apart"


def impossible(variant: Variant) -> Recipe | None:
    """The variant's recipe with a method option that its backbone cannot satisfy."""
    options = {
        "adalora": {"initial_rank": 999}, "adapter": {"bottleneck": 999}, "frozen": {"trainable_layers": 99},
        "lora": {"rank": 999}, "p_tuning": {"tokens": 600}, "prompt": {"tokens": 600},
    }.get(variant.method)  # fmt: skip
    return variant.recipe().having("method", **options) if options else None


def refused_early(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 8: what cannot work raises before any data is read, with the reason and what would work."""
    from attune.errors import BackboneError, DataError, RecipeError, UnsupportedError

    recipe = variant.recipe()
    cases: list[tuple[Recipe, type[Exception], str]] = [
        (with_head(recipe, "liner"), RecipeError, "linear"),
        (recipe.having("backbone", name="./nowhere"), BackboneError, "all-MiniLM-L6-v2"),
    ]
    if made := impossible(variant):
        cases.append((made, UnsupportedError, "at most 32" if variant.method in ("lora", "adalora") else "use at most"))
    for number, (wrong, kind, remedy) in enumerate(cases):
        out = scratch / f"out-{number}"
        error = raised(lambda wrong=wrong, out=out: train(wrong, root, out))
        assert isinstance(error, kind), f"expected {kind.__name__}, not {error!r}"
        assert remedy in str(error), f"{remedy!r} is not in: {error}"
        assert not out.exists(), "left something behind"
    error = raised(lambda: train(recipe, root, scratch / "out"))
    assert isinstance(error, DataError), f"the supported recipe must get as far as its missing data, not {error!r}"


def with_head(recipe: Recipe, head: str) -> Recipe:
    """The recipe with another head; of several tasks the first has it."""
    if not isinstance(recipe.task, Several):
        return recipe.having("task", head=head)
    first = recipe.task.parts[0]
    changed = recipe.task.having(first.name, task=first.task.model_copy(update={"head": head}))
    return recipe.model_copy(update={"task": changed})


def raised(action: Callable[[], Any]) -> Exception | None:
    """What an action raises."""
    try:
        action()
    except Exception as error:
        return error
    return None


def labels_stay(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 9: labels never vanish silently."""
    if variant.task in STAY:
        STAY[variant.task](variant, root, scratch)
        return
    on = bench(variant, root, scratch, count=10)
    model, table = on.model, on.table
    long = LAID_OUT.get(variant.task, str)(" ".join(WORDS * 3))
    table.texts[3] = table.texts[7] = joined([long] * len(table.fields))
    rows = encode(model, table, scratch / "cut")
    if plain(variant.task):
        texts_stay(variant.task, model, table.texts, rows)
        return
    assert len(rows) == len(rows.targets) == len(table) == 10
    assert rows.truncated == 2, f"two rows are too long, {rows.truncated} counted"
    limit = model.backbone.max_length
    assert rows.longest == limit
    if variant.task != "ranking" and not (
        model.worded and model.task.pieces() > 1
    ):  # labels have beginnings of their own
        assert rows.lengths()[[3, 7]].tolist() == [limit * model.task.pieces()] * 2
    told = [any("tokens were read" in notice for notice in found.notices) for found in model.predict(texts(table))]
    assert [index for index, cut in enumerate(told) if cut] == [3, 7], "the answers do not say which rows were cut"
    if variant.task == "ranking":
        assert [torch.nonzero(row == 1).flatten().tolist() for row in rows.targets] == table.golds
        assert [(row >= 0).sum().item() for row in rows.targets] == [4] * len(table)
        return
    if variant.task == "regression":
        back = rows.targets.double().numpy() * model.labels.spread + model.labels.mean
        np.testing.assert_allclose(back, table.golds, rtol=1e-6)
        return
    if variant.multi_label:
        back = [[LABELS[index] for index in np.flatnonzero(row)] for row in rows.targets.numpy()]
    else:
        back = [model.labels.names[int(index)] for index in rows.targets]
    assert back == table.golds, "targets say other labels than the rows"
    other = ["refund", "refnud"] if variant.multi_label else "refnud"
    assert model.task.unseen([*table.golds, other], model.labels) == ["refnud"]
    assert isinstance(raised(lambda: model.task.targets([other], model.labels)), KeyError), (
        "an unknown label got a target"
    )


def spans_stay(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 9 of spans: long texts lose none, targets say the spans, and what they cannot say is counted."""
    on = bench(variant, root, scratch, count=10)
    model, table = on.model, on.table
    table.texts[3] = table.texts[7] = " ".join(WORDS * 3)
    table.golds[3] = table.golds[7] = spans_in(table.texts[3])
    rows = encode(model, table, scratch / "long")
    assert rows.lengths()[3] > model.backbone.max_length, "a long text is read in several windows"
    assert (rows.truncated, rows.lost, rows.golds) == (0, 0, sum(map(len, table.golds)))
    encoding = model.encode(texts(table))
    gold = [one_hot(rows, index, model.outputs_count) for index in range(len(rows))]
    model.temperature = 1.0
    back = [
        [{"start": span.start, "end": span.end, "label": span.label} for span in found.spans]
        for found in model.decode(texts(table), encoding, gold)
    ]
    assert back == table.golds, "targets say other spans than the rows"
    table.golds[0] = [{"start": 0, "end": table.texts[0].index(" ") - 1, "label": LABELS[0]}]
    cut = encode(model, table, scratch / "cut")
    parted = variant.asked == "tokens" and not cut.lost  # a tokenizer may part the word just there
    assert cut.lost == 1 or parted
    if cut.lost:
        assert "gold spans begin or end inside a token" in str(raised(lambda: refuse_lost(cut, "rows")))


def answers_stay(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 9 of answers: long contexts lose none, a cut question is told of, and what is too long is counted."""
    on = bench(variant, root, scratch, count=10)
    model, table = on.model, on.table
    question, context = "where is it", " ".join(WORDS * 3)
    table.texts[3] = table.texts[7] = joined([question, context])
    for row, at in ((3, context.index("refund")), (7, context.rindex("refund"))):
        table.golds[row] = [{"start": at, "end": at + len("refund"), "text": "refund"}]
    rows = encode(model, table, scratch / "long")
    assert rows.lengths()[3] > model.backbone.max_length, "a long context is read in several windows"
    assert (rows.truncated, rows.lost, rows.golds) == (0, 0, sum(map(bool, table.golds)))
    encoding = model.encode(texts(table))
    sure = [50.0 * ends_at(rows, index) for index in range(len(rows))]
    found = model.decode(texts(table), encoding, sure)
    back = [[{"start": span.start, "end": span.end, "text": span.text} for span in one.spans] for one in found]
    assert back == table.golds, "targets say other answers than the rows"
    table.golds[3] = [{"start": 0, "end": 80, "text": context[:80]}]
    cut = encode(model, table, scratch / "cut")
    assert cut.lost == 1 and model.task.lost[0] in str(raised(lambda: refuse_lost(cut, "rows", model.task.lost)))
    table.texts[0] = joined([context, "here it is"])
    told = model.predict(texts(table))[0].notices
    assert told == (model.task.cut,), f"nobody is told that the question was cut: {told}"


def pairs_stay(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 9 of pairs: each text has its key, positive and negatives too, and what was cut is told of."""
    on = bench(variant, root, scratch, count=10)
    model, table = on.model, on.table
    table.texts[3] = " ".join(WORDS * 3)
    table.golds[7]["positive"] = " ".join(WORDS * 3)
    rows = encode(model, table, scratch / "long")
    assert (len(rows), rows.truncated, rows.longest) == (10, 2, model.backbone.max_length)
    for index, (row, gold) in enumerate(zip(texts(table), table.golds, strict=True)):
        expected = [key_of(text) for text in (row[FIRST], gold["positive"], *gold["negatives"])]
        assert [key for key in rows.targets[index].tolist() if key] == expected
        assert len(pieces_of(rows.row(index))) == len(expected), "a text is not read"
    assert rows.targets[0, 1] == rows.targets[3, 1], "an equal text has another key"
    told = [
        any("tokens of a text were read" in notice for notice in found.notices) for found in model.predict(texts(table))
    ]
    assert [index for index, cut in enumerate(told) if cut] == [3], "the answers do not say which rows were cut"


def written_stay(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 9 of texts: targets say the text to be written, a cut prompt is told, and a cut target is counted."""
    if AXES["objective"].get(variant.objective).pairs:
        pairs_of_texts_stay(variant, root, scratch)
        return
    on = bench(variant, root, scratch, count=10)
    model, table = on.model, on.table
    table.texts[3] = table.texts[7] = " ".join(WORDS * 3)
    rows = encode(model, table, scratch / "long")
    assert (rows.truncated, rows.lost, rows.golds) == (2, 0, 10)
    told = [any("was read" in notice for notice in found.notices) for found in model.predict(texts(table))]
    assert [index for index, cut in enumerate(told) if cut] == [3, 7], "the answers do not say which rows were cut"
    for index, gold in enumerate(table.golds):
        targets = rows.each[rows.starts[index] : rows.starts[index + 1]]
        said = model.task.said(targets[targets != IGNORED])
        assert said.endswith(gold["texts"][0]), f"targets say {said!r}, not {gold['texts'][0]!r}"
    table.golds[3] = {"texts": [" ".join(WORDS)]}
    cut = encode(model, table, scratch / "cut")
    assert cut.lost == 1 and model.task.lost[0] in str(raised(lambda: refuse_lost(cut, "rows", model.task.lost)))


def pairs_of_texts_stay(variant: Variant, root: Path, scratch: Path) -> None:
    """The same of pairs: targets say both texts and nothing else, and either that is cut is counted."""
    on = bench(variant, root, scratch, count=10)
    model, table = on.model, on.table
    table.texts[3] = table.texts[7] = " ".join(WORDS * 3)
    rows = encode(model, table, scratch / "long")
    assert (rows.lost, rows.golds) == (0, 20)
    told = [any("was read" in notice for notice in found.notices) for found in model.predict(texts(table))]
    few = variant.method == "prompt" and variant.asked == "drawn"  # virtual tokens leave little room for a conversation
    assert told[3] and told[7] and rows.truncated == sum(told) and (few or sum(told) == 2), "cut, and it is not said"
    each = 1 if model.backbone.onward else 2
    for index, gold in enumerate(table.golds):
        pieces = by_piece(rows.each[rows.starts[index] : rows.starts[index + 1]], rows.row(index))
        said = [model.task.said(piece[piece != IGNORED]) for piece in pieces[each - 1 :: each]]
        assert said == [gold["chosen"], gold["rejected"]], f"targets say {said}"
    table.golds[3]["rejected"] = " ".join(WORDS)
    cut = encode(model, table, scratch / "cut")
    assert cut.lost == 1 and model.task.lost[0] in str(raised(lambda: refuse_lost(cut, "rows", model.task.lost)))


def ends_at(rows: Encoded, index: int) -> Any:
    """Of a row's tokens `(T, 2)` float32 whether an answer begins and ends there."""
    targets = np.maximum(rows.each[rows.starts[index] : rows.starts[index + 1]], 0)
    return np.stack([targets & 1, targets >> 1], axis=1).astype(np.float32)


def sentences_stay(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 9 of sentences: long documents lose none, and targets say which ones a summary is made of."""
    on = bench(variant, root, scratch, count=10)
    model, table = on.model, on.table
    table.texts[3] = table.texts[7] = in_lines(" ".join(WORDS * 3))
    table.golds[3] = table.golds[7] = summary_in(table.texts[3])
    rows = encode(model, table, scratch / "long")
    assert rows.lengths()[3] > model.backbone.max_length, "a long document is read in several windows"
    right = [gold["oracle"] for gold in table.golds]
    assert (rows.truncated, rows.lost, rows.golds) == (0, 0, sum(map(len, right)))
    sure = [np.float32(rows.each[rows.starts[i] : rows.starts[i + 1]] == 1)[:, None] - 0.5 for i in range(len(rows))]
    found = model.decode(texts(table), model.encode(texts(table)), sure)
    assert [np.flatnonzero(one.probabilities > 0.5).tolist() for one in found] == right, "targets say other sentences"
    assert [len(one.probabilities) for one in found] == [len(text.splitlines()) for text in table.texts]


def all_stay(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 9 of several tasks: each one's targets say its golds, and a row without gold has none, counted."""
    on = bench(variant, root, scratch, count=10)
    model, table = on.model, on.table
    table.texts[3] = table.texts[7] = " ".join(WORDS * 3)
    for row in (3, 7):
        for name in {"spans", "again"} & set(table.golds[row]):
            table.golds[row][name] = spans_in(table.texts[row])
    rows = encode(model, table, scratch / "long")
    windowed = model.task.windowed is not None
    whole = all(not task.cuts for task in model.task.tasks.values())
    assert rows.truncated == (0 if whole else 2)
    assert (rows.lengths()[3] > model.backbone.max_length) == windowed
    told = [any("tokens were read" in notice for notice in found.notices) for found in model.predict(texts(table))]
    assert [index for index, cut in enumerate(told) if cut] == ([] if whole else [3, 7])
    for name, part in model.parts().items():
        golds = [gold[name] for gold in table.golds]
        assert rows.there[name].tolist() == [gold is not None for gold in golds]
        own = rows.alone(name, first=windowed)
        if own.aligned:
            assert (own.lost, own.golds) == (0, sum(len(gold) for gold in golds if gold is not None))
            without = [i for i, gold in enumerate(golds) if gold is None]
            assert all((own.each[own.starts[i] : own.starts[i + 1]] == IGNORED).all() for i in without)
            continue
        kept = [gold for gold in golds if gold is not None]
        assert len(own) == len(kept) and max(own.lengths()) <= model.backbone.max_length
        assert torch.equal(own.targets, part.task.targets(kept, part.labels))
    batch = rows.targets_of([2, 4])
    first = next(iter(model.task.tasks))
    assert batch.there[first].tolist() == [False, True]


def kin_stay(variant: Variant, root: Path, scratch: Path) -> None:
    """Invariant 9 of texts with a label: each has its own key and its label's, a long one is cut and told of."""
    on = bench(variant, root, scratch, count=10)
    model, table = on.model, on.table
    table.texts[3] = table.texts[7] = " ".join(WORDS * 3)
    rows = encode(model, table, scratch / "long")
    assert (len(rows), rows.truncated, rows.longest) == (10, 2, model.backbone.max_length)
    keys = [[key_of(text), key_of(gold), 0] for text, gold in zip(table.texts, table.golds, strict=True)]
    assert rows.targets.tolist() == keys
    prepare(model, rows)
    ids, drawn = learned_from(model, rows, range(len(rows)), (0, 0))
    label = {key: name for key, name, _ in keys}
    for row, line in zip(ids, drawn.tolist(), strict=True):
        assert len(pieces_of(row)) == 2 and line[2] != line[0], "a row stayed alone, or is beside itself"
        assert line[1] in {name for key, name, _ in keys if key == line[2]} and line[2] in label
    told = [
        any("tokens of a text were read" in notice for notice in found.notices) for found in model.predict(texts(table))
    ]
    assert [index for index, cut in enumerate(told) if cut] == [3, 7], "the answers do not say which rows were cut"


STAY: Mapping[str, Callable[[Variant, Path, Path], None]] = {
    "embedding": pairs_stay, "extractive": sentences_stay, "generation": written_stay, "label_embedding": kin_stay,
    "question_answering": answers_stay, "tagging": spans_stay, "together": all_stay,
}  # fmt: skip
"""Invariant 9 of a task whose answer is more than labels."""


def one_hot(rows: Encoded, index: int, count: int) -> Any:
    """Scores `(T, K)` that are sure of a row's targets."""
    targets = rows.each[rows.starts[index] : rows.starts[index + 1]]
    scores = np.zeros((len(targets), count), dtype=np.float32)
    scores[np.arange(len(targets)), np.maximum(targets, 0)] = 50.0
    return scores


def questions(model: Model, table: Table) -> list[dict[str, Any]]:
    """Rows as a model can be asked them."""
    return as_questions(model, texts(table))


def as_questions(model: Model, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as a model can be asked them, where its task asks for more than a text."""
    return model.task.questions(rows) if hasattr(model.task, "questions") else rows


def texts(table: Table) -> list[dict[str, Any]]:
    """Rows as the model answers them."""
    return table.rows()


def pack(variant: Variant, root: Path, scratch: Path) -> dict[str, Any]:
    """Trains a little where there is training, packs a bundle, and tells what it answers; for invariant 2."""
    on = bench(variant, root, scratch)
    if on.model.method.trains:
        run(on, scratch / "run")
    on.model.temperature = 1.25
    recipe = on.recipe.having("backbone", sha256=on.checkpoint.sha256, max_length=40)
    on.model.backbone.options = recipe.backbone
    made = bundles.pack(
        scratch / "bundle", on.model, recipe, metrics={}, lineage={}, witness_rows=questions(on.model, on.table)[:4],
        documents={}, outside={},
    )  # fmt: skip
    return {"digest": made, **answers(on.model, on.table)}


def answer(variant: Variant, root: Path, scratch: Path) -> dict[str, Any]:
    """What a packed bundle answers here; for invariant 2."""
    bundle = bundles.load(scratch / "bundle", root=root)
    table = made_up(variant, 8)
    return {"digest": bundle.digest, **answers(bundle.model, table)}


def answers(model: Model, table: Table) -> dict[str, Any]:
    """Answers and probabilities, as JSON keeps them."""
    found = model.predict(questions(model, table))
    return {
        "answers": [item.answer for item in found],
        "probabilities": [[float(value) for value in item.probabilities] for item in found],
        "moved": digest(model),
    }


def unlike(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """How two sets of answers differ; empty where they do not."""
    for key in ("digest", "answers", "moved"):
        if there[key] != here[key]:
            return f"{key} differs: {here[key]} and {there[key]}"
    flat = [np.concatenate([np.asarray(row) for row in side["probabilities"]]) for side in (here, there)]
    apart = float(np.abs(np.subtract(*flat)).max())
    return f"probabilities are {apart:.2g} apart" if apart > ACCUMULATED else ""


def trained(variant: Variant, root: Path, scratch: Path, *, listeners: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Trains with dropout and a seed, or goes on; tells the digest of what moved; for invariants 4 and 7."""
    torch.set_num_threads(1)
    recipe = variant.recipe(dropout=0.1, epochs=3, batch_size=4)
    on = bench(variant, root, scratch, count=10, recipe=recipe)
    loop = run(on, scratch / "run", listeners=listeners)
    lines = (scratch / "run" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return {"digest": digest(on.model), "steps": loop.steps, "events": lines}


IN_PROCESS: Mapping[int, Callable[[Variant, Path, Path], None]] = {
    1: loss_falls, 3: merge_agrees, 5: batches_agree, 6: accumulation_agrees, 8: refused_early, 9: labels_stay,
}  # fmt: skip
"""Invariants that need no other process."""
