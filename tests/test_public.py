"""What `import attune` gives, and what it costs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import attune
from attune.data.audit import Audit
from attune.evaluation.result import Evaluation

HEAVY = ("torch", "transformers", "numpy", "pyarrow", "peft", "accelerate", "sklearn")


def heavy_after(code: str) -> list[str]:
    """Which heavy packages a fresh interpreter has imported after some code."""
    tail = f"import sys, json; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    source = {**os.environ, "PYTHONPATH": str(Path(attune.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tail}"], capture_output=True, text=True, check=True, env=source
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_public_names():
    functions = ["audit", "chain", "compose", "evaluate", "index", "load", "switch", "train"]
    assert attune.__all__ == ["AttuneError", "Bundle", "Recipe", *functions]
    assert len(attune.__all__) <= 12
    assert all(getattr(attune, name) for name in attune.__all__)
    with pytest.raises(AttributeError, match="no attribute 'tune'"):
        _ = attune.tune


def test_importing_is_light():
    assert heavy_after("import attune") == []


def test_help_is_light():
    code = """
import sys
from attune.apps.cli.main import main
sys.argv = ['attune', '--help']
try:
    main()
except SystemExit as done:
    assert not done.code
"""
    assert heavy_after(code) == []


def test_train_load_predict_evaluate(workshop, tmp_path):
    bundle = attune.train(workshop.root / "recipe.toml", out=tmp_path / "run", overrides=["training.seed=3"])
    assert bundle.recipe.training.seed == 3
    again = attune.load(bundle.path, data_root=workshop.root)
    texts = ["where is my parcel", "change my password", {"text": "i want a refund", "other": 1}]
    assert [p.as_dict() for p in again.predict(texts)] == [p.as_dict() for p in bundle.predict(texts)]
    assert list(again.stream(texts)) == again.predict(texts)
    found = attune.evaluate(again, bundle.path, data=workshop.root / "fresh.jsonl", data_root=workshop.root)
    assert [one.rows for one in found.evaluations] == [40, 40]
    assert found.comparisons[0].differences["accuracy"].value == 0


def test_a_recipe_object_trains(workshop, tmp_path):
    wanted = workshop.bundle().recipe
    assert isinstance(wanted, attune.Recipe)
    bundle = attune.train(wanted, out=tmp_path / "run", data_root=workshop.root)
    assert bundle.digest == workshop.bundle().digest


def test_audit(workshop):
    found = attune.audit(workshop.root / "recipe.toml")
    assert isinstance(found, Audit)
    assert sum(found.tables["rows"].values()) == 90
    of_file = attune.audit(workshop.root / "rows.jsonl", overrides=["backbone.name=tiny"])
    assert of_file.tables["rows"] == found.tables["rows"]


def test_notebooks_show_tables(workshop):
    bundle = workshop.bundle()
    found = attune.evaluate(bundle, data=workshop.root / "fresh.jsonl")
    assert isinstance(found.evaluations[0], Evaluation)
    audited = attune.audit(workshop.root / "recipe.toml")
    for thing in (bundle, found, found.evaluations[0], audited):
        shown = thing._repr_html_()
        assert "<t" in shown and "<script" not in shown, type(thing)
    assert bundle.digest[:12] in bundle._repr_html_()
