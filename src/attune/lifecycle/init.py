"""A first recipe from a look at the data: columns, task and splits, each with the reason."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune.backbones.checkpoints import embedded
from attune.backbones.text import TextOptions
from attune.core.recipe import Recipe, override, parse, read
from attune.data.columns import Guess, guess, shape
from attune.data.shapes import Shape
from attune.data.sources import format_of
from attune.model.assemble import AXES

TEST_NAMES = ("test", "eval", "heldout")
BEGIN = "# A recipe for attune. `attune train` runs it as it is; `attune show schema` lists every key."
WRITER = "google-t5/t5-small"
"""A network that writes, small; none is embedded."""
VALIDATION_NAMES = ("validation", "valid", "val", "dev")


@dataclass(frozen=True)
class Drafted:
    """A recipe as text, and why it is as it is."""

    text: str
    reasons: list[str]


def recipe_for(what: Path, data_root: Path | None, overrides: Sequence[str]) -> tuple[Recipe, Path]:
    """A recipe from a TOML file, or drafted for a data file.

    Args:
        what: A recipe or data.
        data_root: Given root; default the file's folder.
        overrides: `section.key=value` strings.

    Returns:
        The recipe and its data root.
    """
    if what.suffix == ".toml" or not what.exists():
        return read(what, AXES, overrides), data_root or what.parent
    root = data_root or what.parent
    name = what.name if data_root is None else what.as_posix()
    if plain_texts(root / name):
        texts = {"data": {"train": name}, "task": {"name": "masked_lm"}}
        return parse(override(texts, overrides), AXES, where=str(what)), root
    if known := shape(name, root):
        told = {"data": {"train": name, **known.columns}, "task": {"name": known.task}, **named_backbone(known)}
        return parse(override(told, overrides), AXES, where=str(what)), root
    found = guess(name, root)
    document = {"data": columns(name, found), "task": {"name": task(found), "multi_label": found.multi_label}}
    return parse(override(document, overrides), AXES, where=str(what)), root


def columns(name: str, found: Guess) -> dict[str, str]:
    """The keys of [data] that a guess fills in."""
    filled = {
        "train": name,
        "text": found.text,
        "text_pair": found.text_pair,
        "label": found.label,
        "id": found.id,
        "group": found.group,
        "time": found.time,
    }
    if found.multi_label and found.separator:
        filled["label_separator"] = found.separator
    return {key: value for key, value in filled.items() if value}


def task(found: Guess) -> str:
    """The task that fits what the columns seem to be."""
    return "pair" if found.text_pair else "classification"


def draft(location: str, root: Path, extra: Mapping[str, Any] | None = None) -> Drafted:
    """Looks at a data file and writes a short commented recipe that runs as it is.

    Args:
        location: File or folder, relative to the root.
        root: The data root.
        extra: Further keys of [data] that are known to be needed.

    Returns:
        The recipe's text and the reasons for its choices.

    Raises:
        DataError: The file cannot be read, or no column looks like text or label.
    """
    path = Path(os.path.normpath(root / location))
    if plain_texts(path):
        return draft_texts(location, siblings(path), extra or {})
    beside = siblings(path)
    if known := shape(path.as_posix(), Path()):
        return draft_shape(location, known, beside, extra or {})
    found = guess(path.as_posix(), Path())
    reasons = list(found.reasons)
    lines = [BEGIN, "", "[data]", *keys_of(columns(location, found))]
    for key, other in beside.items():
        lines.append(f"{key} = {json.dumps((Path(location).parent / other.name).as_posix())}")
        reasons.append(f"{other.name} lies beside it: it is the {key} file, and no rows are cut for {key}.")
    lines += split_lines(found, beside, reasons)
    lines += keys_of(extra or {})
    lines += ["", "[task]", f'name = "{task(found)}"']
    if found.multi_label:
        lines.append("multi_label = true  # a row may have several labels")
    lines += ["", "[backbone]", *backbone_lines(found.texts, reasons)]
    lines += ["", "[method]", *method_lines(found, reasons)]
    lines += ["", "[training]", "seed = 0", ""]
    text = "\n".join(lines)
    return Drafted(text, reasons)


def plain_texts(path: Path) -> bool:
    """Whether a file has a text a line, and so no labels."""
    return path.is_file() and format_of(path, path.name) == "txt"


def draft_texts(location: str, beside: Mapping[str, Path], extra: Mapping[str, Any]) -> Drafted:
    """A recipe that learns from texts alone.

    Args:
        location: File, relative to the root.
        beside: Files for test and validation.
        extra: Further keys of [data].

    Returns:
        The recipe's text and the reasons for its choices.
    """
    keys = {"train": location, **{key: (Path(location).parent / path.name).as_posix() for key, path in beside.items()}}
    lines = [
        BEGIN,
        "",
        "[data]",
        *keys_of({**keys, **extra}),
        'acknowledge = ["leakage"]  # lines that recur in every document, such as headings',
        "", "[task]", 'name = "masked_lm"  # or replaced_token',
        "", "[backbone]", 'name = "all-MiniLM-L6-v2"  # embedded, English; any Hugging Face encoder by name or folder',
        "max_length = 128", "", "[method]", 'name = "full"', "", "[training]", "seed = 0", "",
    ]  # fmt: skip
    reasons = ["A line is a text, and there are no labels: hidden tokens are learned, for a backbone to tune further."]
    return Drafted("\n".join(lines), reasons)


def draft_shape(location: str, known: Shape, beside: Mapping[str, Path], extra: Mapping[str, Any]) -> Drafted:
    """A recipe for rows for which more is right than labels.

    Args:
        location: File or folder, relative to the root.
        known: What its columns speak of.
        beside: Files for test and validation.
        extra: Further keys of [data].

    Returns:
        The recipe's text and the reasons for its choices.
    """
    reasons = list(known.reasons)
    files = {key: (Path(location).parent / path.name).as_posix() for key, path in beside.items()}
    reasons += [
        f"{Path(name).name} lies beside it: it is the {key} file, and no rows are cut for {key}."
        for key, name in files.items()
    ]
    shares: dict[str, Any] = {}
    if group := known.columns.get("group"):
        reasons.append(f"Rows are cut by {group!r}, so that no {group} is in two splits.")
        shares = {"split": "grouped"}
    elif "test" not in beside:
        reasons.append("A fifth of the rows is kept for test and a tenth of the rest for validation.")
        shares = {"test_share": 0.2, "validation_share": 0.1}
    if known.task == "generation":
        backbone = ['family = "seq2seq"  # or causal', f'name = "{WRITER}"  # or another, by name or folder']
        reasons.append(f"No network that writes is embedded: {WRITER} is fetched by its name, or name another.")
    else:
        backbone = backbone_lines(known.texts, reasons)
    lines = [
        BEGIN, "", "[data]", *keys_of({"train": location, **known.columns, **files, **shares, **extra}),
        "", "[task]", f'name = "{known.task}"', "", "[backbone]", *backbone,
        "", "[method]", 'name = "full"  # or frozen, lora: `attune show methods`', "", "[training]", "seed = 0", "",
    ]  # fmt: skip
    return Drafted("\n".join(lines), reasons)


def keys_of(values: Mapping[str, Any]) -> list[str]:
    """Keys of a table of a recipe, a line each."""
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def named_backbone(known: Shape) -> dict[str, Any]:
    """The table [backbone] where a task needs another than the embedded one."""
    return {"backbone": {"family": "seq2seq", "name": WRITER}} if known.task == "generation" else {}


def siblings(path: Path) -> dict[str, Path]:
    """Files for test and validation beside a training file, by their names."""
    if not path.is_file() or not any(word in path.stem.lower() for word in ("train",)):
        return {}
    result: dict[str, Path] = {}
    for key, names in (("test", TEST_NAMES), ("validation", VALIDATION_NAMES)):
        for name in names:
            candidate = path.with_name(path.name.replace("train", name))
            if candidate != path and candidate.is_file():
                result.setdefault(key, candidate)
    return result


def split_lines(found: Guess, beside: dict[str, Path], reasons: list[str]) -> list[str]:
    """How rows are cut where no file is given."""
    if found.group:
        reasons.append(f"Rows are cut by {found.group!r}, so that no {found.group} is in two splits.")
        return ['split = "grouped"']
    if "test" not in beside:
        reasons.append("A fifth of each class is kept for test and a tenth of the rest for validation.")
        return ['split = "stratified"', "test_share = 0.2", "validation_share = 0.1"]
    return []


def backbone_lines(texts: Sequence[str], reasons: list[str]) -> list[str]:
    """The embedded backbone; where it cannot read the texts, this is said, and it runs all the same."""
    lines = ['name = "all-MiniLM-L6-v2"  # embedded, English; any Hugging Face encoder by name or folder']
    share = unknown_share(texts)
    if share > TextOptions.model_fields["max_unknown"].default:
        allowed = min(1.0, math.ceil(10 * share + 1) / 10)
        reasons.append(
            f"{share:.0%} of the tokens are unknown to the embedded English backbone: name one above that knows the "
            "language. So that the recipe runs at all, max_unknown is raised; expect poor figures."
        )
        lines.append(f"max_unknown = {allowed}  # {share:.0%} of the tokens are unknown to it: name a better one above")
    return lines


def unknown_share(texts: Sequence[str]) -> float:
    """Share of tokens of some texts that the embedded backbone does not know."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(embedded() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    rows = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    tokens = [token for row in rows for token in row.tokens]
    return tokens.count("[UNK]") / max(len(tokens), 1)


def method_lines(found: Guess, reasons: list[str]) -> list[str]:
    """Full tuning, or the probe where there are few rows a label."""
    if found.rows_seen < 8 * found.labels:
        reasons.append(f"{found.rows_seen} rows for {found.labels} labels are few: the linear probe is the safe start.")
        return ['name = "frozen"  # or full, lora: `attune show methods`', "trainable_layers = 0"]
    reasons.append("Full tuning from the solved probe is the default; lora makes smaller bundles.")
    return ['name = "full"  # or frozen, lora: `attune show methods`']
