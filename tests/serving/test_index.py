"""An index of texts: found, kept and opened again; refused where it is another bundle's or was changed."""

import json

import numpy as np
import pytest

import attune
from attune.errors import BundleError, DataError, UnsupportedError
from attune.lifecycle.train import train
from attune.serving.index import Match
from support.bundles import made_up, recipe, write_rows

TEXTS = [row["text"] for row in made_up(40, seed=4)]


@pytest.fixture(scope="module")
def bundle(workshop):
    """An untuned bundle of vectors of two sizes."""
    draw = made_up(30, seed=9)
    rows = [{"text": one["text"], "label": other["text"]} for one, other in zip(draw[:15], draw[15:], strict=True)]
    write_rows(workshop.root / "near.jsonl", rows)
    wanted = recipe(data={"train": "near.jsonl"}, task={"name": "embedding", "sizes": [8, 16]}, method={"name": "none"})
    return train(wanted, workshop.root, workshop.root / "index-bundle")


def test_texts_find_themselves_and_their_neighbours(bundle):
    index = attune.index(bundle, TEXTS)
    assert (len(index), index.vectors.shape) == (40, (40, 16))
    vectors = bundle.embed(TEXTS)
    for row, found in enumerate(index.search(TEXTS, 5)):
        order = np.argsort(-(vectors @ vectors[row]), kind="stable")[:5]
        assert [match.id for match in found] == [str(place) for place in order]
        assert found[0].text == TEXTS[row] and found[0].similarity == pytest.approx(1.0, abs=1e-5)
    assert len(index.search(TEXTS[:1], 99)[0]) == 40
    assert index.search([]) == []


def test_an_index_is_kept_and_opened_again(bundle, workshop, tmp_path):
    index = attune.index(bundle, TEXTS, ids=[f"text-{n}" for n in range(40)], size=8)
    folder = index.save(tmp_path / "index")
    assert sorted(path.name for path in folder.iterdir()) == ["index.json", "texts.jsonl", "vectors.safetensors"]
    again = attune.index(bundle.path, folder, data_root=workshop.root)
    found = again.search(["where is my parcel"], 3)
    assert found == index.search(["where is my parcel"], 3)
    assert isinstance(found[0][0], Match) and found[0][0].id.startswith("text-")
    before = (folder / "vectors.safetensors").read_bytes()
    assert again.save(tmp_path / "other") and (tmp_path / "other" / "vectors.safetensors").read_bytes() == before


def test_texts_with_line_ends_of_every_kind_come_back(bundle, tmp_path):
    texts = ["where\nis it", "refund\u2028please", "late\x85now", "red\r\nblue"]
    attune.index(bundle, texts).save(tmp_path / "index")
    assert attune.index(bundle, tmp_path / "index").texts == texts


def test_an_index_of_another_bundle_is_refused(bundle, workshop, tmp_path):
    folder = attune.index(bundle, TEXTS).save(tmp_path / "index")
    with pytest.raises(BundleError, match="vectors of two bundles do not compare"):
        attune.index(workshop.bundle(), folder)


@pytest.mark.parametrize("name", ["index.json", "texts.jsonl", "vectors.safetensors"])
def test_an_index_that_was_changed_is_refused(bundle, tmp_path, name):
    folder = attune.index(bundle, TEXTS).save(tmp_path / "index")
    path = folder / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BundleError, match=r"is not the file that was written|is no index that can be read"):
        attune.index(bundle, folder)
    path.unlink()
    with pytest.raises(BundleError, match="is no index that can be read"):
        attune.index(bundle, folder)


def test_an_index_of_another_format_is_refused(bundle, tmp_path):
    folder = attune.index(bundle, TEXTS).save(tmp_path / "index")
    known = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    (folder / "index.json").write_text(json.dumps({**known, "format": 2}), encoding="utf-8")
    with pytest.raises(BundleError, match="format 2"):
        attune.index(bundle, folder)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"texts": []}, "no texts"),
        ({"texts": ["a", " "]}, "1 of 2 rows cannot be answered"),
        ({"texts": ["a", "b"], "ids": ["1"]}, "1 ids, 1 of them different, for 2 texts"),
        ({"texts": ["a", "b"], "ids": ["1", "1"]}, "2 ids, 1 of them different, for 2 texts"),
    ],
)
def test_what_cannot_be_indexed_is_told(bundle, asked, told):
    with pytest.raises(DataError, match=told):
        attune.index(bundle, **asked)


def test_only_what_was_tuned_for_is_given(bundle, workshop):
    with pytest.raises(UnsupportedError, match="not tuned for vectors of 12 numbers") as caught:
        attune.index(bundle, TEXTS, size=12)
    assert caught.value.expected == "a size of 8, 16"
    with pytest.raises(DataError, match="count is 0"):
        attune.index(bundle, TEXTS[:2]).search(["a"], 0)
    assert attune.index(workshop.bundle(), TEXTS[:3]).vectors.shape == (3, 32), "any bundle that reads texts one by one"
