"""The only joint of the axes: a backbone and a method with a task and an objective become a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attune.backbones import origin
from attune.backbones.checkpoints import Checkpoint
from attune.backbones.family import FEWEST, SPEECH
from attune.backbones.language import more_than_an_encoder
from attune.backbones.networks import masks, reads_pairs, tokenizer_of
from attune.backbones.registry import BACKBONES
from attune.core.encoding import Encoding
from attune.core.packing import pieces_of
from attune.core.recipe import Axes, DataOptions, Recipe, Several, TrainingOptions, parse_toml
from attune.core.records import Input, Prediction
from attune.core.registry import Registry
from attune.core.texts import SECOND
from attune.errors import BackboneError, CannotMerge, RecipeError, UnsupportedError
from attune.methods.registry import METHODS
from attune.model import manifest as manifests
from attune.objectives.registry import OBJECTIVES
from attune.tasks.common.asked import Asked
from attune.tasks.common.labelled import Labels
from attune.tasks.common.parts import Parts
from attune.tasks.heads.registry import HEADS
from attune.tasks.registry import TASKS
from attune.tasks.rewards.base import needs_of
from attune.tasks.rewards.registry import FIGURES, REWARDS
from attune.tasks.together import Together, why_apart

AXES: Axes = {"backbone": BACKBONES, "task": TASKS, "method": METHODS, "objective": OBJECTIVES}
ROWS_A_BATCH = 32
TOKENS_A_BATCH = 8192
LOGITS_A_BATCH = 2**26
"""Numbers of a whole vocabulary that are in memory at once; 256 MiB."""
FROM = {
    "pooled": "one vector a row",
    "tokens": "each token",
    "vocabulary": "each token with one of the vocabulary",
    "replaced": "each token with whether it was replaced",
    "generate": "the text that follows",
}
"""What a head answers from, in words."""


@dataclass(frozen=True)
class Cell:
    """One combination of the axes, by name."""

    family: str
    task: str
    head: str
    method: str
    objective: str

    def __str__(self) -> str:
        return " × ".join((self.family, self.task, self.head, self.method, self.objective))


def cells() -> Iterator[Cell]:
    """Every combination of what is registered."""
    names = (BACKBONES.names(), TASKS.names(), HEADS.names(), METHODS.names(), OBJECTIVES.names())
    return (Cell(*combination) for combination in product(*names))


def why_not(cell: Cell) -> str:
    """Compares what a combination needs with what its backbone family provides.

    Args:
        cell: The combination.

    Returns:
        A sentence with the reason and what would work, or nothing where it works.
    """
    provides: frozenset[str] = BACKBONES.get(cell.family).provides
    features: str = TASKS.get(cell.task).features
    reads: str = reads_of(TASKS.get(cell.task))
    for kind, needs in (
        (f"task {cell.task}", TASKS.get(cell.task).needs | {reads}),
        (f"head {cell.head}", HEADS.get(cell.head).needs),
        (f"method {cell.method}", METHODS.get(cell.method).needs),
        (f"objective {cell.objective}", OBJECTIVES.get(cell.objective).needs),
    ):
        missing = sorted(needs - provides)
        if missing:
            fits = [name for name in BACKBONES.names() if needs <= BACKBONES.get(name).provides]
            nearest = f"families that provide it: {', '.join(fits)}" if fits else "no family here provides it"
            return f"{kind} needs {', '.join(missing)}, which the {cell.family} family does not provide; {nearest}"
    over: str = getattr(TASKS.get(cell.task), "over", features)
    if over not in HEADS.get(cell.head).over:
        able = [name for name in HEADS.names() if over in HEADS.get(name).over and can_ask(cell, name)]
        what = FROM.get(over, f"each token with {over}")
        return (
            f"head {cell.head} does not answer from {what}, as task {cell.task} does; heads that do: {', '.join(able)}"
        )
    if not suits(cell.task, cell.head):
        able = [name for name in HEADS.names() if suits(cell.task, name) and can_ask(cell, name)]
        what = "the vector itself" if hasattr(TASKS.get(cell.task), "asks") else "something made of the vector"
        return f"task {cell.task} answers with {what}, and head {cell.head} does not; heads that do: {', '.join(able)}"
    if hasattr(HEADS.get(cell.head), "begin") and not hasattr(TASKS.get(cell.task), "descriptions"):
        able = [name for name in TASKS.names() if hasattr(TASKS.get(name), "descriptions")]
        return (
            f"head {cell.head} begins from what each label's texts say, and a label of task {cell.task} is nothing "
            f"that a text could be near to; use head linear, or a task whose labels can be described: {', '.join(able)}"
        )
    if hasattr(HEADS.get(cell.head), "asks") and not getattr(TASKS.get(cell.task), "worded", False):
        able = [name for name in TASKS.names() if getattr(TASKS.get(name), "worded", False)]
        return (
            f"head {cell.head} lays a row out in words and asks which label's words fit, and a row of task {cell.task} "
            f"is not read so; use head linear, or a task that can be: {', '.join(able)}"
        )
    if hasattr(HEADS.get(cell.head), "restrict") and "scheme" not in TASKS.get(cell.task).Options.model_fields:
        able = [name for name in TASKS.names() if "scheme" in TASKS.get(name).Options.model_fields]
        return (
            f"head {cell.head} scores one tag after another, and task {cell.task} has no tags; use head linear, or a "
            f"task that tags: {', '.join(able)}"
        )
    if getattr(HEADS.get(cell.head), "still", False) and METHODS.get(cell.method).trains:
        able = [name for name in METHODS.names() if not METHODS.get(name).trains]
        return (
            f"head {cell.head} answers from what a backbone as it is goes on with, and cannot be trained; use method "
            f"{' or '.join(able)}, or head linear"
        )
    if HEADS.get(cell.head).trains and not METHODS.get(cell.method).trains:
        able = [name for name in HEADS.names() if answers_untrained(replace(cell, head=name))]
        told = f", or a head that answers untrained: {', '.join(able)}" if able else ""
        return (
            f"head {cell.head} cannot answer before it is trained, and method {cell.method} trains nothing; use "
            f"method frozen with trainable_layers = 0 (the linear probe){told}"
        )
    objective = OBJECTIVES.get(cell.objective)
    if objective.pairs:
        leaves = "compares with the model that it began as, and {method} leaves that as it is"
        return no_texts(cell, "in_pairs", "which of two texts is preferred", leaves)
    if objective.draws:
        leaves = "makes what is rewarded likelier, and {method} leaves all as it is"
        return no_texts(cell, "why_not_drawn", "from texts that the model draws", leaves)
    return ""


def no_texts(cell: Cell, way: str, learns: str, leaves: str) -> str:
    """Why a combination cannot learn from texts otherwise than from right ones; empty where it can.

    Args:
        cell: The combination.
        way: What a task has that can.
        learns: What the objective does.
        leaves: What it would do to the model, and that a method without steps leaves undone.

    Returns:
        A sentence, or nothing.
    """
    if not hasattr(TASKS.get(cell.task), way):
        able = [name for name in TASKS.names() if hasattr(TASKS.get(name), way)]
        return (
            f"objective {cell.objective} learns {learns}, and task {cell.task} writes none; use "
            f"objective supervised, or a task that writes: {', '.join(able)}"
        )
    if not METHODS.get(cell.method).trains:
        return (
            f"objective {cell.objective} {leaves.format(method=f'method {cell.method}')}; use a method that trains, or "
            "objective supervised"
        )
    return ""


def can_ask(cell: Cell, head: str) -> bool:
    """Whether a head that asks in words can do so of a cell's task and family; others need not."""
    kind = HEADS.get(head)
    worded = getattr(TASKS.get(cell.task), "worded", False) and kind.needs <= BACKBONES.get(cell.family).provides
    return worded or not hasattr(kind, "asks")


def answers_untrained(cell: Cell) -> bool:
    """Whether a combination works whose head needs no training."""
    return not HEADS.get(cell.head).trains and not why_not(cell)


def suits(task: str, head: str) -> bool:
    """Whether a head answers with what a task asks for; most give a task numbers to make an answer of."""
    kind = TASKS.get(task)
    asked, given = getattr(kind, "asks", "numbers"), getattr(HEADS.get(head), "gives", "numbers")
    return asked == given and (asked != "numbers" or getattr(kind, "over", kind.features) in HEADS.get(head).over)


def matrix() -> tuple[list[list[str]], int, int]:
    """Every combination, those that share an answer and differ by method and objective alone in one line.

    Returns:
        Lines of family, task, head, objectives, methods, and `yes` or the reason; how many combinations work; and how
        many there are.
    """
    methods: dict[tuple[str, ...], list[str]] = {}
    works = count = 0
    for each in cells():
        reason = why_not(each)
        methods.setdefault((each.family, each.task, each.head, reason or "yes", each.objective), []).append(each.method)
        works, count = works + (not reason), count + 1
    objectives: dict[tuple[str, ...], list[str]] = {}
    for (*place, objective), found in methods.items():
        objectives.setdefault((*place, listed(found, METHODS)), []).append(objective)
    told = [(line, listed(found, OBJECTIVES)) for line, found in objectives.items()]
    return [[*line[:3], found, line[4], line[3]] for line, found in told], works, count


def listed(found: Sequence[str], registry: Registry) -> str:
    """Names of entries, or that they are all of them."""
    return "all" if list(found) == registry.names() else ", ".join(found)


def cells_of(recipe: Recipe) -> list[Cell]:
    """The combinations that a recipe asks for, one a task."""
    backbone: Any = recipe.backbone
    method: Any = recipe.method
    asked: list[Any] = [part.task for part in recipe.task.parts] if isinstance(recipe.task, Several) else [recipe.task]
    objective: Any = recipe.objective
    return [Cell(backbone.family, task.name, task.head, method.name, objective.name) for task in asked]


def cell_of(recipe: Recipe) -> Cell:
    """The combination a recipe asks for; of several tasks, they and their heads are named side by side."""
    found = cells_of(recipe)
    if not isinstance(recipe.task, Several):
        return found[0]
    tasks = (f"{part.name} ({cell.task})" for part, cell in zip(recipe.task.parts, found, strict=True))
    return replace(found[0], task=" + ".join(tasks), head=" + ".join(cell.head for cell in found))


def task_of(recipe: Recipe) -> Any:
    """The task that a recipe names, built with its options; or several as one."""
    if not isinstance(recipe.task, Several):
        cell = cell_of(recipe)
        task = TASKS.get(cell.task)(recipe.task)
        return task.in_pairs() if OBJECTIVES.get(cell.objective).pairs else task
    parts = recipe.task.parts
    tasks = {part.name: TASKS.get(cell.task)(part.task) for part, cell in zip(parts, cells_of(recipe), strict=True)}
    return Together(tasks, {part.name: part.label for part in parts}, {part.name: part.weight for part in parts})


def why_not_recipe(recipe: Recipe) -> str:
    """Why the tasks of a recipe cannot work, each by itself or beside the others; empty where they can."""
    found = cells_of(recipe)
    if not isinstance(recipe.task, Several):
        return why_not(found[0])
    for part, cell in zip(recipe.task.parts, found, strict=True):
        if reason := why_not(cell):
            return f"{part.name}: {reason}"
        if hasattr(HEADS.get(cell.head), "begin"):
            return (
                f"{part.name}: head {cell.head} begins from what the labels' texts say, which is done for one task "
                "alone; use head linear, or train it by itself"
            )
    task: Together = task_of(recipe)
    return why_apart(task.tasks, {part.name: cell.task for part, cell in zip(recipe.task.parts, found, strict=True)})


def packages(recipe: Recipe) -> dict[str, str]:
    """The other packages that a recipe has entries of, with their versions."""
    named = [
        pair
        for cell in cells_of(recipe)
        for pair in (
            (BACKBONES, cell.family), (TASKS, cell.task), (HEADS, cell.head), (METHODS, cell.method),
            (OBJECTIVES, cell.objective),
        )
    ]  # fmt: skip
    objective: Any = recipe.objective
    named += [(REWARDS, objective.reward)] if OBJECTIVES.get(objective.name).draws else []
    return {package: release for axis, name in named for package, release in axis.package(name).items()}


def check(recipe: Recipe, root: Path) -> Checkpoint:
    """Refuses what cannot work, before any data is read.

    Args:
        recipe: The recipe.
        root: The data root, for a backbone by folder.

    Returns:
        The backbone's checkpoint, found and verified; or what the run makes it of.

    Raises:
        UnsupportedError: The combination or its options cannot work; the reason is given.
        BackboneError: The backbone is not there, or is not the one the recipe was resolved with.
        CannotMerge: The backbone is a bundle whose method leaves no plain weights.
    """
    cell = cell_of(recipe)
    reason = why_not_recipe(recipe)
    if reason:
        raise UnsupportedError(reason, where=str(cell), remedy="`attune show matrix` prints what works")
    task = task_of(recipe)
    refuse_shared(recipe, task)
    if recipe.data.text_pair and SECOND not in task.form.texts:
        raise RecipeError(
            f"a second text is named, and the task {cell.task} reads one",
            where="data.text_pair",
            expected="a task that reads two texts",
            remedy='set task.name = "pair" (for a number "regression" with task.encoder = "cross"), or leave out '
            "data.text_pair",
        )
    options: Any = origin.complete(recipe.backbone)
    if origin.is_bundle(options.name, root):
        refuse_unmerged(root / options.name, options.name)
    checkpoint = origin.find(options, root)
    there = checkpoint.weights != "yet"
    if there and options.sha256 and options.sha256 != checkpoint.sha256:
        raise BackboneError(
            f"weights have SHA-256 {checkpoint.sha256}",
            where=options.name,
            expected=f"{options.sha256}, as in the recipe",
            remedy="use the checkpoint the recipe was resolved with, or delete backbone.sha256",
        )
    ours = origin.tokenizers(options) is not None
    refuse_label(recipe, task)
    if reads_of(task) == "tokens" and options.pooling != type(options).model_fields["pooling"].default:
        raise RecipeError(
            f"pooling {options.pooling!r} says how tokens become one vector, and the task {cell.task} reads each token",
            where="backbone.pooling",
            remedy="leave it out",
        )
    if task.paired and not ours and not reads_pairs(checkpoint.folder):
        raise UnsupportedError(
            "its tokenizer puts nothing between two texts", where=f"[backbone] {options.name}",
            expected="a tokenizer whose post-processor has a template for pairs",
            remedy='set task.encoder = "bi" where the task has it, or use another backbone',
        )  # fmt: skip
    family: Any = BACKBONES.get(cell.family)
    needs = needed(recipe)
    config = config_of(checkpoint, family, options)
    hiding = (f"head {each.head}" for each in cells_of(recipe) if "masks" in HEADS.get(each.head).needs)
    who = next(hiding, f"task {cell.task}")
    if "masks" in needs and not ours and not masks(checkpoint.folder):
        raise UnsupportedError(
            f"{who} hides tokens, and its tokenizer has no mask token", where=f"[backbone] {options.name}",
            expected="a tokenizer with a mask token, as those of BERT, RoBERTa and ModernBERT have",
            remedy="use another backbone, or give this one a tokenizer of your own with [backbone.tokenizer]",
        )  # fmt: skip
    refuse_wordless(cell, task, options, root, checkpoint, config)
    if hasattr(task, "why_not") and (reason := task.why_not(family.dimensions(config, needs)[1])):
        raise UnsupportedError(reason, where=f"[task] {cell.task} on {options.name}", remedy="change [task]")
    if hasattr(task, "check_room"):
        task.check_room(family, config)
    refuse_unrewarded(recipe, task)
    if hasattr(task, "lacks") and not ours and (flaw := task.lacks(tokenizer_of(checkpoint.folder))):
        raise UnsupportedError(
            f"task {cell.task} cannot hide anything: {flaw}", where=f"[backbone] {options.name}",
            remedy='use another backbone, or one from scratch (backbone.name = "scratch")',
        )  # fmt: skip
    method: Any = METHODS.get(cell.method)(recipe.method)
    reason = (
        next((told for each in cells_of(recipe) if (told := missing_here(each, needs, checkpoint.name, config))), "")
        or nothing_moves(cells_of(recipe)[0], method)
        or method.why_not(*family.dimensions(config, needs))
        or too_long(method, family.positions(config))
        or nothing_to_unfreeze(recipe.training, method, family.dimensions(config, needs)[0])
        or method.no_place(partial(family.outline, config, needs))
    )
    if reason:
        raise UnsupportedError(reason, where=f"[method] {cell.method} on {options.name}", remedy="change [method]")
    return checkpoint


def refuse_wordless(cell: Cell, task: Any, options: Any, root: Path, checkpoint: Checkpoint, config: Any) -> None:
    """Stops where a backbone cannot be asked for words as a head asks, or by the words that the recipe names.

    Args:
        cell: The combination.
        task: The task.
        options: Backbone options, completed.
        root: The data root.
        checkpoint: What `find` found.
        config: Its config.

    Raises:
        UnsupportedError: It holds no masked vocabulary head, or a word is not one token of its vocabulary.
    """
    if not hasattr(task, "lacks_words") or not hasattr(HEADS.get(cell.head), "asks"):
        return
    if "vocabulary_head" in HEADS.get(cell.head).needs and not fills_gaps(options, root, checkpoint, config):
        raise UnsupportedError(
            f"head {cell.head} asks for words at a mask, and the checkpoint holds no masked vocabulary head",
            where=f"[backbone] {options.name}",
            expected="a checkpoint saved with its masked language model, or the bundle of a run with task masked_lm",
            remedy='name such a one, or tune this one first with task.name = "masked_lm" on plain texts and name that '
            "run's bundle; head descriptions works without",
        )
    ours = origin.tokenizers(options) is not None
    if not ours and (flaw := task.lacks_words(tokenizer_of(checkpoint.folder))):
        raise UnsupportedError(
            flaw, where=f"[task.verbalisers] on {options.name}", expected="words that are one token each",
            remedy="name others, or leave them out and have them found: task.search and task.shots",
        )  # fmt: skip


def fills_gaps(options: Any, root: Path, checkpoint: Checkpoint, config: Any) -> bool:
    """Whether a backbone holds a masked vocabulary head, told without its weights.

    Args:
        options: Backbone options, completed.
        root: The data root.
        checkpoint: What `find` found.
        config: Its config.

    Returns:
        Whether it does, as its files or its bundle's recipe say; that the head can be read is seen later.
    """
    if origin.tokenizers(options) is not None:  # made anew, or its vocabulary exchanged: no such head is kept
        return False
    if not origin.is_bundle(options.name, root):
        return more_than_an_encoder(checkpoint.folder, config)
    made = parse_toml((root / options.name / "recipe.toml").read_text(encoding="utf-8"), AXES, where=options.name)
    return any("vocabulary" in HEADS.get(cell.head).over for cell in cells_of(made))


def refuse_shared(recipe: Recipe, task: Any) -> None:
    """Stops where [training] says once what each of several tasks has of its own, or a metric that there is not."""
    if not isinstance(recipe.task, Several):
        return
    task.metric(recipe.training.metric)
    if recipe.training.probe_l2:
        raise RecipeError(
            "one strength is given for the heads of several tasks",
            where="training.probe_l2",
            expected="one a task",
            remedy="set probe_l2 in each [[task]]",
        )


def refuse_unrewarded(recipe: Recipe, task: Any) -> None:
    """Stops where texts that the model draws cannot be learned from, or not by the reward that is asked for.

    Args:
        recipe: With the name of a reward, where its objective draws texts.
        task: Then one that writes.

    Raises:
        RecipeError: There is no such reward, it needs what the task's rows do not have, an option of the task does not
            go with it, or nothing says what epochs are to be chosen by.
    """
    objective: Any = recipe.objective
    if not OBJECTIVES.get(objective.name).draws:
        return
    needs = needs_of(REWARDS.get(objective.reward))
    option, reason = task.why_not_drawn()
    if option:
        raise RecipeError(
            f"{option} {reason}", where=f"task.{option}", expected=f"none of it beside objective {objective.name}",
            remedy="leave it out, or use objective supervised",
        )  # fmt: skip
    if not (rewarded_figure(recipe) or recipe.training.metric):
        raise RecipeError(
            f"the reward {objective.reward} is no figure of texts that epochs could be chosen by",
            where="training.metric",
            expected="a figure of the task that tells whether the texts become better",
            remedy="name one: perplexity holds the model near the data, rouge_l or bleu near the right texts",
        )
    if missing := sorted(needs - task.known):
        able = [name for name in REWARDS.names() if needs_of(REWARDS.get(name)) <= task.known]
        raise RecipeError(
            f"the reward {objective.reward} goes by a row's {' and '.join(missing)}, and rows of this task have none",
            where="objective.reward",
            expected=f"one of {', '.join(able)}",
            remedy='slots come with task.preset = "data_to_text", a problem with preset "code" and task.programs',
        )


def rewarded_figure(recipe: Recipe) -> str:
    """The figure that says how much of its reward a model earns; empty where the objective has none."""
    return FIGURES.get(getattr(recipe.objective, "reward", ""), "")


def refuse_label(recipe: Recipe, task: Any) -> None:
    """Stops where one column is named for what is right, and that stands in several."""
    of: tuple[str, ...] = task.form.gold.of if task.form.gold else ()
    if of and recipe.data.label != DataOptions.model_fields["label"].default:
        raise RecipeError(
            f"one column is named, {recipe.data.label!r}, and a row has {' and '.join(of)}",
            where="data.label",
            expected=f"no data.label; the columns are called {' and '.join(of)}",
            remedy=f"leave it out, or name them: data.columns = {{{of[0]} = {recipe.data.label!r}, …}}",
        )


def needed(recipe: Recipe) -> frozenset[str]:
    """What tasks, heads, method and objective need of a backbone."""
    registries = [
        pair
        for cell in cells_of(recipe)
        for pair in ((TASKS, cell.task), (HEADS, cell.head), (METHODS, cell.method), (OBJECTIVES, cell.objective))
    ]
    return frozenset[str]().union(*(registry.get(name).needs for registry, name in registries))


def missing_here(cell: Cell, needs: frozenset[str], name: str, config: Any) -> str:
    """What is needed, the family provides and this checkpoint's network does not; empty where nothing is."""
    lacks = BACKBONES.get(cell.family).lacks(config, needs)
    if silent := sorted((needs - METHODS.get(cell.method).needs) & lacks):
        return (
            f"task {cell.task} with head {cell.head} needs {', '.join(silent)}, which the {config.model_type} network "
            f"of {name} does not provide, by the class it was saved from; use a checkpoint with its language head"
        )
    missing = sorted(METHODS.get(cell.method).needs & lacks)
    if not missing:
        return ""
    fits = ", ".join(other for other in METHODS.names() if not METHODS.get(other).needs & lacks)
    return (
        f"method {cell.method} needs {', '.join(missing)}, which the {config.model_type} network of {name} does not "
        f"provide; methods that work on it: {fits}"
    )


def too_long(method: Any, there: int) -> str:
    """Why a method's virtual tokens leave too few of the positions there are for text; empty where they do not."""
    taken = method.positions
    if there - taken >= FEWEST or not taken:
        return ""
    return (
        f"{method.options.name} with tokens = {taken} takes {taken} of the {there} positions that the backbone reads, "
        f"and at least {FEWEST} must be left for text; use at most {there - FEWEST} tokens"
    )


def nothing_to_unfreeze(training: TrainingOptions, method: Any, layers: int) -> str:
    """Why layers cannot be unfrozen one after another; empty where they can, or need not be."""
    if training.unfreeze == "all" or method.whole_layers(layers) > 1:
        return ""
    return (
        f'training.unfreeze = "gradual" adds one whole layer after another, and {method.options.name} as asked for '
        f"moves {method.whole_layers(layers)} of them whole; use method full, or frozen with trainable_layers of 2 or "
        'more, or leave training.unfreeze at "all"'
    )


def nothing_moves(cell: Cell, method: Any) -> str:
    """Why there would be steps in which nothing moves: the head alone is to move, and has no parameters."""
    if not (method.still and getattr(HEADS.get(cell.head), "empty", False)):
        return ""
    return (
        f"method {cell.method} as asked for moves nothing but the head, and head {cell.head} has no parameters; use "
        "trainable_layers of 1 or more, another method, or none to take the backbone as it is"
    )


def refuse_unmerged(folder: Path, name: str) -> None:
    """Stops where a bundle has no plain weights that could be tuned further.

    Args:
        folder: The bundle; its files are verified.
        name: What the recipe calls it.

    Raises:
        CannotMerge: Its method cannot be merged; the method's own reason is given.
    """
    method = manifests.read(folder).method
    if reason := METHODS.get(method).cannot_merge:
        raise CannotMerge(
            f"the bundle {name} cannot be a backbone: its method {method} cannot be merged: {reason}",
            where="backbone.name",
            expected="a bundle whose method changes weights, such as lora or full",
            remedy="make that bundle with lora, frozen or full, or name the backbone it was made from",
        )


def config_of(checkpoint: Checkpoint, family: Any, options: Any) -> Any:
    """The config of a checkpoint, with its layers and width known.

    Args:
        checkpoint: Found and verified.
        family: The backbone family it should be of.
        options: Backbone options, completed.

    Returns:
        What transformers reads.

    Raises:
        BackboneError: It cannot be read, or is not that of a stack of layers.
    """
    try:
        config = origin.config_of(checkpoint, options, family)
        family.dimensions(config)
        return config
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise BackboneError(
            f"its config cannot be read: {error}",
            where=str(checkpoint.folder),
            expected=f"config.json of {family.kind} that transformers knows",
            remedy="check the folder with `transformers.AutoConfig.from_pretrained`",
        ) from None


class Model(nn.Module):
    """A backbone, a head and what they were asked for, as one thing that answers.

    Args:
        backbone: The backbone, its method applied.
        head: The task's head.
        task: The task.
        method: The method that was applied.
        objective: What the loss is made of.
        labels: The learned labels.
    """

    def __init__(self, backbone: Any, head: nn.Module, task: Any, method: Any, objective: Any, labels: Labels) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.task = task
        self.method = method
        self.objective = objective
        self.labels = labels
        self.temperature: Any = 1.0
        """Divides the logits; of several tasks one by name, or one for all."""

    def parts(self) -> dict[str, Model]:
        """Of several tasks, by name: each alone on the same backbone, for what is done for one after the other."""
        if not isinstance(self.task, Together):
            return {}
        head: Any = self.head
        labels: Any = self.labels
        return {
            name: Model(self.backbone, head.of(name), task, self.method, self.objective, labels.parts[name]).train(
                self.training
            )
            for name, task in self.task.tasks.items()
        }

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def solvable(self) -> bool:
        """Whether the head can be solved on fixed features: whether it has `fit`; of several heads, all of them."""
        parts = self.parts().values()
        return all(part.solvable for part in parts) if parts else hasattr(self.head, "fit")

    @property
    def coupled(self) -> bool:
        """Whether the loss of a row depends on the other rows of its batch."""
        return not (self.objective.per_row and getattr(self.task, "per_row", True))

    @property
    def describable(self) -> bool:
        """Whether the head begins from the labels' texts: whether it has `begin`."""
        return hasattr(self.head, "begin")

    @property
    def worded(self) -> bool:
        """Whether the head asks in words, and is set by those and by unlabelled texts."""
        return hasattr(self.head, "asks")

    @property
    def outputs_count(self) -> int:
        """How many numbers the head says of a row or a token."""
        return self.task.outputs_of(self.labels)

    @property
    def tempered(self) -> bool:
        """Whether a temperature makes its logits into calibrated probabilities."""
        return getattr(self.task, "tempered", True) and getattr(self.head, "tempered", True)

    def forward(self, inputs: dict[str, Tensor]) -> Any:
        """Logits `(B, K)` of a collated batch, or `(P, T, K)` of the tokens of its P pieces; of several tasks a tensor
        of theirs each."""
        return self.head(self.read(inputs))

    def read(self, inputs: dict[str, Tensor]) -> Any:
        """What the head sees of a collated batch: one vector a row `(B, W)`, or one a token `(P, T, W)`; of several
        tasks a tensor of theirs each.

        Where texts are generated, of each row that is learned what may stand at each place, `(B, T, V)`.
        """
        backbone: Any = self.backbone
        kind = reads_of(self.task)
        read = {"pooled": backbone, "tokens": backbone.tokens, "both": backbone.both}.get(kind)
        return self.task.join((read or backbone.logits)(inputs), inputs)

    def loss(self, inputs: dict[str, Tensor], targets: Any) -> tuple[Tensor, Tensor]:
        """Total `(B,)` and weight `(B,)` of a collated batch; a head that scores whole sequences has its own loss.

        A head with `score` has its own as well, and computes no logits of what is not asked for.
        """
        if hasattr(self.head, "score"):
            head: Any = self.head
            return head.score(self.read(inputs), targets)
        return self.weigh(self(inputs).float(), targets)

    def weigh(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """Total and weight of a head's outputs."""
        if hasattr(self.head, "loss"):
            head: Any = self.head
            return head.loss(outputs, targets)
        return self.task.loss(outputs, targets, self.labels)

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Token ids of rows, ragged."""
        return self.task.read(self.backbone, rows)

    def collate(self, ids: Sequence[NDArray[np.int64]]) -> dict[str, Tensor]:
        """A padded batch on the model's device."""
        return {key: value.to(self.device) for key, value in self.backbone.collate(ids).items()}

    @torch.inference_mode()
    def features(self, ids: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """What the head sees `(N, W)` in the order given, or of all their tokens `(T, W)`, whatever the batches."""
        return rows_of_all(self._batched(ids, self.read), self.task.features)

    @torch.inference_mode()
    def logits(self, ids: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Logits `(N, K)` in the order given, or of all their tokens `(T, K)`, whatever the batches; of several tasks
        all their numbers `(M,)`, one after the other."""
        found = self._batched(ids, self)
        if isinstance(self.task, Together):
            return np.concatenate([values.ravel() for row in found for values in row.values()])
        return rows_of_all(found, self.task.features)

    @torch.inference_mode()
    def outputs(self, ids: Sequence[NDArray[np.int64]]) -> list[Any]:
        """What the head says of each row, `(K,)` or `(T, K)`, in the order given, whatever the batches; of several
        tasks that of each by name.

        A task with `tell` asks the backbone itself: for a text, not for numbers.
        """
        if hasattr(self.task, "tell"):
            return self.task.tell(self.backbone, ids)
        return self._batched(ids, self.answer if hasattr(self.head, "asked") else self)

    def answer(self, inputs: dict[str, Tensor]) -> Tensor:
        """What a head with `asked` says of the masks of a collated batch, `(P, T, K)`: logits would fill the memory."""
        head: Any = self.head
        return head.asked(self.read(inputs), inputs["input_ids"])

    def _batched(self, ids: Sequence[NDArray[np.int64]], module: Callable[[dict[str, Tensor]], Any]) -> list[Any]:
        training = self.training
        self.eval()
        found: dict[int, Any] = {}
        for batch in length_batches([len(row) for row in ids], self._tokens_a_batch()):
            rows = [ids[i] for i in batch]
            found.update(zip(batch, by_row(module(self.collate(rows)), rows, self.task), strict=True))
        self.train(training)
        return [found[index] for index in range(len(ids))]

    def _tokens_a_batch(self) -> int:
        """Tokens that are read at once: fewer where each comes with a number for every token of the vocabulary."""
        if reads_of(self.task) != "next_token":
            return TOKENS_A_BATCH
        backbone: Any = self.backbone
        return min(TOKENS_A_BATCH, LOGITS_A_BATCH // backbone.network.get_input_embeddings().num_embeddings)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length one `(N, D)` of texts, each read on its own by the tuned backbone."""
        ids = self.backbone.encode([Input(text) for text in texts]).ids
        found = np.zeros((len(ids), self.backbone.width), dtype=np.float32)
        for batch in length_batches([len(row) for row in ids]):
            vectors = self.backbone(self.collate([ids[i] for i in batch]))
            found[batch] = nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()
        return found

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[Prediction]:
        """Answers rows.

        Args:
            rows: Mappings with the task's fields; checked by the caller.

        Returns:
            One prediction a row, in order.
        """
        if not rows:
            return []
        rows = self.task.condensed(rows) if hasattr(self.task, "condensed") else rows
        encoding = self.encode(rows)
        return self.decode(rows, encoding, self.outputs(encoding.ids))

    def decode(self, rows: Sequence[Mapping[str, Any]], encoding: Encoding, outputs: Sequence[Any]) -> list[Prediction]:
        """Answers rows that were read and put through the head."""
        notices = self.notices(encoding)
        asked = Asked(rows, encoding, outputs, self.labels, self.head, self.temperature, notices)
        return self.task.predictions(asked)

    def notices(self, encoding: Encoding) -> list[tuple[str, ...]]:
        """What a person should know about each row: truncation, unknown tokens."""
        result: list[tuple[str, ...]] = []
        limit = self.backbone.max_length
        bound = self.backbone.options.max_unknown
        for cut, unknown, words in zip(encoding.truncated, encoding.unknown, encoding.words, strict=True):
            notes: list[str] = []
            if cut:
                notes.append(self.task.cut.format(limit=limit))
            if unknown > bound * max(int(words), 1):
                notes.append(f"{int(unknown)} of {int(words)} tokens are unknown to the backbone")
            result.append(tuple(notes))
        return result


def reads_of(task: Any) -> str:
    """What a task reads of a backbone: what its head sees, unless it makes that of something else."""
    return getattr(task, "reads", task.features)


def by_row(values: Any, rows: Sequence[NDArray[np.int64]], task: Any) -> list[Any]:
    """What was computed of a batch, row by row; of several tasks each row's by name."""
    if isinstance(values, Parts):
        each = {name: by_row(value, rows, task.tasks[name]) for name, value in values.items()}
        return [dict(zip(each, row, strict=True)) for row in zip(*each.values(), strict=True)]
    plain: NDArray[np.float32] = values.float().cpu().numpy()
    return list(plain) if task.features == "pooled" else unpadded(plain, rows)


def unpadded(values: NDArray[np.float32], rows: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
    """Values of padded pieces `(P, T, W)`: for each row of the tokens of its pieces `(T1 + T2 + …, W)`.

    Where there are half as many as pieces, they are of every second one: of what a decoder wrote.
    """
    lengths = [[len(piece) for piece in pieces_of(row)] for row in rows]
    if 2 * len(values) == sum(map(len, lengths)):
        lengths = [row[1::2] for row in lengths]
    piece = iter(values)
    return [np.concatenate([next(piece)[:length] for length in row]) for row in lengths]


def rows_of_all(parts: Sequence[NDArray[np.float32]], features: str) -> NDArray[np.float32]:
    """One matrix: of a line a row, or a line a token."""
    return np.stack(parts) if features == "pooled" else np.concatenate(parts)


def length_batches(lengths: Sequence[int], tokens: int = TOKENS_A_BATCH) -> Iterator[list[int]]:
    """Groups rows of like length: at most `ROWS_A_BATCH` rows and so many padded tokens."""
    batch: list[int] = []
    longest = 0
    for index in np.argsort(np.asarray(lengths), kind="stable")[::-1]:
        longest = max(longest, lengths[index])
        if batch and (len(batch) >= ROWS_A_BATCH or longest * (len(batch) + 1) > tokens):
            yield batch
            batch, longest = [], lengths[index]
        batch.append(int(index))
    if batch:
        yield batch


def assemble(
    recipe: Recipe, checkpoint: Checkpoint, labels: Labels, *, config_folder: Path | None = None, dropout: float = 0.0
) -> Model:
    """Joins what a recipe names.

    Args:
        recipe: The recipe; taken apart here, no entry sees it.
        checkpoint: The backbone's files.
        labels: The learned labels.
        config_folder: Where config and tokenizer are read from, if not from the checkpoint.
        dropout: Dropout probability; 0 for answering.

    Returns:
        The model, in evaluation mode, the method's parameters marked as moving.
    """
    torch.manual_seed(recipe.training.seed)
    cell = cell_of(recipe)
    backbone = BACKBONES.get(cell.family)(
        checkpoint, recipe.backbone, dropout=dropout, config_folder=config_folder, needs=needed(recipe)
    )
    method = METHODS.get(cell.method)(recipe.method)
    torch.manual_seed(recipe.training.seed)
    method.apply(backbone)
    task = task_of(recipe)
    task = task.on(backbone) if hasattr(task, "on") else task
    head = task.head(backbone.width, labels, dropout)
    model = Model(backbone, head, task, method, OBJECTIVES.get(cell.objective)(recipe.objective), labels)
    model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return model.eval()


def untuned(model: Model) -> Model:
    """The model before any method was applied: its backbone, read anew, without dropout.

    For a backbone that answers with its own head, whose parameters are the checkpoint's.

    Args:
        model: As assembled or loaded; it is not changed.

    Returns:
        A model of the same task, in evaluation mode, on the same device. Nothing of it moves.
    """
    own: Any = model.backbone
    kind = METHODS.get("none")
    backbone = type(own)(own.checkpoint, own.options, needs=SPEECH if own.speaks else frozenset())
    head = model.task.head(backbone.width, model.labels, 0.0)
    method = kind(kind.Options())
    found = Model(backbone, head, model.task, method, model.objective, model.labels)
    return found.requires_grad_(False).to(model.device).eval()
