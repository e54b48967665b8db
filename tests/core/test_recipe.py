"""One TOML file that decides a result: parsed, overridden, written, refused."""

import tomllib
from pathlib import Path

import pytest

from attune.core.recipe import key_rows, override, parse, parse_toml, read, schema
from attune.errors import RecipeError
from attune.model.assemble import AXES
from support.bundles import document, recipe

ROOT = Path(__file__).parents[2]


def test_an_empty_recipe_is_all_defaults():
    found = parse({}, AXES)
    assert found.backbone.name == "all-MiniLM-L6-v2"
    assert (found.task.name, found.method.name, found.training.epochs) == ("classification", "full", 4)


@pytest.mark.parametrize("method", ["full", "frozen", "lora"])
def test_toml_round_trip(method):
    given = recipe(
        method={"name": method}, data={"label": "类别", "acknowledge": ["leakage"], "fingerprints": {"a b": "0"}}
    )
    assert parse_toml(given.toml(), AXES, where="test") == given
    assert parse_toml(given.toml(), AXES, where="test").toml() == given.toml()


def test_overrides_are_toml_values_or_text():
    items = [
        "training.epochs=3",
        "data.label=intent",
        "data.acknowledge=['leakage']",
        "method.name = lora",
        "task.multi_label=true",
    ]
    found = parse(override({"training": {"epochs": 9, "seed": 1}}, items), AXES)
    assert (found.training.epochs, found.training.seed) == (3, 1)
    assert (found.data.label, found.data.acknowledge) == ("intent", ("leakage",))
    assert (found.method.name, found.task.multi_label) == ("lora", True)


def test_overriding_leaves_the_document_as_it_was():
    before = {"training": {"epochs": 9}}
    override(before, ["training.epochs=3"])
    assert before == {"training": {"epochs": 9}}


@pytest.mark.parametrize("item", ["epochs=3", "training.epochs", "training.=3", "=3", ""])
def test_a_wrong_override_is_refused(item):
    with pytest.raises(RecipeError, match=r"section\.key=value"):
        override({}, [item])


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"training": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"data": {"lable": "x"}}, "did you mean 'label'"),
        ({"trainig": {}}, "did you mean 'training'"),
        ({"method": {"name": "lorra"}}, "did you mean 'lora'"),
        ({"method": {"name": "frozen", "rank": 3}}, "unknown key 'rank'"),
        ({"task": {"name": "clasification"}}, "did you mean 'classification'"),
        ({"backbone": {"family": "txt"}}, "did you mean 'text'"),
        ({"training": {"epochs": -1}}, "training.epochs = -1"),
        ({"training": {"epochs": "many"}}, "training.epochs = 'many'"),
        ({"training": {"optimiser": "adam"}}, "'adamw'"),
        ({"training": 3}, r"a table \[training\]"),
        ({"evaluation": {"confidence": 95}}, "evaluation.confidence = 95"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(tables, said):
    with pytest.raises(RecipeError, match=said) as caught:
        parse(tables, AXES, where="r.toml")
    assert "r.toml" in caught.value.where
    assert caught.value.remedy


def test_overriding_a_table_that_is_none_is_refused():
    with pytest.raises(RecipeError, match="a table"):
        parse(override({"training": 3}, ["training.epochs=3"]), AXES)


def test_a_missing_or_broken_file(tmp_path):
    with pytest.raises(RecipeError, match="no such recipe"):
        read(tmp_path / "r.toml", AXES)
    (tmp_path / "r.toml").write_text("[data\n")
    with pytest.raises(RecipeError, match=r"not TOML.*line 1"):
        read(tmp_path / "r.toml", AXES)
    (tmp_path / "r.toml").write_bytes(b"[data]\ntext = '\xff'\n")
    with pytest.raises(RecipeError, match="not TOML"):
        read(tmp_path / "r.toml", AXES)


def test_a_byte_order_mark_is_no_hindrance(tmp_path):
    (tmp_path / "r.toml").write_bytes(b"\xef\xbb\xbf[training]\nepochs = 7\n")
    assert read(tmp_path / "r.toml", AXES, ["training.seed=2"]).training.epochs == 7


def test_values_replaced_are_validated():
    assert recipe().having("training", epochs=7).training.epochs == 7
    with pytest.raises(ValueError, match="epochs"):
        recipe().having("training", epochs=-7)


def test_the_schema_knows_every_table_and_key():
    made = schema(AXES)
    assert set(made["properties"]) == {"data", "backbone", "task", "method", "objective", "training", "evaluation"}
    assert made["additionalProperties"] is False
    text = str(made)
    for name in ("LoraOptions", "FrozenOptions", "FullOptions", "TextOptions", "ClassificationOptions"):
        assert set(made["$defs"][name]["properties"])
        assert name in text
    assert made["$defs"]["TrainingOptions"]["properties"]["epochs"]["description"]


def test_the_schema_accepts_what_the_parser_accepts():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema(AXES))
    for method in ("full", "frozen", "lora"):
        validator.validate(tomllib.loads(recipe(method={"name": method}).toml()))
    assert list(validator.iter_errors({"training": {"epoch": 3}}))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").rglob("*.toml")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_examples_are_recipes(path):
    found = read(path, AXES)
    assert parse_toml(found.toml(), AXES, where="test") == found


def test_options_explain_themselves():
    for section in ("data", "training", "evaluation"):
        model = type(getattr(recipe(), section))
        assert all(row["description"] for row in key_rows(model)), section
    for axis in ("backbone", "task", "method"):
        for name in AXES[axis].names():
            rows = key_rows(AXES[axis].get(name).Options)
            assert all(row["description"] for row in rows if row["key"] not in ("name", "family")), name


def test_the_helper_makes_what_it_says():
    assert document(training={"seed": 3})["training"] == {**document()["training"], "seed": 3}


def test_candidates_stand_for_a_name_and_survive_being_written_out():
    parsed = parse({"backbone": {"candidates": ["a/One", "b"]}}, AXES)
    assert parsed.backbone.name == "a/One"
    again = parse_toml(parsed.toml(), AXES, where="again")
    assert again == parsed
    assert again.backbone.candidates == ("a/One", "b")
    chosen = again.having("backbone", name="b", sha256="ab", candidates=None)
    assert "candidates" not in chosen.toml()
    assert "candidates" not in parse({}, AXES).toml()


def test_names_in_messages_keep_their_capitals():
    with pytest.raises(RecipeError, match="'BAAI/Bge' is listed twice"):
        parse({"backbone": {"candidates": ["BAAI/Bge", "BAAI/Bge"]}}, AXES)
    with pytest.raises(RecipeError, match=r"\[backbone\]: value error, name = 'Other' says which one already"):
        parse({"backbone": {"name": "Other", "candidates": ["BAAI/Bge", "b"]}}, AXES)
