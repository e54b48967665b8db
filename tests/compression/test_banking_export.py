"""All 3,080 official test rows of Banking77: the bundle, its export without attune, and the service answer alike."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from attune.apps.http.service import service
from attune.compression.export import to_transformers
from attune.core.recipe import parse
from attune.lifecycle.train import train
from attune.model.assemble import AXES
from attune.serving.engine import Engine

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PIPELINE = """
import json, sys
sys.modules["attune"] = None
from transformers import pipeline
plain = pipeline("text-classification", model=sys.argv[1], device="cpu")
texts = [line.rstrip("\\n") for line in sys.stdin]
print("\\n".join(json.dumps([row["label"]]) for row in plain(texts, batch_size=32)))
"""
SCRIPT = (
    "import sys, runpy; sys.modules['attune'] = None; runpy.run_path(sys.argv[1] + '/predict.py', run_name='__main__')"
)


@pytest.mark.slow
@pytest.mark.parametrize(("pooling", "program"), [("mean", SCRIPT), ("first", PIPELINE)])
def test_bundle_export_and_service_agree_on_every_row(
    public_data: Path, tmp_path: Path, pooling: str, program: str
) -> None:
    root = public_data / "banking77"
    document = {
        "data": {"train": "train.jsonl", "test": "test.jsonl", "validation_share": 0.0, "acknowledge": ["leakage"]},
        "backbone": {"pooling": pooling},
        "method": {"name": "frozen"},
        "training": {"probe_l2": 1e-3},
        "evaluation": {"baselines": []},
    }
    bundle = train(parse(document, AXES), root, tmp_path / "run")
    texts = [" ".join(json.loads(line)["text"].split()) for line in (root / "test.jsonl").read_text().splitlines()]
    mine = [found.answer for found in bundle.predict(texts)]
    assert len(mine) == 3080

    to_transformers(bundle, tmp_path / "plain")
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, str(tmp_path / "plain")],
        input="\n".join(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert [json.loads(line)[0] for line in done.stdout.splitlines() if line.startswith("[")] == mine

    client = TestClient(service(Engine(bundle), "key"))
    served: list[str] = []
    for start in range(0, len(texts), 500):
        reply = client.post(
            "/v1/predict", json={"rows": texts[start : start + 500]}, headers={"Authorization": "Bearer key"}
        )
        served += [found["answer"] for found in reply.json()["predictions"]]
    assert served == mine
