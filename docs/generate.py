"""Writes docs/reference/ from the code: `python docs/generate.py`; with `--check` it only says what is out of date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import typer

from attune.apps.cli.main import app
from attune.core.recipe import DISCRIMINATOR, ORDER, PLAIN, Options, Part
from attune.methods.registry import METHODS
from attune.model.assemble import AXES
from attune.model.assemble import matrix as combinations
from attune.tasks.heads.registry import HEADS
from attune.tasks.registry import TASKS

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code; edit the code, not this page. -->\n"
BOUNDS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "below"),
)


def cell(value: Any) -> str:
    """A value that does not break a Markdown table."""
    return " ".join(str(value).split()).replace("|", "\\|")


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell(value) for value in line)} |" for line in lines) + "\n"


def commands() -> dict[str, Any]:
    """The commands of the CLI by name, in the order of `attune --help`."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def cli() -> str:
    """Every command with its arguments and options."""
    parts = [NOTE, "# Commands\n", "Every command has `--json` and `--help`.\n"]
    for name, command in commands().items():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(["attune", name, "[OPTIONS]", *map(placeholder, arguments)])
        parts += [f"## attune {name}\n", f"{command.help}\n", f"```text\n{usage}\n```\n"]
        rows = [[f"`{p.name.upper()}`", p.help or "", ""] for p in arguments]
        for option in command.params:
            if option.param_type_name == "option" and "--help" not in option.opts:
                rows.append([", ".join(f"`{word}`" for word in option.opts), option.help or "", option_default(option)])
        parts.append(table(["argument or option", "what it is", "default"], rows))
    return "\n".join(parts)


def placeholder(argument: Any) -> str:
    """An argument as it stands in a usage line."""
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def option_default(option: Any) -> str:
    """The default of an option as a person would type it; required where there is none and it must be given."""
    if option.required:
        return "required"
    if option.default in (None, "", False) or callable(option.default):
        return ""
    return f"`{option.default}`"


def option_rows(model: Any) -> list[list[str]]:
    """Key, type with bounds, default and description of every option of a model."""
    schema = model.model_json_schema()
    rows: list[list[str]] = []
    for key, field in schema["properties"].items():
        info = model.model_fields[key]
        default = "required" if info.is_required() else toml(info.get_default(call_default_factory=True))
        rows.append([f"`{key}`", kind(field), default, field.get("description", "")])
    return rows


def inner_tables(section: str, model: Any) -> list[str]:
    """The options of every table inside of a model's own, such as `[backbone.tokenizer]`."""
    parts: list[str] = []
    for key, field in model.model_fields.items():
        for inner in (each for each in get_args(field.annotation) if isinstance(each, type)):
            if issubclass(inner, Options):
                parts += [f"### [{section}.{key}]\n", f"{inner.__doc__}\n"]
                parts.append(table(["key", "type", "default", "what it is"], option_rows(inner)))
    return parts


def kind(field: dict[str, Any]) -> str:
    """A JSON Schema type in words, with its bounds."""
    if "$ref" in field:
        return "table, below"
    if "anyOf" in field:
        return kind(next(branch for branch in field["anyOf"] if branch.get("type") != "null"))
    if "const" in field or "enum" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    told = names.get(field["type"], "table of texts")
    if field["type"] == "array":
        told = f"list of {kind(field['items'])}"
    bounds = [f"{word} {field[name]:g}" for name, word in BOUNDS if name in field]
    return f"{told}, {', '.join(bounds)}" if bounds else told


def toml(value: Any) -> str:
    """A default as TOML writes it."""
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(repr(item) for item in value)}]`".replace("'", '"')
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def recipe() -> str:
    """Every key of the recipe."""
    parts = [
        NOTE,
        "# Recipe\n",
        "Every table and key of a recipe. `attune show schema` prints the same as JSON Schema.\n",
    ]
    for section in ORDER:
        models = [PLAIN[section]] if section in PLAIN else [AXES[section].get(n).Options for n in AXES[section].names()]
        parts.append(f"## [{section}]\n")
        for model in models:
            if len(models) > 1:
                parts.append(f'### {DISCRIMINATOR[section]} = "{model.model_fields[DISCRIMINATOR[section]].default}"\n')
            parts += [f"{model.__doc__}\n", table(["key", "type", "default", "what it is"], option_rows(model))]
            parts += inner_tables(section, model)
        if section == "task":
            parts += ["## [[task]]\n", f"{Part.__doc__} Beside these keys stand those of its type, above.\n"]
            rows = [row for row in option_rows(Part) if row[0] != "`task`"]
            rows.insert(1, ["`type`", "text", "required", "Which task it is: what is `name` in [task]."])
            parts.append(table(["key", "type", "default", "what it is"], rows))
    return "\n".join(parts)


def entries(title: str, intro: str, section: str, registry: Any) -> str:
    """The entries of a registry with summary and options."""
    parts = [NOTE, f"# {title}\n", f"{intro}\n"]
    for name in registry.names():
        entry = registry.get(name)
        parts += [f"## {name}\n", f"{entry.summary[0].upper()}{entry.summary[1:]}.\n", f"Options in `[{section}]`:\n"]
        parts.append(table(["key", "type", "default", "what it is"], option_rows(entry.Options)))
    return "\n".join(parts)


def methods() -> str:
    """Every method."""
    intro = "A method says which parameters move, and how they are saved and restored."
    parts = [entries("Methods", intro, "method", METHODS), "## Learning rates where the recipe gives none\n"]
    trained = [name for name in METHODS.names() if METHODS.get(name).trains]
    rows = [[f"`{n}`", f"{METHODS.get(n).rate:g}", f"{METHODS.get(n).head_rate:g}"] for n in trained]
    return "\n".join([*parts, table(["method", "backbone", "head"], rows)])


def tasks() -> str:
    """Every task and head."""
    intro = "A task says what is asked of a text, how the answer is scored and how it is decoded."
    heads = [[f"`{name}`", HEADS.get(name).summary] for name in HEADS.names()]
    return "\n".join([entries("Tasks", intro, "task", TASKS), "## Heads\n", table(["head", "what it is"], heads)])


def matrix() -> str:
    """Every combination of the axes."""
    rows, works, count = combinations()
    intro = (
        f"Whether a combination works is computed from what its parts need and provide. {works} of {count} work."
        " `attune show matrix` prints the same; with `--json` a line a combination.\n"
    )
    return "\n".join(
        [NOTE, "# Matrix\n", intro, table(["family", "task", "head", "objectives", "methods", "works"], rows)]
    )


PAGES = {"cli.md": cli, "recipe.md": recipe, "methods.md": methods, "tasks.md": tasks, "matrix.md": matrix}


def main(arguments: list[str]) -> int:
    """Writes the pages, or with `--check` lists those out of date."""
    old = 0
    for name, make in PAGES.items():
        path, text = REFERENCE / name, make()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        old += 1
        if "--check" in arguments:
            sys.stderr.write(f"out of date: docs/reference/{name}; run `python docs/generate.py`\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stderr.write(f"wrote docs/reference/{name}\n")
    return 1 if old and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
