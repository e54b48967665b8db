"""The main job: audit → train → calibrate → evaluate → pack."""

from __future__ import annotations

import json
import math
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from attune.backbones.checkpoints import Checkpoint
from attune.core.files import canonical, disk, read_json, whole_file, workplace
from attune.core.recipe import Recipe, Several, parse_toml
from attune.core.records import Prediction
from attune.core.texts import each, rows_of
from attune.data.parts import draw_parts
from attune.data.redaction import redact
from attune.data.splits import Splits, split
from attune.data.table import Table
from attune.errors import DataError, InterruptedRunError, RecipeError
from attune.evaluation.choice import Choice
from attune.evaluation.evaluate import Evaluation, evaluate
from attune.evaluation.report import report
from attune.lifecycle import drawn, joint, judge, resolve
from attune.lifecycle.backbone import ready, texts_read
from attune.lifecycle.begin import describe
from attune.lifecycle.candidates import Entrant, entrants, none_left, several, taking, why
from attune.lifecycle.card import card
from attune.lifecycle.choosing import ROWS, UNUSABLE, Choosing, choice_of
from attune.lifecycle.examine import examine
from attune.lifecycle.mining import Mined, mined, refuse_alone
from attune.lifecycle.worded import refuse_long, showing, word
from attune.model import bundle as bundles
from attune.model import witness
from attune.model.assemble import AXES, Model, assemble, cell_of, rewarded_figure, task_of
from attune.model.bundle import Bundle
from attune.model.rows import standing, told
from attune.tasks.common.labelled import Labels
from attune.training import checkpoint
from attune.training.encoded import SPANS, Encoded, encode, ground, prepare, refuse_lost
from attune.training.events import Events, Listener
from attune.training.loop import Loop, Place
from attune.training.optimiser import moving
from attune.training.reference import refer
from attune.training.trackers import tracking


@dataclass(frozen=True)
class Surroundings:
    """What a run is handed from outside: who listens, the clock, and whether to stop."""

    listeners: tuple[Listener, ...] = ()
    clock: Callable[[], float] = time.time
    stopping: Callable[[], str] = field(default=lambda: "")


class Run:
    """One training in its folder.

    Args:
        folder: The run's folder.
        recipe: The recipe, as given or, for a resume, as resolved.
        root: The data root.
        around: Listeners, clock, signals.
    """

    def __init__(self, folder: Path, recipe: Recipe, root: Path, around: Surroundings) -> None:
        self.folder = folder
        self.recipe = recipe
        self.root = root
        self.around = around
        self.events = Events(folder / "events.jsonl", around.clock, around.listeners)
        self.notices: list[str] = []
        self.choice: Choice | None = None
        self.begun = around.clock()
        self.parent: str | None = None

    def go(self) -> Bundle:
        """Does the whole job.

        Returns:
            The bundle, loaded and verified from disk.
        """
        found = entrants(self.recipe, self.root)
        splits = self._data()
        task = task_of(self.recipe)
        labels = task.labels(splits.train.golds())
        if splits.test and hasattr(task, "check"):
            task.check(splits.test.golds(), "data.test")
        if splits.validation and (unseen := task.unseen(splits.validation.golds(), labels)):
            raise unseen_labels(unseen)
        refuse_unmeasured(self.recipe, task, splits.validation)
        refuse_unjudgeable(task, splits)
        # before backbones are compared: they are asked as the run will ask
        self._show(task, splits.train, labels)
        files = self._backbone(found, splits, task, labels)
        known = resolve.Known(splits.fingerprints, files.sha256, task.form)
        self.recipe = resolve.before_model(self.recipe, known)
        torch.set_num_threads(self.recipe.training.threads)
        model = assemble(self.recipe, files, labels, dropout=self.recipe.training.dropout)
        if hasattr(task, "learn"):
            model.task = model.task.knowing(json.loads(canonical(task.learn(splits.train.golds()))))
        refuse_long(model, splits.train)
        rows = encode(model, self._mined(model, splits.train), self.folder / "train.ids")
        prepare(model, rows)
        refer(model, rows, self.folder / "train.reference.safetensors")
        ground(model, rows, splits.train, self.folder / "train.grounds")
        self._resolve(model, rows)
        # not before: a longer validation row is read as every other row will be, now that the length is settled
        held = encode(model, splits.validation, self.folder / "validation.ids") if splits.validation else None
        if held is not None:
            refer(model, held, self.folder / "validation.reference.safetensors")
        self._start(model, rows)
        self._tune(model, rows, held, splits)
        return self._finish(model, held, splits)

    def _data(self) -> Splits:
        options = self.recipe.data
        task = task_of(self.recipe)
        splits = split(options, self.root, self.folder / "data", form=task.form)
        self.notices += splits.notices
        examine(splits, options, self.events)
        return splits

    def _backbone(self, found: list[Entrant], splits: Splits, task: Any, labels: Labels) -> Checkpoint:
        """The recipe's backbone, or the best of its candidates, which the recipe then names."""
        if several(self.recipe):
            torch.set_num_threads(self.recipe.training.threads or resolve.threads_here())
            place = Place(self.folder, self.events, self.around.stopping)
            sample = draw_parts(splits.train, ROWS, self.recipe.training.seed)
            choosing = Choosing(self.recipe, task, labels, sample, splits.digest, place, self.around.clock)
            self.choice = choosing.go(found)
            self.recipe = taking(self.recipe, self.choice.chosen)
            found = [each for each in found if each.name == self.choice.chosen]
        elif (kept := choice_of(self.folder)).is_file():
            self.choice = Choice.from_dict(read_json(kept))
        assert found[0].checkpoint
        made = ready(
            self.recipe,
            found[0].checkpoint,
            self.root,
            self.folder / "backbone",
            partial(texts_read, task, splits.train),
        )
        self.recipe, self.parent = made.recipe, made.parent
        self.notices += made.notices
        if made.notices:
            self.events.write("backbone", told=made.notices)
        return made.checkpoint

    def _mined(self, model: Model, train: Table) -> Table | Mined:
        """The training rows; where the task asks for it, with near texts that do not belong to them."""
        refuse_alone(self.recipe.training, model.task, train)
        if not getattr(getattr(model.task, "options", None), "negatives", 0):
            return train
        family = self.recipe.backbone.family  # pyright: ignore[reportAttributeAccessIssue] every family has it
        embed = partial(judge.embedder, model.backbone.checkpoint, family)
        found = mined(train, model.task.options, embed, self.folder / "negatives.safetensors")
        self.events.write("mined", rows=len(train), negatives=found.count, fewer=found.fewer)
        if found.fewer:
            self.notices.append(
                f"{found.fewer} of {len(train)} training rows have fewer mined negatives than asked for"
            )
        return found

    def _resolve(self, model: Model, rows: Encoded) -> None:
        name = model.backbone.checkpoint.name
        notice = resolve.refuse_unknown(self.recipe, rows, name)
        if rows.truncated:
            self.notices.append(
                f"{rows.truncated} of {len(rows)} training rows are longer than {name} reads and were cut"
            )
        lost = [refuse_lost(own, where, getattr(task, "lost", SPANS)) for own, where, task in read_of(model, rows)]
        self.notices += [told for told in (notice, *lost, *unknown_golds(rows, "training")) if told]
        if not (self.folder / "recipe.toml").is_file():
            length = getattr(self.recipe.backbone, "max_length", 0) or resolve.max_length(
                rows.longest, model.backbone.limit
            )
            self.recipe = self.recipe.having("backbone", max_length=length)
            self.recipe, measured = resolve.after_encoding(self.recipe, model, rows)
            self.events.write("resolved", **measured)
        model.backbone.options = self.recipe.backbone

    def _start(self, model: Model, rows: Encoded) -> None:
        target, start = self.folder / "recipe.toml", self.folder / "start"
        solve = self.recipe.training.start == "probe" and solvable(model)
        if model.describable:
            self._describe(model, rows)
        elif model.worded:
            self._word(model, rows)
        elif solve and start.is_dir():
            checkpoint.load_weights(start, model)
        elif solve:
            self.events.write("probe", rows=len(rows))
            self.recipe = resolve.solve(self.recipe, model, rows)
            checkpoint.save_weights(start, model)
        if not target.is_file():
            with whole_file(target) as path:
                path.write_text(self.recipe.toml(), encoding="utf-8")

    def _describe(self, model: Model, rows: Encoded) -> None:
        found = describe(model, rows, self.recipe.training.seed)
        told = zip(model.labels.names, model.task.descriptions(model.labels), strict=True)
        self.recipe = self.recipe.having("task", descriptions=dict(told))
        self.notices += found.notices
        self.events.write(
            "described", labels=len(model.labels.names), texts=found.texts, shots=found.rows, balanced=found.unlabelled
        )

    def _show(self, task: Any, train: Table, labels: Labels) -> None:
        if hasattr(task, "read_options"):
            self.recipe = showing(self.recipe, task, train, labels)

    def _word(self, model: Model, rows: Encoded) -> None:
        found = word(model, rows, self.recipe.training.seed)
        self.recipe = self.recipe.having("task", **found.options)
        self.notices += found.notices
        self.events.write(
            "worded", words=found.options["verbalisers"], searched=found.searched, balanced=found.unlabelled
        )

    def _tune(self, model: Model, rows: Encoded, held: Encoded | None, splits: Splits) -> None:
        options = self.recipe.training
        _, higher = model.task.metric(options.metric)
        measure = None
        if held is not None and splits.validation:
            measure = partial(validation_metrics, model, held, splits.validation, options.metric)
        place = Place(self.folder, self.events, self.around.stopping)
        if not model.method.trains:
            self._stay(measure)
            return
        with tracking(options.trackers, self.folder, self.recipe) as listener:
            self.events.listen(listener)
            Loop(model, rows, options, place, measure, higher).run()

    def _stay(self, measure: Callable[[], dict[str, float]] | None) -> None:
        name = cell_of(self.recipe).method
        self.notices.insert(0, f"nothing was trained (method {name}): the head answers as it began")
        self.events.write("untrained", method=name)
        if measure:
            found = measure()
            told = {f"validation_{key}": figure for key, figure in found.items()}
            self.events.write("validation", epoch=0, step=0, best=found[self.recipe.training.metric], **told)

    def _finish(self, model: Model, held: Encoded | None, splits: Splits) -> Bundle:
        if held is not None:
            judge.calibrate(model, held)
        if splits.validation and hasattr(model.task, "settle"):
            self._settle(model, splits.validation)
        table, kind = (splits.test, "test") if splits.test else (splits.validation, "validation")
        evaluation = self._evaluate(model, splits, table, kind) if table else None
        source = table or splits.train
        kept = self.recipe.evaluation.witness == "redacted"
        witnesses = witness.choose(source.rows(0, 5000), model.task.form) if kept else []
        target = self.folder / "bundle"
        digest = bundles.pack(
            target,
            model,
            self.recipe,
            metrics=headline(evaluation),
            lineage={
                "parent": self.parent,
                "data": dict(self.recipe.data.fingerprints),
                "splits": splits.digest,
                "rows": {"train": len(splits.train), "validation": size(splits.validation), "test": size(splits.test)},
                "measured_on": kind if evaluation else "nothing",
            },
            witness_rows=model.task.questions(witnesses) if hasattr(model.task, "questions") else witnesses,
            documents={"evaluation.json": evaluation.as_dict()} if evaluation else {},
            outside=self._outside(model, evaluation, kind),
        )
        self.events.write("packed", bundle=str(target), digest=digest)
        return bundles.load(target, root=self.root)

    def _settle(self, model: Model, table: Table) -> None:
        """What a task chooses on rows that were not trained on goes into the resolved recipe."""
        found = model.task.settle(lambda: judge.predicted(model, table), table.golds(), model.labels)
        if found:
            self.recipe = self.recipe.having("task", **found)
            model.task = task_of(self.recipe)
            self.events.write("settled", **found)

    def _evaluate(self, model: Model, splits: Splits, table: Table, kind: str) -> Evaluation:
        self.events.write("evaluating", rows=len(table), split=kind)
        last = ["there are no test rows: these figures are of the validation rows, on which choices were made"]
        last = last if kind == "validation" else []
        options, name = self.recipe.evaluation, known_as(self.recipe, model)
        if model.parts():
            with workplace(self.folder) as scratch:
                told = [*self.notices, *last]
                return joint.evaluated(model, table, name, scratch, options=options, notices=told, train=splits.train)
        judged = judge.judge(model, table, name)
        others, left_out = judge.shown_beside(model, splits.train, judged, options)
        return evaluate(
            judged.answers,
            [each(redact, text) for text in judged.texts],
            judged.ids,
            baselines=others,
            options=options,
            notices=[*self.notices, *left_out, *last],
        )

    def _outside(self, model: Model, evaluation: Evaluation | None, kind: str) -> dict[str, str]:
        events = self.events.read()
        facts = run_facts(model, self.around.clock() - self.begun)
        notices = [*self.notices, *(self.choice.notices if self.choice else [])]
        run = {
            "data_root": str(self.root.resolve()),
            "seconds": facts["seconds"],
            "facts": facts,
            "notices": notices,
            "backbones": self.choice.as_dict() if self.choice else None,
        }
        result = {"run.json": canonical(run), "card.md": card(self.recipe, model, evaluation, kind, notices)}
        if evaluation:
            shown = {
                "measured on": f"{kind} rows",
                **{key.replace("_", " "): str(value) for key, value in facts.items()},
            }
            result["report.html"] = report(
                evaluation,
                title=f"{cell_of(self.recipe).task}: {evaluation.name} on {model.backbone.checkpoint.name}",
                recipe_toml=self.recipe.toml(),
                history=history(events),
                facts=shown,
                choice=self.choice,
            )
        return result


def refuse_unmeasured(recipe: Recipe, task: Any, validation: Table | None) -> None:
    """Stops where epochs are to be chosen by what cannot be measured of the validation rows."""
    metric = recipe.training.metric or rewarded_figure(recipe)
    if validation and hasattr(task, "unmeasured") and (lacking := task.unmeasured(metric, validation.golds())):
        raise DataError(
            f"no validation row has {lacking}, and epochs are chosen by {metric}",
            where="training.metric",
            expected=f"validation rows that have {lacking}, or another metric",
            remedy="name another in training.metric",
        )
    name, dot, _ = recipe.training.metric.partition(".")
    if not (isinstance(recipe.task, Several) and validation and dot):
        return
    if all(gold[name] is None for gold in validation.golds()):
        raise DataError(
            f"no validation row has gold for {name}, and epochs are chosen by {recipe.training.metric}",
            where="training.metric",
            expected="a task that some validation rows have gold for",
            remedy="choose by mean, or name a file of rows that have it as data.validation",
        )


def refuse_unjudgeable(task: Any, splits: Splits) -> None:
    """Stops before training where a task that is judged by rows together could not be judged after it."""
    if hasattr(task, "judgeable"):
        for where, table in (("data.test", splits.test), ("data.validation", splits.validation)):
            if table:
                task.judgeable([row for batch in table.batches(judge.CHUNK) for row in standing(task, batch)], where)


def solvable(model: Model) -> bool:
    """Whether its head can be solved; of several tasks', whether any."""
    parts = model.parts().values()
    return any(part.solvable for part in parts) if parts else model.solvable


def read_of(model: Model, rows: Encoded) -> list[tuple[Encoded, str, Any]]:
    """The rows as each task learns from them, where that is, and the task."""
    where = "the training rows"
    if not rows.parts:
        return [(rows, where, model.task)]
    return [(own, f"{where}, {name}", model.task.tasks[name]) for name, own in rows.parts.items()]


def unknown_golds(rows: Encoded, kind: str) -> list[str]:
    """How many rows teach only some of several tasks, a sentence a task that misses gold."""
    counted = {name: int((~there).sum()) for name, there in rows.there.items()}
    return [
        f"{count:,} of {len(rows):,} {kind} rows have no gold for {name} and teach only the other tasks"
        for name, count in counted.items()
        if count
    ]


def known_as(recipe: Recipe, model: Model) -> str:
    """What to call a model in tables: its method, or its head where nothing was trained."""
    cell = cell_of(recipe)
    return cell.method if model.method.trains else f"{cell.head}, untrained"


def unseen_labels(unseen: list[str]) -> DataError:
    """The error for validation rows with labels that no training row has."""
    return DataError(
        f"{len(unseen)} label(s) occur in the validation rows and in no training row: {', '.join(unseen[:10])}",
        where="data.validation",
        expected="labels that can be learned",
        remedy="mend the spelling (`attune audit` lists likely typos), or move such rows to the training file",
    )


def validation_metrics(model: Model, held: Encoded, table: Table, wanted: str) -> dict[str, float]:
    """The task's metrics and the mean loss on the validation rows, in one pass; no temperature is at work yet.

    Where texts are generated, which takes long, that is done for a metric that asks for it alone.
    """
    if not model.task.form.labelled:
        return model.task.metrics(drawn.scores(model, table, "validation"))
    if model.objective.pairs:
        return judge.compared(model, held, table)
    if hasattr(model.task, "tell"):
        return judge.written(model, held, table, wanted)
    outputs = model.outputs(held.rows(range(len(held))))
    total, weight = judge.loss_of(model, held, outputs)
    predictions: list[Prediction] = []
    for batch in table.batches(judge.CHUNK):
        rows = rows_of(batch, model.task.form.fields)
        rows = told(model.task, rows, batch)
        done = len(predictions)
        predictions += model.decode(rows, model.encode(rows), outputs[done : done + len(rows)])
    task = model.task.unsettled() if hasattr(model.task, "unsettled") else model.task
    answers = task.judged("validation", predictions, table.golds(), model.labels)
    return {**task.metrics(answers), "loss": total / weight}


def headline(evaluation: Evaluation | None) -> dict[str, dict[str, float]]:
    """Figures for the manifest: value, low, high."""
    if evaluation is None:
        return {}
    return {
        name: {"value": round(found.value, 6), "low": round(found.low, 6), "high": round(found.high, 6)}
        for name, found in evaluation.metrics.items()
    }


def size(table: Table | None) -> int:
    """Rows of a table that may not be there."""
    return len(table) if table else 0


def run_facts(model: Model, seconds: float) -> dict[str, Any]:
    """What a run cost: seconds, peak memory, parameters moved."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    moved = sum(parameter.numel() for _, parameter in moving(model))
    return {
        "seconds": round(seconds, 1),
        "peak_memory_mib": round(peak / 2**20),
        "moved_parameters": moved,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def history(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row an epoch: training loss, and what was measured on the validation rows."""
    rows: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["event"] in ("epoch", "validation"):
            kept = {key: value for key, value in event.items() if key not in ("event", "time", "best")}
            rows.setdefault(event["epoch"], {}).update(kept)
    return [rows[epoch] for epoch in sorted(rows)]


def plan(recipe: Recipe, root: Path) -> dict[str, Any]:
    """What a run would do, without doing it.

    Args:
        recipe: The recipe.
        root: The data root.

    Returns:
        The combination, rows a split, labels, steps and what would move, by a person's words; by candidate, where
        backbones will be compared and the answer is not the same for all.
    """
    found = entrants(recipe, root)
    task = task_of(recipe)
    with tempfile.TemporaryDirectory() as scratch:
        splits = split(recipe.data, root, Path(scratch), form=task.form)
        labels = task.labels(splits.train.golds())
        notices = splits.notices
        if not several(recipe) and found[0].checkpoint:
            texts = partial(texts_read, task, splits.train)
            made = ready(recipe, found[0].checkpoint, root, Path(scratch) / "backbone", texts)
            recipe, found = made.recipe, [Entrant(found[0].name, made.checkpoint)]
            notices = [*notices, *made.notices]
        usable, unusable = planned(found, recipe, labels, splits.train)
        return {
            "combination": str(cell_of(recipe)),
            **backbones_planned([each for each in found if each.name in usable], unusable, recipe, len(splits.train)),
            "rows": {name: len(table) for name, table in splits.tables().items()},
            "labels": len(labels.names),
            **together(usable),
            "notices": notices,
        }


def planned(
    found: Sequence[Entrant], recipe: Recipe, labels: Labels, table: Table
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What would move on each backbone, and why there is nothing to say of others; both by name."""
    usable: dict[str, dict[str, Any]] = {}
    unusable = {entrant.name: entrant.reason for entrant in found if not entrant.checkpoint}
    for entrant in found:
        try:
            if entrant.checkpoint:
                chosen = taking(recipe, entrant.name) if several(recipe) else recipe
                usable[entrant.name] = moves(entrant.checkpoint, chosen, labels, table)
        except UNUSABLE as error:
            if not several(recipe):
                raise
            unusable[entrant.name] = why(error)
    if not usable:
        raise none_left(list(unusable.items()))
    return usable, unusable


def backbones_planned(
    usable: Sequence[Entrant], unusable: Mapping[str, str], recipe: Recipe, rows: int
) -> dict[str, Any]:
    """The backbone of a plan, or its candidates and how they will be compared."""
    known = {each.name: each.checkpoint.sha256[:12] for each in usable if each.checkpoint}
    if not several(recipe):
        ((name, digest),) = known.items()
        return {"backbone": f"{name} ({digest})"}
    told = f"the best of {len(usable) + len(unusable)} candidates, by a linear probe cross-validated on"
    told += f" {min(ROWS, rows):,} training rows before anything is tuned"
    return {"backbone": told, "candidates": known, **({"not usable": dict(unusable)} if unusable else {})}


def moves(checkpoint: Checkpoint, recipe: Recipe, labels: Labels, table: Table) -> dict[str, Any]:
    """Steps, rates and parameters of a run on one backbone; of a text that is written, what is learned of a row."""
    model = assemble(recipe, checkpoint, labels)
    options = recipe.training
    still = not model.method.trains or (options.start == "probe" and resolve.solved(model))
    steps = math.ceil(math.ceil(learned(model, table) / options.batch_size) / options.accumulation)
    rates = resolve.rates(options, model)
    facts = run_facts(model, 0.0)
    return {
        "steps": 0 if still else steps * options.epochs,
        "learning rate": rates["learning_rate"],
        "head learning rate": rates["head_learning_rate"],
        "moved parameters": facts["moved_parameters"],
        "parameters": facts["parameters"],
        **(example(model, next(table.batches(1))) if hasattr(model.task, "shown") else {}),
    }


def learned(model: Model, table: Table) -> int:
    """How many things are learned from: rows, or the blocks that rows without labels are packed into."""
    if model.task.form.labelled:
        return len(table)
    with tempfile.TemporaryDirectory() as scratch:
        return len(encode(model, table, Path(scratch) / "ids"))


def example(model: Model, first: Mapping[str, Any]) -> dict[str, str]:
    """The first training row as the backbone reads it, with what is learned of it marked."""
    (row,) = rows_of(first, model.task.form.fields)
    return {"first row, ⟦what is learned⟧": model.task.shown(row, first["gold"][0])}


def together(plans: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Each figure once where it is the same for all, else by name."""
    result: dict[str, Any] = {}
    for key in next(iter(plans.values())):
        values = {name: plan[key] for name, plan in plans.items()}
        same = len(set(values.values())) == 1
        result[key] = next(iter(values.values())) if same else values
    return result


def train(recipe: Recipe, root: Path, out: Path, around: Surroundings | None = None) -> Bundle:
    """Trains a recipe in a new run folder.

    Args:
        recipe: The recipe.
        root: Folder that file names in it are relative to.
        out: The run's folder; must not hold a run.
        around: Listeners, clock and signals.

    Returns:
        The bundle at `out/bundle`.

    Raises:
        RecipeError: `out` is taken.
    """
    if out.exists() and any(out.iterdir()):
        raise RecipeError(
            f"{out} is not empty",
            where="--out",
            expected="a new folder",
            remedy=f"choose another, or go on with --resume {out}",
        )
    entrants(recipe, root)
    with disk(out):
        out.mkdir(parents=True, exist_ok=True)
        with whole_file(out / "start.json") as path:
            path.write_text(canonical({"data_root": str(root.resolve()), "recipe": recipe.toml()}), encoding="utf-8")
        return attempt(Run(out, recipe, root, around or Surroundings()))


def attempt(run: Run) -> Bundle:
    """Runs; a failure before the first step leaves no folder behind, a signal leaves what can be gone on with."""
    try:
        return run.go()
    except InterruptedRunError:
        raise
    except Exception:
        if not (run.folder / "recipe.toml").is_file():
            shutil.rmtree(run.folder, ignore_errors=True)
        raise


def resume(folder: Path, around: Surroundings | None = None) -> Bundle:
    """Goes on with a run that was stopped or killed.

    Args:
        folder: The run's folder.
        around: Listeners, clock and signals.

    Returns:
        The bundle at `folder/bundle`; the same as if the run had never stopped.

    Raises:
        RecipeError: There is no run in that folder.
    """
    start = folder / "start.json"
    if not start.is_file():
        raise RecipeError(
            "no run there to resume", where=str(folder), expected="the folder of an earlier `attune train --out`",
            remedy="start one with `attune train RECIPE --out FOLDER`",
        )  # fmt: skip
    if (folder / "bundle" / "manifest.json").is_file():
        return bundles.load(folder / "bundle", root=Path(read_json(start)["data_root"]))
    begun = read_json(start)
    resolved = folder / "recipe.toml"
    text = resolved.read_text(encoding="utf-8") if resolved.is_file() else begun["recipe"]
    recipe = parse_toml(text, AXES, where=str(resolved))
    with disk(folder):
        return Run(folder, recipe, Path(begun["data_root"]), around or Surroundings()).go()
