"""What leaves attune of the families that are no encoders."""

import json
import subprocess
import sys

import pytest
import torch
import transformers
from peft import PeftModel

from attune.compression.export import to_peft, to_transformers
from attune.core.texts import row_of
from attune.errors import UnsupportedError
from attune.model import bundle as bundles
from support import cells
from support.worker import environment


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return cells.backbones(tmp_path_factory.mktemp("backbones"))


def packed(root, scratch, kind, pooling, tuned="lora-all"):
    """A bundle, and the rows it was tried on."""
    variant = next(
        v
        for v in cells.every()
        if (v.kind, v.pooling, v.tuned, v.task, v.head, v.multi_label)
        == (kind, pooling, tuned, "classification", "linear", False)
    )
    cells.pack(variant, root, scratch)
    table = cells.Table(8, multi_label=False)
    return bundles.load(scratch / "bundle", root=root), [row_of(text, table.fields) for text in table.texts]


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("qwen2", "last"),
        ("gpt2", "mean"),
        pytest.param("gpt2", "last", marks=pytest.mark.slow),
        pytest.param("qwen2", "mean", marks=pytest.mark.slow),
    ],
)
def test_a_causal_network_has_a_script_that_answers_as_the_bundle(root, tmp_path, kind, pooling):
    bundle, rows = packed(root, tmp_path, kind, pooling)
    told = to_transformers(bundle, tmp_path / "out")
    assert ("affine head on the last token" if pooling == "last" else "pools by mean") in told
    plain = {key: value for key, value in environment().items() if key != "PYTHONPATH"}
    lines = "".join(row["text"] + "\n" for row in rows)
    found = subprocess.run(
        [sys.executable, str(tmp_path / "out" / "predict.py")], input=lines, capture_output=True, text=True, env=plain
    )
    assert found.returncode == 0, found.stderr
    assert [json.loads(line) for line in found.stdout.splitlines()] == [[a.answer] for a in bundle.predict(rows)]


def test_an_encoder_of_two_is_not_exported_as_a_network_and_says_what_is(root, tmp_path):
    bundle, _ = packed(root, tmp_path, "t5", "mean")
    with pytest.raises(UnsupportedError, match="without its decoder") as caught:
        to_transformers(bundle, tmp_path / "out")
    assert "--format peft" in caught.value.remedy
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5", "encoder-decoder"])
@pytest.mark.parametrize("tuned", ["lora-pissa", "ia3"])
def test_plain_peft_loads_the_adapter(root, tmp_path, kind, tuned):
    bundle, rows = packed(root, tmp_path, kind, "mean", tuned)
    told = to_peft(bundle, tmp_path / "adapter")
    made = told.partition("PeftModel.from_pretrained(")[2].rpartition(", folder)")[0].replace(f"'{kind}'", "place")
    network = eval(made, {**vars(transformers), "place": root / kind})
    plain = PeftModel.from_pretrained(network, str(tmp_path / "adapter")).eval()
    model = bundle.model
    batch = model.collate(model.encode(rows).ids)
    with torch.inference_mode():
        ours, theirs = model.backbone.tokens(batch), plain(**batch).last_hidden_state
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-4, rtol=0)
