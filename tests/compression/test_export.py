"""Exports answer as the bundle does, with no attune on the path."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModel, pipeline

from attune.compression.export import to_peft, to_transformers
from attune.errors import UnsupportedError
from attune.model.bundle import load
from support.bundles import Workshop, made_up

TEXTS = [row["text"] for row in made_up(50, seed=3)]
CASES = [(method, several) for method in ("lora", "full") for several in (False, True)]
CASES += [(method, False) for method in ("pissa", "olora", "ia3", "adalora", "bias")]
NEAR = 1e-3
"""Answers nearer to each other than this may change places by rounding."""
ADAPTERS = ("lora", "pissa", "olora", "ia3", "adalora")


@pytest.mark.parametrize(("method", "several"), CASES)
def test_first_token_pooling_is_a_plain_pipeline(workshop: Workshop, tmp_path, method, several):
    bundle = load(workshop.bundle(method, "first", several).path, root=workshop.root)
    bundle.model.temperature = 2.0  # the toy separates so well that its own, 0.05, multiplies float32 rounding by 20
    before = bundle.predict(TEXTS)
    assert "pipeline" in to_transformers(bundle, tmp_path / "out")
    plain = pipeline("text-classification", model=str(tmp_path / "out"), device="cpu")
    found = plain(TEXTS, top_k=None)
    for row, mine in zip(found, before, strict=True):
        chances = {one["label"]: one["score"] for one in row}
        assert set(chances) == set(bundle.labels)
        np.testing.assert_allclose([chances[name] for name in bundle.labels], mine.probabilities, atol=5e-4)
        if several and min(abs(one["score"] - 0.5) for one in row) > NEAR:
            assert [one["label"] for one in row if one["score"] > 0.5] == mine.answer
        elif not several and row[0]["score"] - row[1]["score"] > NEAR:
            assert row[0]["label"] == mine.answer
    assert [p.as_dict() for p in bundle.predict(TEXTS)] == [p.as_dict() for p in before]


@pytest.mark.parametrize(
    ("method", "several"), [CASES[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:])]
)
def test_mean_pooling_has_a_script(workshop: Workshop, tmp_path, method, several):
    bundle = workshop.bundle(method, "mean", several)
    assert "predict.py" in to_transformers(bundle, tmp_path / "out")
    assert "attune" not in (tmp_path / "out" / "predict.py").read_text().replace("Made by attune", "")
    blocked = "import sys, runpy; sys.modules['attune'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-I", "-c", blocked, str(tmp_path / "out" / "predict.py")],
        input="\n".join(TEXTS), capture_output=True, text=True, check=True, cwd=tmp_path, timeout=200,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = [sorted(p.answer) if several else [p.answer] for p in bundle.predict(TEXTS)]
    assert [sorted(row) for row in found] == wanted


@pytest.mark.filterwarnings("ignore:The following rank_pattern keys did not match:RuntimeWarning")  # peft of its own
@pytest.mark.parametrize("method", ADAPTERS)
def test_an_adapter_loads_by_plain_peft(workshop: Workshop, tmp_path, method):
    bundle = load(workshop.bundle(method).path, root=workshop.root)
    to_peft(bundle, tmp_path / "out")
    published = AutoModel.from_pretrained(workshop.root / "tiny").eval()
    inputs = bundle.model.collate(bundle.model.encode([{"text": text} for text in TEXTS]).ids)
    with torch.inference_mode():
        ours = bundle.model.backbone.network(**inputs).last_hidden_state
        untuned = published(**inputs).last_hidden_state
        theirs = PeftModel.from_pretrained(published, str(tmp_path / "out")).eval()(**inputs).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=5e-5, rtol=0)
    assert (ours - untuned).abs().max() > 1e-4, "the adapter changes nothing, so nothing is tried"
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == bundle.labels


def test_a_method_without_a_peft_layout_is_refused(workshop: Workshop, tmp_path):
    with pytest.raises(UnsupportedError, match="method bias has no PEFT layout") as caught:
        to_peft(workshop.bundle("bias"), tmp_path / "out")
    assert "lora, adalora or ia3" in caught.value.expected
    assert not (tmp_path / "out").exists()
