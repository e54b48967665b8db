"""Invariants 8 and 9 where a whole run, or an entry from outside, is needed."""

import json

import pytest

from attune.core.recipe import parse, read
from attune.core.registry import Registry
from attune.errors import AttuneError, BackboneError, DataError, RecipeError, UnsupportedError
from attune.lifecycle.train import train
from attune.model import assemble
from attune.model.assemble import AXES, Cell, why_not
from support import cells
from support.tiny import WORDS

LINEAR = [v for v in cells.every() if v.head == "linear"]
PLAIN = next(v for v in LINEAR if v.kind == "bert" and v.pooling == "mean" and v.tuned == "frozen-0")


OWN = ("cloze", "in_context", "language", "own", "replaced")
"""Heads whose cells are told by tests of their own."""


class Wordless:
    """A made-up family that provides tokens and nothing pooled; made by nobody."""

    Options = AXES["backbone"].get("text").Options
    provides = frozenset({"tokens", "linear_layers"})

    def __init__(self, *_args, **_kwargs):
        raise AssertionError("a refused backbone was made")


@pytest.fixture
def with_wordless(monkeypatch):
    """The families, and one without `pooled`."""
    entries = {"text": "attune.backbones.text:Text", "wordless": f"{__name__}:Wordless"}
    registry = Registry("backbone", entries, "attune.nothing")
    monkeypatch.setattr(assemble, "BACKBONES", registry)


def test_a_family_that_lacks_what_a_head_needs_is_refused_with_the_families_that_have_it(with_wordless):
    cell = Cell("wordless", "classification", "linear", "full", "supervised")
    reason = why_not(cell)
    assert "task classification needs pooled" in reason
    assert "the wordless family does not provide" in reason
    assert "families that provide it: text" in reason
    assert not why_not(Cell("text", "classification", "linear", "full", "supervised"))
    assert cell in list(assemble.cells())
    refused = {
        (found.task, found.head, found.method) for found, _ in cells.refused()
        if (found.family, found.objective) == ("text", "supervised")
        and not cells.plain(found.task) and found.head not in OWN
    }  # fmt: skip
    others = ("pair", "ranking", "regression", "relation")
    untrained = {(task, "linear", "none") for task in ("classification", "question_answering", *others)}
    methods = AXES["method"].names()
    undescribed = {(task, "descriptions", method) for task in others for method in methods}
    pooled = {(task, "crf", method) for task in ("classification", *others) for method in methods}
    of_tokens = {
        (task, "descriptions", method) for task in ("extractive", "question_answering", "tagging") for method in methods
    }
    of_tokens |= {(task, "crf", method) for task in ("extractive", "question_answering") for method in methods}
    of_tokens |= {("tagging", head, "none") for head in ("crf", "linear")} | {("extractive", "linear", "none")}
    heads = ("crf", "descriptions", "linear", "vector")
    labelled = [task for task in AXES["task"].names() if not cells.plain(task)]
    speechless = {("generation", head, method) for head in heads for method in methods}
    own = ("embedding", "label_embedding")
    vectors = {(task, head, method) for task in own for head in heads if head != "vector" for method in methods}
    vectors |= {(task, "vector", method) for task in labelled if task not in own for method in methods}
    assert refused == untrained | undescribed | pooled | of_tokens | speechless | vectors
    able = {found.task for found in cells.supported() if found.family != "text"}
    assert able == {"extractive", "relation", "tagging"}, "they read tokens alone"


def test_tasks_on_plain_texts_have_their_own_heads_which_must_be_trained():
    found = {(each.task, each.head) for each in cells.supported() if {each.task, each.head} & {
        "masked_lm", "replaced_token", "language", "replaced"}}  # fmt: skip
    assert found == {("masked_lm", "language"), ("replaced_token", "replaced")}
    for task, head in found:
        assert "cannot answer before it is trained" in why_not(Cell("text", task, head, "none", "supervised"))
    assert "heads that do: language" in why_not(Cell("text", "masked_lm", "linear", "full", "supervised"))


def test_heads_that_ask_in_words_are_for_labels_of_texts_and_a_prompt_is_never_trained():
    found = {(each.family, each.task, each.head, each.method) for each in cells.supported()}
    found = {each for each in found if each[2] in ("cloze", "in_context")}
    filled = {("text", "classification", "cloze", method) for method in AXES["method"].names()}
    assert found == filled | {("causal", "classification", "in_context", "none")}
    reasons = {
        ("causal", "classification", "cloze", "none"): "needs both_sides, masks, vocabulary_head, which the causal",
        ("text", "pair", "cloze", "full"): "a task that can be: classification",
        ("causal", "classification", "in_context", "lora"): "use method none, or head linear",
    }
    for cell, told in reasons.items():
        assert told in why_not(Cell(*cell, "supervised"))


def test_a_head_that_must_be_trained_is_refused_where_nothing_is(root, tmp_path):
    """The reason names the linear probe and the heads that answer untrained, and both work."""
    document = {"data": {"train": "nowhere.csv"}, "backbone": {"name": "bert"}, "method": {"name": "none"}}
    with pytest.raises(UnsupportedError) as caught:
        train(parse(document, AXES), root, tmp_path / "out")
    assert "head linear cannot answer before it is trained, and method none trains nothing" in caught.value.found
    assert "frozen with trainable_layers = 0" in caught.value.found
    assert caught.value.found.endswith("a head that answers untrained: cloze, descriptions")
    assert caught.value.where == "text × classification × linear × none × supervised"
    assert not (tmp_path / "out").exists()
    for changes in ({"method": {"name": "frozen"}}, {"task": {"head": "descriptions"}}):
        assert assemble.check(parse({**document, **changes}, AXES), root).name == "bert"


def test_a_refused_cell_raises_before_its_data_is_looked_for(with_wordless, root, tmp_path):
    recipe = PLAIN.recipe()
    recipe = recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"family": "wordless"})})
    with pytest.raises(UnsupportedError, match="families that provide it: text") as caught:
        train(recipe, root, tmp_path / "out")
    assert "wordless × classification × linear" in caught.value.where
    assert "attune show matrix" in caught.value.remedy
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("section", "values", "kind", "told"),
    [
        ("method", {"name": "frozen", "trainable_layers": 3}, UnsupportedError, "use at most 2, or full"),
        ("method", {"name": "lora", "rank": 33}, UnsupportedError, "a rank of at most 32, or full"),
        ("method", {"name": "prompt", "tokens": 57}, UnsupportedError, "use at most 56 tokens"),
        ("method", {"name": "p_tuning", "tokens": 64}, UnsupportedError, "use at most 56 tokens"),
        ("method", {"name": "lorra"}, RecipeError, "did you mean 'lora'"),
        ("task", {"name": "clasification"}, RecipeError, "did you mean 'classification'"),
        ("task", {"head": "liner"}, RecipeError, "did you mean 'linear'"),
        ("backbone", {"family": "txt"}, RecipeError, "did you mean 'text'"),
        ("backbone", {"name": "./missing"}, BackboneError, "use 'all-MiniLM-L6-v2'"),
        ("backbone", {"name": "bert", "sha256": "0" * 64}, BackboneError, "delete backbone.sha256"),
        ("backbone", {"name": "unreadable"}, BackboneError, "AutoConfig.from_pretrained"),
    ],
)
def test_what_cannot_work_is_refused_before_data_is_read(section, values, kind, told, root, tmp_path):
    (root / "unreadable").mkdir(exist_ok=True)
    (root / "unreadable" / "config.json").write_text('{"model_type": "no-such-thing"}', encoding="utf-8")
    (root / "unreadable" / "model.safetensors").write_bytes(b"")
    document = {"data": {"train": "nowhere.csv"}, "backbone": {"name": "bert"}, section: values}
    with pytest.raises(kind) as caught:
        train(parse(document, AXES), root, tmp_path / "out")
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("method", "values"), [("frozen", {"trainable_layers": 2}), ("lora", {"rank": 32}), ("prompt", {"tokens": 56})]
)
def test_the_nearest_thing_named_works(method, values, root):
    document = {"backbone": {"name": "bert"}, "method": {"name": method, **values}}
    assert assemble.check(parse(document, AXES), root).name == "bert"


def test_a_supported_recipe_gets_as_far_as_its_missing_data(root, tmp_path):
    with pytest.raises(DataError):
        train(parse({"data": {"train": "nowhere.csv"}, "backbone": {"name": "bert"}}, AXES), root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def write(path, table):
    name = "labels" if table.multi_label else "label"
    rows = [json.dumps({"text": text, name: gold}) for text, gold in zip(table.texts, table.golds, strict=True)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def run_recipe(variant, folder, **data):
    write(folder / "train.jsonl", cells.Table(40, multi_label=variant.multi_label))
    table = cells.Table(12, multi_label=variant.multi_label, seed=9)
    write(folder / "validation.jsonl", table)
    label = "labels" if variant.multi_label else "label"
    files = {"train": "train.jsonl", "validation": "validation.jsonl", "test_share": 0.0, "label": label, **data}
    return variant.recipe(data=files, epochs=1, start="probe", probe_l2=0.01), table


@pytest.mark.parametrize("multi_label", [False, True])
def test_9_rows_cut_are_counted_in_the_run_and_in_its_bundle(multi_label, root, tmp_path, checked):
    variant = next(v for v in LINEAR if (v.kind, v.tuned, v.multi_label) == ("bert", "frozen-0", multi_label))
    recipe, _ = run_recipe(variant, tmp_path)
    recipe = recipe.having("backbone", name=str(root / "bert"))
    table = cells.Table(40, multi_label=multi_label)
    for row in (1, 11, 22):
        table.texts[row] += " " + " ".join(WORDS * 2)
    write(tmp_path / "train.jsonl", table)
    bundle = train(recipe, tmp_path, tmp_path / "out")
    notices = json.loads((bundle.path / "run.json").read_text(encoding="utf-8"))["notices"]
    assert [notice for notice in notices if "3 of 40 training rows are longer than" in notice], notices
    evaluation = json.loads((bundle.path / "evaluation.json").read_text(encoding="utf-8"))
    assert [notice for notice in evaluation["notices"] if "3 of 40 training rows are longer" in notice]
    assert bundle.manifest.lineage["rows"]["train"] == 40
    golds = [label for gold in table.golds for label in (gold if multi_label else [gold])]
    assert bundle.manifest.label_counts == [golds.count(name) for name in bundle.labels]
    assert sum(bundle.manifest.label_counts) == len(golds)
    checked(9, variant)


@pytest.mark.parametrize("multi_label", [False, True])
def test_9_labels_that_only_validation_rows_have_are_refused(multi_label, root, tmp_path, checked):
    variant = next(v for v in LINEAR if (v.kind, v.tuned, v.multi_label) == ("bert", "frozen-0", multi_label))
    recipe, table = run_recipe(variant, tmp_path)
    recipe = recipe.having("backbone", name=str(root / "bert"))
    table.golds[4] = ["refund", "refnud"] if multi_label else "refnud"
    write(tmp_path / "validation.jsonl", table)
    with pytest.raises(DataError) as caught:
        train(recipe, tmp_path, tmp_path / "out")
    assert "1 label(s) occur in the validation rows and in no training row: refnud" in str(caught.value)
    assert "mend the spelling" in caught.value.remedy
    assert not (tmp_path / "out").exists()
    checked(9, variant)


def test_a_recipe_file_with_an_unknown_name_says_where(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[method]\nname = "ful"\n', encoding="utf-8")
    with pytest.raises(AttuneError) as caught:
        read(path, AXES)
    assert str(path) in caught.value.where
    assert "'full'" in caught.value.remedy
