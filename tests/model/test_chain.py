"""Entities by one bundle, relations between them by another: spans in the caller's text, strict F1 end to end."""

import json

import pytest

import attune
from attune.core.records import Prediction, Span
from attune.errors import BundleError, DataError
from attune.lifecycle.train import train
from attune.model.chain import Extraction, Relation, directed, once, strict_f1
from support.bundles import TOPICS, recipe, write_rows
from tasks.test_relation import made_up

KIND = {word: kind for kind, words in TOPICS.items() for word in words.split()}
TURNED = {"of(a,b)": "of(b,a)", "of(b,a)": "of(a,b)", "none": "none"}
TASK = {"name": "relation", "markers": ["red", "blue"], "type_markers": ["one", "two"], "no_relation": "none"}


def rows(count, seed):
    """The rows of relations with a label for each entity: the topic of its word."""
    found = made_up(count, seed)
    for row in found:
        for entity in row["entities"]:
            entity["label"] = KIND[row["text"][entity["start"] : entity["end"]]]
    return found


def fact(row):
    """The relations of a row."""
    first, second = ((e["start"], e["end"], e["label"]) for e in row["entities"])
    return {"of(a,b)": [(first, second, "of")], "of(b,a)": [(second, first, "of")], "none": []}[row["label"]]


@pytest.fixture(scope="module")
def parts(workshop):
    """A bundle that tags the words of topics, and one that relates them, trained on both orders of each pair."""
    given = rows(150, 0)
    write_rows(workshop.root / "chain-spans.jsonl", [{"text": r["text"], "label": r["entities"]} for r in given])
    both = [
        each for r in given for each in (r, {**r, "entities": r["entities"][::-1], "label": TURNED[r["label"]]})
    ]  # fmt: skip
    write_rows(workshop.root / "chain-relations.jsonl", both)
    training = {"epochs": 6, "learning_rate": 3e-3, "head_learning_rate": 3e-2}
    tables = {"backbone": {"max_unknown": 0.5}, "method": {"name": "full"}, "training": training}
    made = []
    for name, task in (("spans", {"name": "tagging"}), ("relations", TASK)):
        wanted = recipe(data={"train": f"chain-{name}.jsonl"}, task=task, **tables)
        made.append(train(wanted, workshop.root, workshop.root / "chain" / name))
    return made


def test_entities_and_relations_of_new_texts(parts, workshop):
    chain = attune.chain(*(bundle.path for bundle in parts), data_root=workshop.root)
    fresh = rows(60, 9)
    found = chain.predict([row["text"] for row in fresh])
    for row, one in zip(fresh, found, strict=True):
        spans = [*one.entities, *(span for relation in one.relations for span in (relation.head, relation.tail))]
        assert all(row["text"][span.start : span.end] == span.text for span in spans)
    figures = strict_f1([fact(row) for row in fresh], found)
    assert figures["relation_f1"] > 0.8, figures
    plain = next(one for one in found if one.relations).as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert {plain["relations"][0]["head"], plain["relations"][0]["tail"]} <= {*range(len(plain["entities"]))}
    assert chain.predict([fresh[0]["text"]])[0].as_dict()["entities"] == found[0].as_dict()["entities"]
    assert chain.predict(["please help me"])[0].relations == ()
    with pytest.raises(DataError):
        chain.predict([""])


def test_bundles_in_the_wrong_place_are_refused(parts, workshop):
    spans, related = parts
    with pytest.raises(BundleError, match="a bundle of the task relation"):
        attune.chain(related, related)
    with pytest.raises(BundleError, match="a bundle of the task classification"):
        attune.chain(spans, workshop.bundle())


A, B = Span(0, 1, "x", "a"), Span(4, 5, "y", "b")


def test_a_direction_in_a_label_is_told_by_head_and_tail():
    assert directed(A, B, Prediction("of(e1,e2)", 0.7)) == Relation(A, B, "of", 0.7)
    assert directed(A, B, Prediction("of(e2,e1)", 0.7)) == Relation(B, A, "of", 0.7)
    assert directed(B, A, Prediction("of", 0.7)) == Relation(B, A, "of", 0.7)
    asked_twice = [Relation(A, B, "of", 0.6), Relation(A, B, "of", 0.9), Relation(B, A, "of", 0.1)]
    assert list(once(asked_twice)) == [Relation(A, B, "of", 0.9), Relation(B, A, "of", 0.1)]


def test_strict_f1_by_hand():
    """Three gold relations; four found: one right, one turned round, one of another label, one of another type."""
    a, b, c = (0, 1, "x"), (4, 5, "y"), (0, 1, "z")
    gold = [[(a, b, "of"), (b, a, "in")], [(a, b, "of")], []]
    told = Span(0, 1, "z", "a")
    found = [
        Extraction((A, B), (Relation(A, B, "of", None), Relation(B, A, "of", None))),
        Extraction((A, B), (Relation(B, A, "of", None),)),
        Extraction((told, B), (Relation(told, B, "of", None),)),
    ]
    assert found[2].relations[0].fact == (c, b, "of")
    assert strict_f1(gold, found) == {
        "relation_f1": pytest.approx(2 / 7), "relation_precision": 1 / 4, "relation_recall": 1 / 3
    }  # fmt: skip
    assert strict_f1([[]], [Extraction((), ())])["relation_f1"] == 0.0
