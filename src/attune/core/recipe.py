"""The recipe: one TOML file that holds everything that decides a result, and nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, create_model

from attune.core.registry import Registry
from attune.core.texts import FIRST, SECOND
from attune.errors import AttuneError, RecipeError, nearest

Axes = Mapping[str, Registry]
"""`backbone`, `task`, `method` and `objective`, each with its registry."""

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class Options(BaseModel):
    """Base of every option table: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DataOptions(Options):
    """Where the rows are, which columns matter, and how they are split."""

    train: str = ""
    """File, folder or SQLAlchemy URL with the training rows; relative to the data root."""
    validation: str = ""
    """Rows to stop and choose on. Empty: cut from train."""
    test: str = ""
    """Rows to report on. Empty: cut from train."""
    query: str = ""
    """SQL query, where `train` is a SQLAlchemy URL."""
    text: str = "text"
    """Column with the text."""
    text_pair: str | None = None
    """Column with the second text, for a task that reads two. Not given: `text_pair` there."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Columns of what else a task reads of a row, by the field's name (`entities`, …). Not given: the field's name."""
    label: str = "label"
    """Column with the label; a list, or several labels joined by `label_separator`, where the task is multi-label."""
    id: str = ""
    """Column with a unique row id. Empty: rows are known by a hash of their content."""
    group: str = ""
    """Column that must not cross splits (customer, document), used by `split = "grouped"`."""
    time: str = ""
    """Column with the time of a row, used by `split = "time"`: the newest rows are the test rows."""
    label_separator: str = "|"
    """What separates several labels in one cell of a flat file."""
    encoding: str = ""
    """Encoding of text files. Empty: detected."""
    split: Literal["stratified", "grouped", "time"] = "stratified"
    """How rows are cut where no file is given for a split."""
    validation_share: Share = 0.1
    """Share of the training rows cut for validation where no validation file is given; 0 for none."""
    test_share: Share = 0.2
    """Share of the rows cut for test where no test file is given; 0 for none."""
    splits: str = ""
    """An earlier run's splits.parquet: rows found there keep their split, only new rows are assigned."""
    seed: int = 0
    """Seed of the split."""
    acknowledge: tuple[Literal["leakage", "contradictory_labels", "rare_classes"], ...] = ()
    """Findings of the audit that would stop the run and that you accept."""
    max_contradictory: Share = 0.02
    """Share of training rows whose text also occurs with another label, above which `train` stops."""
    fingerprints: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of every source by its name above; written into the resolved recipe and verified when present."""

    def column(self, name: str) -> str:
        """The column of what a task reads of a row.

        Args:
            name: The task's field.

        Returns:
            The name in the source.
        """
        if name == FIRST:
            return self.text
        return (self.text_pair or SECOND) if name == SECOND else self.columns.get(name, name)


class TrainingOptions(Options):
    """How the parameters move."""

    epochs: int = Field(4, ge=0, le=10_000)
    """Passes over the training rows."""
    batch_size: int = Field(32, ge=1, le=65_536)
    """Rows in one micro-batch."""
    accumulation: int = Field(1, ge=1, le=65_536)
    """Micro-batches in one optimiser step."""
    learning_rate: float | None = Field(None, gt=0)
    """Peak learning rate of the backbone's moved parameters. Not given: the method's tested default."""
    head_learning_rate: float | None = Field(None, gt=0)
    """Peak learning rate of the head. Not given: the method's tested default."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor on the learning rate per layer down from the top."""
    unfreeze: Literal["all", "gradual"] = "all"
    """What moves from the first step: all that the method moves, or the head and the top layer, then a layer more."""
    unfreeze_share: float = Field(0.5, gt=0, le=1)
    """Share of the steps after which everything moves, where `unfreeze` is gradual; layers are added evenly."""
    optimiser: Literal["adamw", "sgd", "adafactor"] = "adamw"
    """Optimiser; sgd has momentum 0.9."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Shape of the learning rate after warm-up."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises from zero."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay; biases and norms are left out."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout probability in the backbone and before the head."""
    clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 for no clipping."""
    start: Literal["probe", "random"] = "probe"
    """How a linear head begins: solved as a convex problem on the untuned features, or at random."""
    probe_l2: float | None = Field(None, gt=0)
    """L2 strength of that convex problem. Not given: chosen by cross-validation."""
    patience: int = Field(0, ge=0)
    """Stop after so many epochs without a better `metric` on validation rows; 0: run all epochs. Where there are
    validation rows the best epoch's weights are kept."""
    metric: str = ""
    """What to stop and choose on: any metric of the task, or `loss`. Not given: the task's first."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of training; auto measures this machine. Answers are always computed in float32."""
    attention: Literal["auto", "sdpa", "eager"] = "auto"
    """Attention kernel of training; auto measures this machine. Answers are always computed with sdpa."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0: as many as this machine has cores."""
    checkpoint_steps: int = Field(200, ge=1)
    """Optimiser steps between checkpoints."""
    seed: int = 0
    """Seed of initialisation, order and dropout."""
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where to send the curves as well, through accelerate's trackers."""


class EvaluationOptions(Options):
    """How the result is measured."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Level of every interval."""
    resamples: int = Field(1000, ge=100, le=100_000)
    """Bootstrap resamples."""
    baselines: tuple[Literal["majority", "tfidf", "bm25", "zero_shot"], ...] = (
        "majority", "tfidf", "bm25", "zero_shot",
    )  # fmt: skip
    """What the result is shown beside."""
    seed: int = 0
    """Seed of the bootstrap."""
    witness: Literal["redacted", "none"] = "redacted"
    """Rows kept in the bundle to prove its wiring on every load: with personal data redacted, or none."""


T = TypeVar("T", bound=Options)

PLAIN: dict[str, type[Options]] = {"data": DataOptions, "training": TrainingOptions, "evaluation": EvaluationOptions}
DISCRIMINATOR = {"backbone": "family", "task": "name", "method": "name", "objective": "name"}
ORDER = ("data", "backbone", "task", "method", "objective", "training", "evaluation")


class Part(Options):
    """One of several tasks that are asked of the same rows."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)
    """What the task is called in answers, figures and files: letters, figures, `_` and `-`."""
    label: str = Field(min_length=1)
    """Column with what is right for it; a row where that is empty teaches only the other tasks. Not given: its name."""
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    """How much a row's loss counts beside the other tasks'; only their ratio matters."""
    probe_l2: float | None = Field(None, gt=0)
    """L2 strength of the convex problem that its head begins as. Not given: chosen by cross-validation."""
    task: SerializeAsAny[Options]
    """The options of its `type`."""

    def table(self) -> dict[str, Any]:
        """It as `[[task]]` has it."""
        options = self.task.model_dump(mode="json")
        kind = options.pop(DISCRIMINATOR["task"])
        own = self.model_dump(mode="json", exclude={"task"})
        return {"name": own.pop("name"), "type": kind, **own, **options}


class Several(Options):
    """Several tasks on one backbone."""

    parts: tuple[Part, ...] = Field(min_length=2)
    """They, in the order in which the recipe names them."""

    def having(self, name: str, **values: Any) -> Several:
        """A copy with some values of one task replaced, which are not validated."""
        return Several(
            parts=tuple(part.model_copy(update=values) if part.name == name else part for part in self.parts)
        )


class Recipe(Options):
    """A whole recipe, every table validated by the entry it belongs to."""

    data: DataOptions
    backbone: SerializeAsAny[Options]
    task: SerializeAsAny[Options]
    method: SerializeAsAny[Options]
    objective: SerializeAsAny[Options]
    training: TrainingOptions
    evaluation: EvaluationOptions

    def toml(self) -> str:
        """The recipe as TOML with every value explicit; keys without a value are left out.

        The usual objective is left out as well: it has no options.

        Returns:
            Text that `parse_toml` reads back to an equal recipe.
        """
        document = self.model_dump(mode="json")
        if isinstance(self.task, Several):
            document["task"] = [part.table() for part in self.task.parts]
        if document["objective"] == {DISCRIMINATOR["objective"]: DEFAULT_ENTRY["objective"]}:
            del document["objective"]
        return tomlkit.dumps(prune(document))

    def having(self, section: str, **values: Any) -> Recipe:
        """A copy with some values of one table replaced.

        Args:
            section: Name of the table.
            **values: Keys and their new values.

        Returns:
            The changed recipe, validated.
        """
        table: Options = getattr(self, section)
        changed = type(table).model_validate({**table.model_dump(), **values})
        return self.model_copy(update={section: changed})


def prune(value: Any) -> Any:
    """Drops what TOML cannot say: keys whose value is None.

    Args:
        value: Nested plain values.

    Returns:
        The same without None values in tables.
    """
    if isinstance(value, dict):
        return {key: prune(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [prune(inner) for inner in value]
    return value


def parse(document: Mapping[str, Any], axes: Axes, *, where: str = "recipe") -> Recipe:
    """Validates a recipe document; each table by the entry it names.

    Args:
        document: Tables by name, as read from TOML.
        axes: The registries that know the entries.
        where: What to call the document in errors.

    Returns:
        The recipe, defaults filled in.

    Raises:
        RecipeError: An unknown table, key or name, or a value out of bounds.
    """
    for section in document:
        if section not in ORDER:
            raise RecipeError(f"unknown table [{section}]", where=where, remedy=nearest(section, list(ORDER)))
    tables: dict[str, Options] = {}
    for section in ORDER:
        values = document.get(section, {})
        if section == "task" and isinstance(values, list):
            tables[section] = several_tasks(values, tables["data"], axes, where)
            continue
        if not isinstance(values, Mapping):
            raise RecipeError(
                f"{section} is {values!r}", where=where, expected=f"a table [{section}]", remedy=f"write [{section}]"
            )
        model = PLAIN[section] if section in PLAIN else entry_options(section, values, axes, where)
        tables[section] = validate(model, values, section, where)
    return Recipe.model_validate(tables)


def several_tasks(tables: list[Any], data: Any, axes: Axes, where: str) -> Several:
    """Validates `[[task]]`.

    Args:
        tables: One a task.
        data: The table [data], for the columns of its texts.
        axes: The registries.
        where: What to call the recipe.

    Returns:
        The tasks.

    Raises:
        RecipeError: There are not several, or two share a name or a column, or one does not validate.
    """
    if len(tables) < 2 or not all(isinstance(table, Mapping) for table in tables):
        raise RecipeError(
            f"{len(tables)} table(s) [[task]]", where=where, expected="at least two",
            remedy="write one task as [task], with name for what [[task]] calls type",
        )  # fmt: skip
    parts = [one_of_several(table, number, axes, where) for number, table in enumerate(tables, 1)]
    if data.label != DataOptions().label:
        raise RecipeError(
            f"data.label is {data.label!r}, and each of several tasks has a column of its own", where=where,
            remedy="leave out data.label, and set label in each [[task]]",
        )  # fmt: skip
    refuse_twice([part.name.casefold() for part in parts], "are called", "name", where)
    refuse_twice([part.label for part in parts], "have the column", "label", where)
    for part in parts:
        if part.label in (data.text, data.text_pair, data.id, data.group, data.time):
            raise RecipeError(
                f"the column {part.label!r} is read as what is right for {part.name} and as something else of a row",
                where=f"{where}, task.{part.name}.label",
                expected="a column of its own",
                remedy="name another column",
            )
    return Several(parts=tuple(parts))


def refuse_twice(values: list[str], what: str, key: str, where: str) -> None:
    """Stops where two tasks share what must be each one's own."""
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise RecipeError(
            f"two tasks {what} {twice[0]!r}", where=f"{where}, [[task]]", expected=f"a {key} of its own for each",
            remedy=f"change {key} in one of them",
        )  # fmt: skip


def one_of_several(table: Mapping[str, Any], number: int, axes: Axes, where: str) -> Part:
    """Validates one table of `[[task]]`: its own keys, and the options of its type."""
    name = table.get("name")
    place = f"task.{name if isinstance(name, str) else number}"
    own = {key: value for key, value in table.items() if key in Part.model_fields}
    rest = {key: value for key, value in table.items() if key not in own and key != "type"}
    if "type" not in table:
        raise RecipeError(
            "no type is named", where=f"{where}, [{place}]", expected="type, and name for what the task is called here",
            remedy=f"set type to one of {', '.join(axes['task'].names())}",
        )  # fmt: skip
    given = {DISCRIMINATOR["task"]: table["type"], **rest}
    options = validate(entry_options("task", given, axes, where), given, place, where)
    return validate(Part, {"label": name, **own, "task": options}, place, where)


DEFAULT_ENTRY = {"backbone": "text", "task": "classification", "method": "full", "objective": "supervised"}


def entry_options(section: str, values: Mapping[str, Any], axes: Axes, where: str) -> type[Options]:
    """The option model of the entry that a table names."""
    key = DISCRIMINATOR[section]
    name = values.get(key, DEFAULT_ENTRY[section])
    try:
        return axes[section].get(str(name)).Options
    except AttuneError as error:
        raise RecipeError(error.found, where=f"{where}, {section}.{key}", remedy=error.remedy) from None


def validate(model: type[T], values: Mapping[str, Any], section: str, where: str) -> T:
    """Validates one table, turning pydantic's errors into one that names key, value and remedy."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as failure:
        raise explain(failure, model, section, where) from None


def explain(failure: ValidationError, model: type[BaseModel], section: str, where: str) -> RecipeError:
    """The first of pydantic's errors as a RecipeError; further ones are listed.

    Args:
        failure: What pydantic raised.
        model: The option model, for the list of known keys.
        section: The table's name.
        where: What to call the document.

    Returns:
        The error to raise.
    """
    lines: list[str] = []
    for error in failure.errors():
        key = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            lines.append(f"unknown key {key!r} in [{section}]; {nearest(key, list(model.model_fields))}")
        else:
            where_in = f"{section}.{key} = {error['input']!r}" if key else f"[{section}]"
            lines.append(f"{where_in}: {error['msg'][:1].lower()}{error['msg'][1:]}")
    known = model.model_fields
    first = str(failure.errors()[0]["loc"][0]) if failure.errors()[0]["loc"] else ""
    expected = known[first].description or "" if first in known else ""
    return RecipeError(
        "\n  ".join(lines),
        where=where,
        expected=expected,
        remedy="`attune show schema` lists every key with its bounds",
    )


def read(path: Path, axes: Axes, overrides: Iterable[str] = ()) -> Recipe:
    """Reads a recipe file and applies `--set` overrides.

    Args:
        path: A TOML file.
        axes: The registries.
        overrides: `section.key=value` strings; values as TOML, or plain text.

    Returns:
        The validated recipe.

    Raises:
        RecipeError: The file is missing, is not TOML, or does not validate.
    """
    if not path.is_file():
        raise RecipeError(
            "no such recipe", where=str(path), expected="a TOML file", remedy="`attune init DATA` writes one"
        )
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"not TOML: {error}", where=str(path), remedy="mend the line named") from None
    return parse(override(document, overrides), axes, where=str(path))


def parse_toml(text: str, axes: Axes, *, where: str) -> Recipe:
    """Parses the text of a recipe, as kept in a run or a bundle."""
    return parse(tomllib.loads(text), axes, where=where)


def override(document: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Applies `section.key=value` strings to a document; a key of a table within one is `section.table.key`.

    Naming another entry of an axis (`method.name=full`) begins its table anew: the former entry's keys are not its own.

    Args:
        document: The recipe's tables.
        overrides: Strings as `--set` takes them.

    Returns:
        A new document.

    Raises:
        RecipeError: A string is not of that form.
    """
    result: dict[str, Any] = {section: copied(values) for section, values in document.items()}
    items = [split_override(item) for item in overrides]
    for section, key, value in sorted(items, key=lambda item: item[1] != DISCRIMINATOR.get(item[0])):
        table = result.setdefault(section, {})
        if section == "task" and isinstance(table, list):
            override_one(table, key, value)
            continue
        if not isinstance(table, dict):
            raise RecipeError(
                f"{section} is {table!r}", where="--set", expected=f"a table [{section}]", remedy=f"write [{section}]"
            )
        if key == DISCRIMINATOR.get(section) and table.get(key, DEFAULT_ENTRY[section]) != value:
            table = result[section] = {}
        *inner, last = key.split(".")
        for name in inner:
            found = table.get(name)
            table[name] = table = dict(found) if isinstance(found, Mapping) else {}
        table[last] = value
    return result


def copied(values: Any) -> Any:
    """A table that may be changed, or several of them."""
    if isinstance(values, list):
        return [copied(table) for table in values]
    return dict(values) if isinstance(values, Mapping) else values


def override_one(tables: list[Any], key: str, value: Any) -> None:
    """Applies `task.NAME.key=value` where there are several tasks."""
    name, dot, inner = key.partition(".")
    known = {str(table.get("name")): table for table in tables if isinstance(table, dict)}
    if not dot or name not in known:
        raise RecipeError(
            f"no task is called {name!r}" if dot else f"task.{key} is said of several tasks",
            where="--set",
            expected="task.NAME.key=value",
            remedy=nearest(name if dot else "", list(known)),
        )
    known[name][inner] = value


def split_override(item: str) -> tuple[str, str, Any]:
    """Section, key and value of a `--set` string."""
    path, equals, text = item.partition("=")
    section, dot, key = path.strip().partition(".")
    if not (equals and dot and key):
        raise RecipeError(
            f"cannot read {item!r}",
            where="--set",
            expected="section.key=value",
            remedy="for example --set training.epochs=3",
        )
    return section, key, toml_value(text.strip())


def toml_value(text: str) -> Any:
    """Reads a value as TOML would, or as plain text where it is not TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def schema(axes: Axes) -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors.

    Args:
        axes: The registries; every entry's options become one branch.

    Returns:
        A JSON Schema (draft 2020-12).
    """
    fields: dict[str, Any] = {}
    for section in ORDER:
        if section in PLAIN:
            fields[section] = (PLAIN[section], Field(default_factory=PLAIN[section]))
            continue
        branches = [axes[section].get(name).Options for name in axes[section].names()]
        union: Any = Union[tuple(branches)] if len(branches) > 1 else branches[0]  # noqa: UP007
        if section == "task":
            union = Union[union, list[Union[tuple(map(as_one_of_several, branches))]]]  # noqa: UP007
        fields[section] = (union, ...)
    model = create_model("Recipe", __config__=ConfigDict(extra="forbid"), **fields)
    result = model.model_json_schema()
    result.pop("required", None)
    return result


def as_one_of_several(model: type[BaseModel]) -> type[BaseModel]:
    """The keys of one table of `[[task]]`: those of its type, and those that each of several has."""
    key = DISCRIMINATOR["task"]
    options: dict[str, Any] = {
        name: (info.annotation, info) for name, info in model.model_fields.items() if name not in (key, "task")
    }
    own: dict[str, Any] = {name: (info.annotation, info) for name, info in Part.model_fields.items() if name != "task"}
    kind: Any = model.model_fields[key].annotation
    named: Any = create_model(
        f"{model.__name__}OfSeveral", __config__=ConfigDict(extra="forbid"), **options, **own,
        type=(kind, Field(...)),
    )  # fmt: skip
    return named


def key_rows(model: type[BaseModel]) -> list[dict[str, str]]:
    """One row an option of a model, for the reference page and `show`.

    Args:
        model: An option model.

    Returns:
        Rows with `key`, `type`, `default`, `description`.
    """
    rows: list[dict[str, str]] = []
    for key, info in model.model_fields.items():
        choices = get_args(info.annotation)
        literal = " | ".join(repr(choice) for choice in choices) if get_origin(info.annotation) is Literal else ""
        kind = literal or str(info.annotation).replace("typing.", "").replace("<class '", "").replace("'>", "")
        rows.append(
            {
                "key": key,
                "type": kind,
                "default": "required" if info.is_required() else repr(info.get_default(call_default_factory=True)),
                "description": " ".join((info.description or "").split()),
            }
        )
    return rows
