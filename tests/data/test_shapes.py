"""Which task columns speak of, and the recipes drafted for them."""

import json
import tomllib

import pytest

from attune.core.recipe import parse
from attune.data.ingest import ingest
from attune.data.shapes import shape_of
from attune.lifecycle.init import draft, recipe_for
from attune.model.assemble import AXES, task_of

TEXTS = [f"where is order {number} of Anna Smith" for number in range(30)]
BIO = ["O", "O", "O", "O", "O", "B-name", "I-name"]
TAGGED = [{"id": n, "tokens": text.split(), "ner_tags": BIO} for n, text in enumerate(TEXTS)]
SPANNED = [{"text": text, "entities": [{"start": len(text) - 10, "end": len(text), "label": "name"}]} for text in TEXTS]
ASKED = [
    {"question": "who?", "context": text, "answers": {"text": ["Anna Smith"], "answer_start": [len(text) - 10]}}
    for text in TEXTS
]
WRITTEN = [{"source": text, "target": f"order {number} is late"} for number, text in enumerate(TEXTS)]
EVERY = {"tagging": TAGGED, "question_answering": ASKED, "generation": WRITTEN}
COLUMNS = {
    "tagging": {"text": "tokens", "label": "ner_tags"},
    "question_answering": {"text": "question", "text_pair": "context", "label": "answers"},
    "generation": {"text": "source", "label": "target"},
}


def columns(rows):
    """Rows as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def kept(folder, rows):
    """Rows as a file."""
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return folder


@pytest.mark.parametrize("task", EVERY)
def test_a_drafted_recipe_names_task_and_columns_and_reads_the_rows(tmp_path, task):
    drafted = draft("rows.jsonl", kept(tmp_path, EVERY[task]))
    recipe = parse(tomllib.loads(drafted.text), AXES)
    assert recipe.task.name == task
    assert {name: getattr(recipe.data, name) for name in COLUMNS[task]} == COLUMNS[task]
    done = ingest("rows.jsonl", tmp_path, recipe.data, form=task_of(recipe).form, into=tmp_path / "rows.arrow")
    assert len(done.table) == 30
    assert repr(COLUMNS[task]["label"]) in drafted.reasons[0]
    assert recipe_for(tmp_path / "rows.jsonl", None, ())[0].task.name == task
    if task == "generation":
        assert recipe.backbone.family == "seq2seq" and any("No network that writes" in told for told in drafted.reasons)


def test_spans_by_characters_are_tagged(tmp_path):
    recipe = parse(tomllib.loads(draft("rows.jsonl", kept(tmp_path, SPANNED)).text), AXES)
    assert (recipe.task.name, recipe.data.text, recipe.data.label) == ("tagging", "text", "entities")


def test_files_that_lie_beside_are_named(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in ASKED))
    drafted = draft("train.jsonl", tmp_path)
    assert tomllib.loads(drafted.text)["data"]["test"] == "test.jsonl"
    assert any("test.jsonl lies beside it" in told for told in drafted.reasons) and "test_share" not in drafted.text


def test_rows_that_belong_together_stay_together(tmp_path):
    rows = [{**row, "id": number, "customer": f"c{number % 4}"} for number, row in enumerate(SPANNED)]
    data = tomllib.loads(draft("rows.jsonl", kept(tmp_path, rows)).text)["data"]
    assert (data["id"], data["group"], data["split"]) == ("id", "customer", "grouped")
    asked = tomllib.loads(draft("rows.jsonl", kept(tmp_path, ASKED)).text)["data"]
    assert (asked["group"], asked["split"]) == ("context", "grouped")


def test_a_row_without_a_text_is_no_reason_to_stop(tmp_path):
    drafted = draft("rows.jsonl", kept(tmp_path, [*SPANNED, {"text": None, "entities": []}]))
    assert tomllib.loads(drafted.text)["task"]["name"] == "tagging"


@pytest.mark.parametrize("rows", [SPANNED, WRITTEN], ids=["spans", "texts"])
def test_a_column_of_labels_comes_before_spans_and_texts_beside_it(rows):
    told = [{**row, "intent": ("buy", "ask")[number % 2]} for number, row in enumerate(rows)]
    assert shape_of(columns(told), 3, ("intent",)) is None
    assert shape_of(columns(told), 3) is not None
    different = [{**row, "intent": f"{number}"} for number, row in enumerate(rows)]
    assert shape_of(columns(different), 3, ("intent",)) is not None


def test_objects_in_cells_of_flat_files_are_read():
    flat = [{**row, "answers": json.dumps(row["answers"])} for row in ASKED]
    found = shape_of(columns(flat), 3)
    assert found and found.task == "question_answering" and len(found.texts) == 3


@pytest.mark.parametrize(
    "rows",
    [
        [{"text": text, "label": f"label {len(text) % 3}"} for text in TEXTS],
        [{"text": text, "labels": ["a", "b"]} for text in TEXTS],
        [{**row, "ner_tags": BIO[:-1]} for row in TAGGED],
        [{**row, "ner_tags": [0] * 7} for row in TAGGED],
        [{**row, "target": "yes" if number % 2 else "no"} for number, row in enumerate(WRITTEN)],
        [{**row, "answers": "Anna Smith"} for row in ASKED],
        [{"text": text, "entities": []} for text in TEXTS],
        [{"left": row["source"], "right": row["target"]} for row in WRITTEN],
    ],
)
def test_labels_and_what_does_not_fit_are_no_shape(rows):
    assert shape_of(columns(rows), 10) is None
