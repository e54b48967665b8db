"""The script that goes with an exported encoder whose family has no stock class that pools as it does."""

from __future__ import annotations

from string import Template

SCRIPT = Template('''"""Answers $what; needs only torch, transformers and safetensors. Made by attune."""
import json, sys
from pathlib import Path
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

here = Path(__file__).parent
settings = json.loads((here / "head.json").read_text(encoding="utf-8"))
tokenizer, model = AutoTokenizer.from_pretrained(here), AutoModel.from_pretrained(here).eval()
head = load_file(here / "head.safetensors")

def pooled(*texts):
    batch = tokenizer(*texts, padding=True, truncation=True, max_length=settings["max_length"], return_tensors="pt")
    inputs = {name: batch[name] for name in settings["inputs"]}
    tokens = model(**inputs).last_hidden_state
    $pool
    return torch.nn.functional.normalize(vectors, dim=-1) if settings["unit"] else vectors

@torch.inference_mode()
def probabilities(rows):
    $features
    logits = features @ head["weight"].T + head["bias"]
    if settings["number"]:
        return logits
    return logits.sigmoid() if settings["multi_label"] else logits.softmax(-1)

if __name__ == "__main__":
    rows = [$row for line in sys.stdin if line.strip()]
    for start in range(0, len(rows), 32):
        for row in probabilities(rows[start : start + 32]):
            if settings["number"]:
                print(json.dumps(row.item()))
                continue
            above = (row > settings["threshold"]).nonzero().flatten().tolist()
            given = above if settings["multi_label"] else [int(row.argmax())]
            print(json.dumps([settings["labels"][index] for index in given], ensure_ascii=False))
''')
POOLS = {
    "mean": """mask = inputs["attention_mask"].unsqueeze(-1).float()
    vectors = (tokens * mask).sum(1) / mask.sum(1)""",
    "last": 'vectors = tokens[torch.arange(len(tokens)), inputs["attention_mask"].sum(1) - 1]',
}
TEXT = {"what": "texts", "row": 'line.rstrip("\\n")', "features": "features = pooled(rows)"}
PAIR = {"what": "pairs of texts (JSON lines with text and text_pair)", "row": "json.loads(line)"}
TOGETHER = 'features = pooled([row["text"] for row in rows], [row["text_pair"] for row in rows])'
APART = """first, second = pooled([row["text"] for row in rows]), pooled([row["text_pair"] for row in rows])
    features = torch.cat([first, second, (first - second).abs(), first * second], dim=-1)"""
ALIKE = """first, second = pooled([row["text"] for row in rows]), pooled([row["text_pair"] for row in rows])
    features = torch.nn.functional.cosine_similarity(first, second, dim=-1).unsqueeze(-1)"""


def script(texts: int, pieces: int, pooling: str, *, alike: bool = False) -> str:
    """The script's text.

    Args:
        texts: Texts a row has, one or two.
        pieces: Sequences that are read of a row; as many as texts where each is read on its own.
        pooling: How tokens become one vector, `mean` or `last`.
        alike: Whether two texts read apart are compared by nothing but their cosine.

    Returns:
        Python that imports only torch, transformers and safetensors.
    """
    pool = POOLS[pooling]
    if texts == 1:
        return SCRIPT.substitute(TEXT, pool=pool)
    return SCRIPT.substitute(PAIR, pool=pool, features=TOGETHER if pieces == 1 else ALIKE if alike else APART)


def needed(texts: int, pieces: int, typed: bool) -> list[str]:
    """What of a tokenizer's output the network is given: token types where two texts share a sequence."""
    return ["input_ids", "attention_mask"] + ["token_type_ids"] * (typed and texts > pieces)
