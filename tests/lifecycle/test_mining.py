"""Hard negatives: which texts are taken, and that they are found once."""

from types import SimpleNamespace

import numpy as np

from attune.lifecycle.mining import NONE, Mined, mined, nearest
from attune.tasks.common.retrieval import asked_of

TEXTS = [f"t{n}" for n in range(6)]


def options(**values):
    return SimpleNamespace(**{"negatives": 2, "window": (1, 50), "margin": 0.9, **values})


def row(query, positive, *negatives):
    return query, {"positive": positive, "negatives": list(negatives)}


ROWS = [row("q", "t0"), row("q", "t1"), row("t2", "t3"), row("r", "t4", "t5"), row("s", "t5"), row("u", "t2")]
SIMILAR = {  # of each query with t0 … t5
    "q": [0.8, 0.5, 0.75, 0.7, 0.6, 0.1],
    "t2": [0.3, 0.4, 1.0, 0.9, 0.2, 0.1],
    "r": [0.1, 0.2, 0.3, 0.4, 0.9, 0.8],
    "s": [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    "u": [0.0, 0.1, 0.9, 0.2, 0.3, 0.4],
}


def found(rows=ROWS, **values):
    queries, golds = [query for query, _ in rows], [gold for _, gold in rows]
    asked = asked_of(queries, golds)
    spread = [SIMILAR[query] for query in queries]
    tables = iter(
        [np.array(spread, dtype=np.float32)[:, [int(t[1]) for t in asked.texts]], np.eye(6, dtype=np.float32)]
    )
    places = nearest(asked, golds, options(**values), lambda texts: next(tables))
    return [[asked.texts[place] if place != NONE else None for place in line] for line in places]


def test_the_nearest_texts_are_taken_that_do_not_belong_to_a_row():
    """q: t0 and t1 belong to it, t2 is above 0.9 · 0.8; t2: never itself; r: not what it brings; s: all too near."""
    nothing = [None, None]
    assert found() == [["t3", "t4"], ["t5", None], ["t1", "t0"], ["t3", "t2"], nothing, ["t5", "t4"]]


def test_ranks_are_counted_among_what_does_not_belong():
    assert found(window=(2, 3))[0] == ["t3", "t4"], "t2 is the nearest and is passed over"
    assert found(window=(3, 3))[0] == ["t4", None]
    assert found(margin=1.0, window=(1, 1))[0] == ["t2", None]


class Rows:
    """A table of a few rows."""

    def texts(self):
        return [query for query, _ in ROWS]

    def golds(self):
        return [gold for _, gold in ROWS]

    def __len__(self):
        return len(ROWS)

    def batches(self, size):
        for at in range(0, len(ROWS), size):
            part = ROWS[at : at + size]
            yield {"text": [query for query, _ in part], "gold": [gold for _, gold in part]}


def test_what_was_found_is_kept_and_not_looked_for_again(tmp_path):
    calls = []

    def vectors():
        calls.append(1)
        return lambda texts: np.random.default_rng(len(texts)).normal(size=(len(texts), 8)).astype(np.float32)

    first = mined(Rows(), options(negatives=1, margin=1.0), vectors, tmp_path / "negatives.safetensors")
    again = mined(Rows(), options(negatives=1, margin=1.0), vectors, tmp_path / "negatives.safetensors")
    assert calls == [1] and np.array_equal(first.places, again.places)


def test_rows_bring_their_own_negatives_before_the_mined_ones():
    places = np.array([[3, 4], [NONE, NONE], [1, NONE], [0, 1], [NONE, NONE], [2, 3]])
    rows = Mined(Rows(), TEXTS, places)
    assert (len(rows), rows.count, rows.fewer) == (6, 7, 3)
    told = [gold["negatives"] for columns in rows.batches(4) for gold in columns["gold"]]
    assert told == [["t3", "t4"], [], ["t1"], ["t5", "t0", "t1"], [], ["t2", "t3"]]
    assert ROWS[3][1]["negatives"] == ["t5"], "the table's own rows are as they were"
