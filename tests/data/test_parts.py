"""Rows drawn by label and dealt to the parts of a cross-validation."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from attune.core.form import Form
from attune.data.parts import dealt, draw_parts, units
from attune.data.table import Table, schema

SIZES = {"many": 300, "some": 100, "few": 20}


@pytest.fixture
def table(tmp_path):
    """A table of labels, texts and groups, in an order that has nothing to do with them."""

    def made(labels, texts=None, groups=None):
        several = isinstance(labels[0], list)
        order = np.random.default_rng(4).permutation(len(labels)).tolist()
        texts = texts or [f"text {row}" for row in range(len(labels))]
        columns = {
            "id": [f"row-{row}" for row in order], "text": [texts[row] for row in order],
            "labels" if several else "label": [labels[row] for row in order],
            **({"group": [groups[row] for row in order]} if groups else {}),
            "file": ["a"] * len(order), "line": list(range(len(order))),
        }  # fmt: skip
        layout = schema(Form(several=several), group=bool(groups))
        return Table.write(tmp_path / "table.arrow", layout, [pa.RecordBatch.from_pydict(columns, schema=layout)])

    return made


def labels_of(sizes=SIZES):
    return [label for label, size in sizes.items() for _ in range(size)]


def test_labels_keep_their_shares_in_the_sample_and_in_every_part(table):
    found = draw_parts(table(labels_of()), 210, 0)
    assert len(found.rows) == len(found.golds) == len(found.part) == 210
    assert found.stated == "210 of 420 rows, stratified by label"
    assert Counter(found.golds) == {"many": 150, "some": 50, "few": 10}
    for part in range(found.folds):
        own = Counter(gold for gold, at in zip(found.golds, found.part, strict=True) if at == part)
        assert own == {"many": 30, "some": 10, "few": 2}


def test_all_rows_are_taken_where_there_are_few_and_a_seed_draws_others(table):
    rows = table(labels_of())
    assert draw_parts(rows, 420, 0).stated == draw_parts(rows, 9999, 0).stated == "all 420 rows"
    ids = [[row["id"] for row in draw_parts(rows, 100, seed).rows] for seed in (0, 0, 1)]
    assert len(set(ids[0])) == 100
    assert ids[0] == ids[1] != ids[2]
    places = [rows.ids().index(one) for one in ids[0]]
    assert places == sorted(places)


def test_one_text_and_one_group_are_in_one_part(table):
    labels = labels_of()
    twins = [f"text {row // 2}" for row in range(len(labels))]
    found = draw_parts(table(labels, texts=twins), 420, 0)
    seen = {}
    for row, part in zip(found.rows, found.part.tolist(), strict=True):
        assert seen.setdefault(row["text"], part) == part
    assert len(seen) == 210
    groups = [f"customer {row % 30}" for row in range(len(labels))]
    found = draw_parts(table(labels, groups=groups), 420, 0)
    seen = {}
    for row, part in zip(found.rows, found.part.tolist(), strict=True):
        assert seen.setdefault(row["group"], part) == part
    assert sorted(Counter(seen.values()).values()) == [6] * 5


def test_too_few_groups_or_texts_leave_the_rows_to_be_dealt():
    rows = [{"text": "the same", "group": f"g{at % 2}"} for at in range(10)]
    assert units(rows, 5) == list(range(10))
    assert units([{**row, "text": f"t{at % 6}"} for at, row in enumerate(rows)], 5) == [
        f"t{at % 6}" for at in range(10)
    ]
    assert sorted(dealt(units(rows, 5), list(range(10)), 5).tolist()) == sorted([0, 1, 2, 3, 4] * 2)


def test_rows_with_several_labels_are_drawn_by_their_rarest(table):
    labels = [["many"]] * 200 + [["many", "rare"]] * 20 + [[]] * 20
    found = draw_parts(table(labels), 120, 0)
    assert sum("rare" in gold for gold in found.golds) == 10
    assert sum(not gold for gold in found.golds) == 10
    rare = [part for gold, part in zip(found.golds, found.part.tolist(), strict=True) if "rare" in gold]
    assert Counter(rare) == dict.fromkeys(range(5), 2)
