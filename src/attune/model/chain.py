"""Entities and the relations between them: two bundles, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from attune.core.records import Prediction, Span
from attune.core.relations import DIRECTION
from attune.core.texts import FIRST
from attune.errors import BundleError
from attune.model.bundle import Bundle, load
from attune.model.rows import checked

Plain = tuple[int, int, str]
Fact = tuple[Plain, Plain, str]
"""Two entities, each as its begin, end and label, and what the first is to the second."""


@dataclass(frozen=True)
class Relation:
    """What one entity of a text is to another; both stand in the caller's text."""

    head: Span
    tail: Span
    label: str
    confidence: float | None

    @property
    def fact(self) -> Fact:
        """What it is told apart by."""
        head, tail = ((span.start, span.end, span.label) for span in (self.head, self.tail))
        return head, tail, self.label


@dataclass(frozen=True)
class Extraction:
    """The entities of a text, in its order, and the relations between them."""

    entities: tuple[Span, ...]
    relations: tuple[Relation, ...]
    notices: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `head` and `tail` of a relation are places in the list of entities."""
        place = {span: number for number, span in enumerate(self.entities)}
        return {
            "entities": [span.as_dict() for span in self.entities],
            "relations": [
                {
                    "head": place[found.head],
                    "tail": place[found.tail],
                    "label": found.label,
                    "confidence": None if found.confidence is None else round(found.confidence, 6),
                }
                for found in self.relations
            ],
            "notices": list(self.notices),
        }


class Chain:
    """A bundle that finds entities, and one that says what each is to each other.

    Args:
        entities: A bundle of the task `tagging`.
        relations: A bundle of the task `relation` with a label for no relation. It is asked about every two entities of
            a text, in both orders; of labels that name a direction, such as `Cause(e1,e2)`, the names in brackets in
            their alphabetical order mean that the first entity is the head.
        root: Where a backbone by relative folder name is looked up; default the current folder.

    Raises:
        BundleError: A bundle does not load, or is of another task, or no label stands for no relation.
    """

    def __init__(
        self, entities: str | Path | Bundle, relations: str | Path | Bundle, *, root: Path | None = None
    ) -> None:
        self.entities = of_task(entities, "tagging", root)
        self.relations = of_task(relations, "relation", root)
        options: Any = self.relations.recipe.task
        self.none: str = options.no_relation
        if not self.none or options.multi_label:
            raise BundleError(
                "it has no label for entities without a relation, and would relate every two of them",
                where=str(self.relations.path),
                expected="a bundle of the task relation, one label a row, with task.no_relation",
                remedy="train one with rows of entities that have nothing to do with each other",
            )

    def predict(self, rows: Sequence[str | Mapping[str, Any]]) -> list[Extraction]:
        """Finds entities and relations.

        Args:
            rows: Texts, or mappings with `text`.

        Returns:
            One extraction a row, in order.

        Raises:
            DataError: A row has no text; all such rows are listed.
        """
        texts = [row[FIRST] for row in checked(rows, self.entities.model.task.form)]
        found = self.entities.predict(texts)
        asked = [
            (number, head, tail)
            for number, prediction in enumerate(found)
            for head, tail in permutations(prediction.spans, 2)
        ]
        answers = self.relations.predict([question(texts[number], head, tail) for number, head, tail in asked])
        related: list[list[Relation]] = [[] for _ in texts]
        notices = [dict.fromkeys(prediction.notices) for prediction in found]
        for (number, head, tail), answer in zip(asked, answers, strict=True):
            notices[number] |= dict.fromkeys(answer.notices)
            if answer.answer != self.none:
                related[number].append(directed(head, tail, answer))
        return [
            Extraction(prediction.spans, tuple(once(own)), tuple(told))
            for prediction, own, told in zip(found, related, notices, strict=True)
        ]


def of_task(given: str | Path | Bundle, task: str, root: Path | None) -> Bundle:
    """A bundle, loaded, that must be of one task."""
    bundle = given if isinstance(given, Bundle) else load(given, root=root)
    if bundle.manifest.task != task:
        raise BundleError(
            f"a bundle of the task {bundle.manifest.task}", where=str(bundle.path), expected=f"one of the task {task}"
        )
    return bundle


def question(text: str, head: Span, tail: Span) -> dict[str, Any]:
    """The row that asks what an entity is to another."""
    return {FIRST: text, "entities": [{"start": s.start, "end": s.end, "label": s.label} for s in (head, tail)]}


def directed(head: Span, tail: Span, answer: Prediction) -> Relation:
    """An answer as a relation from head to tail, its direction taken out of the label."""
    label = str(answer.answer)
    found = DIRECTION.search(label)
    if found:
        names = [name.strip() for name in found.group().strip()[1:-1].split(",")]
        head, tail = (head, tail) if names == sorted(names) else (tail, head)
    return Relation(head, tail, DIRECTION.sub("", label), answer.confidence)


def once(relations: Sequence[Relation]) -> Iterator[Relation]:
    """Each relation once, by its surest answer, in the order of the text."""
    best: dict[Fact, Relation] = {}
    for found in sorted(relations, key=lambda one: -(one.confidence or 0.0)):
        best.setdefault(found.fact, found)
    yield from (best[fact] for fact in sorted(best))


def strict_f1(gold: Sequence[Sequence[Fact]], found: Sequence[Extraction]) -> dict[str, float]:
    """How good extractions are, end to end: a relation counts if both entities and the label are right.

    Both entities' begin, end and label must be, and the direction (the strict setting of Bekoulis et al. 2018).

    Args:
        gold: The relations of each text.
        found: What was extracted of it.

    Returns:
        `relation_f1`, `relation_precision` and `relation_recall`, over all texts; 0 where there is nothing to count.
    """
    pairs = [({*own}, {one.fact for one in given.relations}) for own, given in zip(gold, found, strict=True)]
    right = sum(len(own & given) for own, given in pairs)
    known, said = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    return {
        "relation_f1": 2 * right / (known + said) if known + said else 0.0,
        "relation_precision": right / said if said else 0.0,
        "relation_recall": right / known if known else 0.0,
    }
