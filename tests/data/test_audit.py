"""Every kind of finding is planted and found; what stops, what `--fix` writes, and the page."""

import json
from pathlib import Path

import numpy as np
import pytest

from attune.core.form import Form
from attune.core.recipe import DataOptions
from attune.data import page
from attune.data.audit import Audit, audit
from attune.data.cleaned import fix
from attune.data.splits import Splits, split

WORDS = ("parcel", "card", "money", "transfer", "account", "letter", "branch", "phone", "limit", "cash", "loan", "fee")
NEAR = "could you please tell me where my parcel with the blue ribbon has gone since last tuesday"


def sentence(number: int) -> str:
    draw = np.random.default_rng(number)
    return f"{' '.join(draw.choice(WORDS, 7))} {number}"


def clean(count: int = 60, label: str = "", start: int = 0) -> list[dict]:
    """Rows that nothing is wrong with: the first word of a text says its label."""
    made = []
    for i in range(start, start + count):
        name = label or ("delivery", "payment")[i % 2]
        made.append({"text": f"{name} {sentence(i)}", "label": name})
    return made


def planted() -> tuple[list[dict], list[dict], list[dict]]:
    """Train, validation and test rows with every flaw in them."""
    train = clean(120)
    train += [{"text": train[0]["text"].upper(), "label": "delivery"}]
    train += [{"text": "delivery or payment who knows", "label": name} for name in ("delivery", "payment")]
    train += [{"text": f"delivery spelled {i} {sentence(900 + i)}", "label": "Delivery "} for i in range(9)]
    train += [{"text": f"payment mistyped {i} {sentence(800 + i)}", "label": "paymnet"} for i in range(3)]
    train += [{"text": "", "label": "payment"}, {"text": "x" * 100_001, "label": "payment"}]
    train += [{"text": "delivery mail anna@example.org", "label": "delivery"}]
    train += [{"text": "我的包裹在哪里，谢谢", "label": "delivery"}, {"text": "где моя посылка", "label": "delivery"}]
    train += [{"text": f"{NEAR} a", "label": "delivery"}, {"text": f"{NEAR} b", "label": "delivery"}]
    train += [{"text": f"delivery {sentence(700)}", "label": "payment"}]
    train += [{"text": "delivery " + "word " * 90, "label": "delivery"}]
    validation = [*clean(30, start=300), {"text": f"{NEAR} c", "label": "delivery"}]
    test = [*clean(30, start=400), {"text": f" {train[3]['text']}  ", "label": "payment"}]
    test += [{"text": f"news {sentence(600)}", "label": "unseen"}]
    return train, validation, test


def features(texts: list[str]) -> np.ndarray:
    """Stand-ins for a backbone: which label word a text holds, and a little noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, (len(texts), 4))
    noise[:, 0] += [text.startswith("delivery") for text in texts]
    noise[:, 1] += [text.startswith("payment") for text in texts]
    return noise


def looked(splits: Splits, **options) -> Audit:
    return audit(
        splits, DataOptions(**options), embed=features, token_counts=lambda texts: [len(t.split()) for t in texts],
        max_length=64,
    )  # fmt: skip


@pytest.fixture
def flawed(tmp_path: Path, jsonl) -> tuple[Audit, Splits]:
    for rows, name in zip(planted(), ("train", "validation", "test"), strict=True):
        jsonl(rows, f"{name}.jsonl")
    options = DataOptions(
        train="train.jsonl", validation="validation.jsonl", test="test.jsonl", acknowledge=("rare_classes",)
    )
    splits = split(options, tmp_path, tmp_path / "run", form=Form(), keep_empty=True)
    return looked(splits), splits


def lines(found: Audit, splits: Splits, kind: str) -> list[tuple[str, int]]:
    finding = found.finding(kind)
    assert finding is not None, kind
    tables = list(splits.tables().values())
    return [
        (row["file"], row["line"])
        for place in finding.where()
        for row in tables[place["side"]].select([int(place["row"])])
    ]


PLACES = {
    "duplicates": [("train.jsonl", 121)],
    "leakage": [("train.jsonl", 4)],
    "contradictory_labels": [("train.jsonl", 122), ("train.jsonl", 123)],
    "label_typos": [("train.jsonl", line) for line in range(124, 133)],
    "similar_labels": [("train.jsonl", line) for line in range(133, 136)],
    "empty": [("train.jsonl", 136)],
    "very_long": [("train.jsonl", 137)],
    "personal_data": [("train.jsonl", 138)],
    "near_duplicates": [("train.jsonl", 142)],
    "near_leakage": [("validation.jsonl", 31)],
    "truncated": [("train.jsonl", 144)],
    "unseen_classes": [("test.jsonl", 32)],
}


@pytest.mark.parametrize("kind", list(PLACES))
def test_every_planted_row_is_found_and_no_other(flawed, kind) -> None:
    assert lines(*flawed, kind) == PLACES[kind]


def test_a_wrong_label_is_among_the_doubted(flawed) -> None:
    assert ("train.jsonl", 143) in lines(*flawed, "label_errors")
    finding = flawed[0].finding("label_errors")
    assert finding is not None and finding.share <= 0.06


def test_classes_and_languages_are_reported(flawed) -> None:
    found, _ = flawed
    kinds = {finding.kind for finding in found.findings}
    assert {"rare_classes", "thin_test_classes", "language_mix"} <= kinds
    assert found.tables["rows"] == {"train": 144, "validation": 31, "test": 32}
    assert found.tables["classes"]["paymnet"] == {"train": 3, "validation": 0, "test": 0}
    assert found.tables["languages"]["train"]["Han"] == 1
    assert found.tables["personal"]["train"] == {"EMAIL": 1}
    assert found.sampled["label_errors"].startswith("all 207 rows")


def test_every_finding_says_what_it_costs_and_how_to_mend_it(flawed) -> None:
    found, _ = flawed
    assert len(found.findings) == len({finding.kind for finding in found.findings}) == 16
    for finding in found.findings:
        assert finding.summary and finding.cost and finding.remedy and finding.count > 0
        assert 0 < finding.share <= 1
        assert finding.rows or finding.kind == "language_mix"
    order = [("stop", "warn", "note").index(finding.severity) for finding in found.findings]
    assert order == sorted(order)
    assert json.loads(json.dumps(found.as_dict()))["findings"][0]["severity"] == "stop"


def test_what_stops_can_be_acknowledged(flawed) -> None:
    found, splits = flawed
    assert {finding.kind for finding in found.stops()} == {"leakage"}
    assert found.stops(["leakage"]) == []
    strict = looked(splits, max_contradictory=0.001)
    assert {finding.kind for finding in strict.stops()} == {"leakage", "contradictory_labels"}
    assert [finding.kind for finding in strict.stops(["leakage"])] == ["contradictory_labels"]


def test_clean_rows_have_no_finding_that_stops_or_warns(tmp_path, jsonl) -> None:
    splits = split(DataOptions(train=jsonl(clean(200))), tmp_path, tmp_path / "run", form=Form())
    assert [finding.kind for finding in looked(splits).findings if finding.severity != "note"] == []


def test_without_backbone_and_tokenizer_the_rest_is_looked_at(flawed) -> None:
    _, splits = flawed
    found = audit(splits, DataOptions(), embed=None, token_counts=None, max_length=0)
    assert found.finding("leakage") and not found.finding("label_errors")
    assert found.sampled["label_errors"].startswith("not run") and found.sampled["truncated"].startswith("not run")


def test_a_sample_is_stated_and_the_rest_looks_at_all_rows(flawed) -> None:
    _, splits = flawed
    found = audit(splits, DataOptions(), embed=features, token_counts=None, max_length=0, sample=100)
    assert found.sampled["near_duplicates"] == "100 of 207 rows, drawn at random"
    assert lines(found, splits, "duplicates") == PLACES["duplicates"]


def test_several_labels_are_audited(tmp_path, jsonl) -> None:
    rows = [{**row, "label": [row["label"], *(["late"] if i % 3 == 0 else [])]} for i, row in enumerate(clean(150))]
    rows += [{"text": rows[0]["text"], "label": ["late"]}, {"text": "payment nothing applies 77", "label": []}]
    splits = split(DataOptions(train=jsonl(rows)), tmp_path, tmp_path / "run", form=Form(several=True))
    found = looked(splits, max_contradictory=0.9)
    assert found.multi_label
    assert [line for _, line in lines(found, splits, "contradictory_labels")] == [1, 151]
    assert "3 classes" in found.sampled["label_errors"]


def test_fix_writes_a_cleaned_copy_and_leaves_sources_alone(flawed, tmp_path) -> None:
    found, splits = flawed
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl")}
    changes = fix(found, splits, tmp_path / "fixed")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl")} == before
    names = {"train.jsonl", "validation.jsonl", "test.jsonl", "changes.jsonl", "review.jsonl"}
    assert {path.name for path in (tmp_path / "fixed").iterdir()} == names
    assert changes[-1] == {
        "action": "summary",
        "counts": {"leakage": 1, "duplicates": 1, "label_typos": 9, "empty": 1},
    }
    logged = [json.loads(line) for line in (tmp_path / "fixed" / "changes.jsonl").read_text().splitlines()]
    assert logged == changes[:-1]
    removed = [(one["line"], one["reason"]) for one in logged if one["action"] == "removed"]
    assert removed == [(4, "leakage"), (121, "duplicates"), (136, "empty")]
    renamed = [one for one in logged if one["action"] == "relabelled"]
    assert all((one["was"], one["label"]) == ("Delivery ", "delivery") for one in renamed)


def test_what_was_fixed_is_not_found_again(flawed, tmp_path) -> None:
    fix(*flawed, tmp_path / "fixed")
    options = DataOptions(
        train="train.jsonl", validation="validation.jsonl", test="test.jsonl", id="id", acknowledge=("rare_classes",)
    )
    splits = split(options, tmp_path / "fixed", tmp_path / "again", form=Form())
    kinds = {finding.kind for finding in looked(splits).findings}
    assert not kinds & {"duplicates", "leakage", "empty", "label_typos"}
    assert len(splits.train) == 141


def test_what_needs_a_person_is_listed_for_review(flawed, tmp_path) -> None:
    fix(*flawed, tmp_path / "fixed")
    review = [json.loads(line) for line in (tmp_path / "fixed" / "review.jsonl").read_text().splitlines()]
    listed = {(row["finding"], row["line"]) for row in review}
    assert {("contradictory_labels", 122), ("similar_labels", 133), ("label_errors", 143)} <= listed
    assert {row["finding"] for row in review} <= set(PLACES) | {"label_errors"}


def test_the_page_is_self_contained_and_escapes(tmp_path, jsonl) -> None:
    evil = '<script>alert("x")</script>'
    rows = [*clean(60), *({"text": f"{evil} anna{i}@example.org", "label": f"{evil}"} for i in range(8))]
    splits = split(DataOptions(train=jsonl(rows)), tmp_path, tmp_path / "run", form=Form())
    text = page.html(looked(splits), f"Audit of {evil}")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert text.count("<article") == len(looked(splits).findings)
    for outside in ("http:", "https:", "src=", "@import", "url(", "<link"):
        assert outside not in text


def test_the_page_of_a_flawed_set_names_every_finding(flawed) -> None:
    found, _ = flawed
    text = page.html(found)
    assert "Not fit to tune on as it is: leakage." in text
    assert all(f'id="{finding.kind}"' in text for finding in found.findings)
    assert all(check in text for check in ("near duplicates", "label errors"))
    assert "https://" not in text
