"""Two entities of a text with a label: markers, windows around them, direction, and every command."""

import json
import random

import numpy as np
import pytest

from answers import single
from attune.backbones.checkpoints import fetch
from attune.backbones.text import Text, TextOptions
from attune.compression.export import to_transformers
from attune.core.packing import ids_of, marks_of
from attune.core.records import Answers
from attune.core.relations import Relations
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.evaluation.intervals import intervals, paired
from attune.lifecycle.train import train
from attune.model.assemble import Cell, check, why_not
from attune.model.bundle import load
from attune.tasks.metrics import DIRECTED, classification_metrics
from attune.tasks.relation import HEAD, TAIL, Relation, RelationOptions, entities_of
from support.bundles import FILLER, TOPICS, recipe, write_rows

TASK = {"name": "relation", "markers": ["red", "blue"], "type_markers": ["one", "two"], "no_relation": "none"}
TEXT = "Bill was born in Seattle"
BILL, SEATTLE = {"start": 0, "end": 4, "label": "PERSON"}, {"start": 17, "end": 24, "label": "big_city"}


def made_up(count=90, seed=0):
    """`of(a,b)` where a word of delivery is asked of one of refund, `of(b,a)` the other way round, else `none`."""
    draw = random.Random(seed)
    rows = {}
    while len(rows) < count:
        kinds = [["delivery", "refund"], ["refund", "delivery"], ["account", "account"]][len(rows) % 3]
        first, second = (draw.choice(TOPICS[kind].split()) for kind in kinds)
        before, between = (" ".join(draw.sample(FILLER, 3)) for _ in range(2))
        text = f"{before} {first} {between} {second}"
        ends = len(before) + 1, len(text) - len(second)
        entities = [{"start": at, "end": at + len(word)} for at, word in zip(ends, (first, second), strict=True)]
        label = ["of(a,b)", "of(b,a)", "none"][len(rows) % 3]
        rows.setdefault(text, {"text": text, "entities": entities, "label": label})
    return list(rows.values())


@pytest.fixture(scope="module")
def relations(workshop):
    """A bundle, trained once."""
    write_rows(workshop.root / "relations.jsonl", made_up())
    wanted = recipe(
        data={"train": "relations.jsonl"}, task=TASK, evaluation={"baselines": ["majority", "tfidf", "zero_shot"]}
    )
    return train(wanted, workshop.root, workshop.root / "relations")


@pytest.fixture(scope="module")
def tiny(workshop):
    """A tiny backbone that reads 24 tokens."""
    return Text(fetch("tiny", workshop.root), TextOptions(max_length=24)).eval()


def marked(options=None, entities=(BILL, SEATTLE), text=TEXT):
    return Relation(RelationOptions(**(options or {}))).marked({"text": text, "entities": list(entities)}).text


def test_markers_stand_around_both_entities_with_their_types_in_words():
    assert marked() == "@ * person * Bill @ was born in # ^ big city ^ Seattle #"
    assert marked({"typed": False}) == "@ Bill @ was born in # Seattle #"
    assert marked(entities=(SEATTLE, {**BILL, "label": ""})) == "# Bill # was born in @ * big city * Seattle @"


def test_markers_keep_a_space_on_either_side_where_the_text_has_none():
    assert marked({"typed": False}, [BILL, {"start": 4, "end": 6}], "Bill's") == "@ Bill @ # 's #"
    chinese = [{"start": 0, "end": 2}, {"start": 3, "end": 5}]
    assert marked({}, chinese, "张三在北京。") == "@ 张三 @ 在 # 北京 # 。"


def read(backbone, row, **options):
    return Relation(RelationOptions(**{"markers": ("red", "blue"), "typed": False, **options})).read(backbone, [row])


def between(gap, before=0, after=0):
    """A text with so many words before, between and after its entities."""
    words = ["to"] * before + ["parcel"] + ["the"] * gap + ["refund"] + ["my"] * after
    text = " ".join(words)
    places = [text.index("parcel"), text.index("refund")]
    return {"text": text, "entities": [{"start": at, "end": at + 6, "label": ""} for at in places]}


def test_the_first_token_of_each_marker_is_marked(tiny):
    encoding = read(tiny, between(3))
    tokens = tiny.tokenizer.convert_ids_to_tokens(ids_of(encoding.ids[0]).tolist())
    marks = marks_of(encoding.ids[0])
    assert [(tokens[at], marks[at]) for at in np.flatnonzero(marks)] == [("red", HEAD), ("blue", TAIL)]
    assert tokens[np.flatnonzero(marks == HEAD)[0] + 1] == "parcel"


@pytest.mark.parametrize(
    ("gap", "before", "after", "between_them"),
    [(3, 40, 40, 3), (3, 0, 60, 3), (3, 60, 0, 3), (12, 9, 9, 12), (40, 9, 9, 8), (90, 0, 0, 16)],
)
def test_a_long_text_is_read_around_its_entities(tiny, gap, before, after, between_them):
    encoding = read(tiny, between(gap, before, after))
    tokens = tiny.tokenizer.convert_ids_to_tokens(ids_of(encoding.ids[0]).tolist())
    assert len(tokens) == 24 and encoding.truncated.tolist() == [True] and encoding.longest == 24
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
    assert [mark for mark in marks_of(encoding.ids[0]) if mark] == [HEAD, TAIL]
    text = " ".join(tokens)
    assert "red parcel red" in text and "blue refund blue" in text
    assert text.count("the") == between_them, "what lies between comes first, where all of it fits"


def test_what_fits_is_read_whole(tiny):
    encoding = read(tiny, between(10, 3, 3))
    assert encoding.truncated.tolist() == [False] and len(encoding.ids[0]) == 24


def test_markers_that_the_tokenizer_does_not_know_are_refused(tiny):
    with pytest.raises(RecipeError, match=r"does not know '§', '¤'") as caught:
        read(tiny, between(3), markers=("§", "¤"))
    assert "task.markers" in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ([BILL], "no list of two entities"),
        ("Bill", "no list of two entities"),
        ("[1,", "not JSON"),
        ([BILL, 3], "3 where a span"),
        ([BILL, {"start": 17}], "not whole numbers"),
        ([BILL, {"start": 17, "end": 90}], "the span 17–90 does not lie in the text of 24 characters"),
        ([BILL, {"start": 2, "end": 8}], r"the spans 0–4 \(PERSON\) and 2–8 overlap"),
        ([BILL, {"start": 17, "end": 24, "text": "Boston"}], "says 'Boston' and the text there is 'Seattle'"),
        ([BILL, {"start": 4, "end": 5}], "nothing but space"),
    ],
)
def test_entities_that_do_not_fit_are_named(cell, told):
    with pytest.raises(ValueError, match=told):
        entities_of(cell, {"text": TEXT})


def test_entities_come_as_json_text_too():
    found = entities_of(json.dumps([SEATTLE, {"start": 0, "end": 4, "text": "Bill"}]), {"text": TEXT})
    assert found == [SEATTLE, {"start": 0, "end": 4, "label": ""}]


def test_bad_rows_are_listed_by_line(workshop, tmp_path):
    rows = made_up(6)
    rows[2]["entities"][1]["end"] = 999
    del rows[4]["entities"][0]["start"]
    write_rows(tmp_path / "bad.jsonl", rows)
    with pytest.raises(DataError) as caught:
        train(recipe(data={"train": str(tmp_path / "bad.jsonl")}, task=TASK), workshop.root, tmp_path / "out")
    assert [problem.where.rsplit(":", 1)[1] for problem in caught.value.problems] == ["3", "5"]
    assert [problem.field for problem in caught.value.problems] == ["entities", "entities"]


def test_a_label_of_no_relation_must_be_there(workshop, tmp_path):
    wanted = recipe(data={"train": "relations.jsonl"}, task={**TASK, "no_relation": "nothing"})
    write_rows(workshop.root / "relations.jsonl", made_up())
    with pytest.raises(DataError, match=r"no training row has the label 'nothing'"):
        train(wanted, workshop.root, tmp_path / "out")


def test_a_bundle_answers_as_it_was_evaluated(workshop, relations):
    bundle = load(relations.path, root=workshop.root)
    assert bundle.recipe.data.columns == {"entities": "entities"}
    rows = made_up(30, seed=3)
    swapped = [{**row, "entities": row["entities"][::-1]} for row in rows]
    one, other = (np.stack([found.probabilities for found in bundle.predict(of)]) for of in (rows, swapped))
    assert np.abs(one - other).max() > 1e-3, "which entity comes first makes no difference"
    kept = json.loads((bundle.path / "witness.json").read_text(encoding="utf-8"))["rows"]
    assert {"text", "entities", "answer", "probabilities"} == set(kept[0])


def test_the_official_score_is_measured_first_and_beside_baselines(relations):
    evaluation = json.loads((relations.path / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["headline"][0] == DIRECTED
    assert [found["name"] for found in evaluation["baselines"]] == ["majority", "tfidf"]
    assert all(DIRECTED in found["metrics"] for found in evaluation["baselines"])
    assert [told for told in evaluation["notices"] if told.startswith("zero_shot left out: a relation's name")]
    assert relations.recipe.training.metric == DIRECTED


def test_predict_reads_entities_and_names_bad_ones(run, relations):
    rows = made_up(4, seed=5)
    expected = [found.answer for found in relations.predict(rows)]
    lines = [json.dumps({"text": row["text"], "entities": row["entities"]}) for row in rows]
    assert [row["answer"] for row in run("predict", relations.path, stdin="\n".join(lines).encode()).lines] == expected
    bad = b'{"text": "a b", "entities": [{"start": 0, "end": 1}, {"start": 2, "end": 9}]}\n{"text": "a"}\nwords\n'
    outcome = run("predict", relations.path, stdin=bad)
    assert outcome.code == 1 and "does not lie in the text of 3 characters" in outcome.err
    assert "has no entities" in outcome.err
    assert "text and entities" in run("predict", relations.path, "words").err


def test_no_plain_pipeline_can_read_entities(relations, tmp_path):
    with pytest.raises(UnsupportedError, match="no plain folder answers as the task relation"):
        to_transformers(relations, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_label_texts_and_first_token_pooling_are_refused_before_data_is_read(workshop):
    assert "nothing that a text could be near to" in why_not(
        Cell("text", "relation", "descriptions", "full", "supervised")
    )
    with pytest.raises(RecipeError, match="reads each token"):
        check(recipe(task=TASK, backbone={"pooling": "first"}), workshop.root)


def answered(gold, chosen, labels, none="Other"):
    """Answers by name."""
    index = {label: place for place, label in enumerate(labels)}
    places = [np.asarray([index[label] for label in side]) for side in (gold, chosen)]
    return Answers(
        "model", tuple(labels), places[0], np.eye(len(labels))[places[1]], places[1], relations=Relations(none)
    )


def test_directed_macro_f1_is_that_of_the_official_scorer():
    """By hand, as the scorer counts: a right relation in the wrong direction (xDIRx) is in both denominators.

    Cause-Effect: 2 right of 4 given and 4 gold (one reversed, one given for Other, one gold missed): F1 1/2.
    Entity-Origin: 1 right of 2 given and 1 gold: F1 2/3. Message-Topic: 0 of 0 given, 1 gold: F1 0.
    """
    gold = ["CE(e1,e2)", "CE(e2,e1)", "CE(e1,e2)", "CE(e1,e2)", "EO(e1,e2)", "Other", "Other", "MT(e1,e2)"]
    chosen = ["CE(e1,e2)", "CE(e2,e1)", "CE(e2,e1)", "Other", "EO(e1,e2)", "CE(e1,e2)", "Other", "EO(e2,e1)"]
    found = classification_metrics(answered(gold, chosen, sorted({*gold, *chosen})))
    assert found[DIRECTED] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert next(iter(found)) == DIRECTED


def test_without_directions_it_is_macro_f1_over_all_but_no_relation():
    from sklearn.metrics import f1_score

    made = single(labels=4)
    found = answered([f"r{k}" for k in made.gold], [f"r{k}" for k in made.chosen], ["r0", "r1", "r2", "r3"], "r2")
    plain = f1_score(made.gold, made.chosen, labels=[0, 1, 3], average="macro")
    assert classification_metrics(found)[DIRECTED] == pytest.approx(plain)
    everything = answered([f"r{k}" for k in made.gold], [f"r{k}" for k in made.chosen], ["r0", "r1", "r2", "r3"], "")
    assert classification_metrics(everything)[DIRECTED] == pytest.approx(classification_metrics(everything)["macro_f1"])


def test_its_intervals_are_of_the_resampled_rows():
    names = ["a(x,y)", "a(y,x)", "b(x,y)", "b(y,x)", "Other"]
    made, other = (
        answered([names[k] for k in one.gold], [names[k] for k in one.chosen], names)
        for one in (single(seed=0), single(seed=1, noise=3.0))
    )
    options = {"confidence": 0.95, "resamples": 200, "seed": 0}
    found = intervals(made, [DIRECTED], **options)[DIRECTED]
    drawn = []
    generator = np.random.default_rng(4)
    for _ in range(200):
        rows = generator.integers(0, len(made.gold), len(made.gold))
        part = answered([names[k] for k in made.gold[rows]], [names[k] for k in made.chosen[rows]], names)
        drawn.append(classification_metrics(part)[DIRECTED])
    assert found.value == pytest.approx(classification_metrics(made)[DIRECTED])
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)
    difference = paired(made, other, [DIRECTED], **options)[DIRECTED]
    assert difference.value > 0 and difference.p < 0.05


def test_two_directions_are_one_relation_whatever_they_are_called():
    labels = ["Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Other", "born in", "works for (a,b)", "f(x)"]
    assert Relations("Other").merged(labels).tolist() == [0, 0, -1, 2, 3, 4]
