"""Guesses of columns, with reasons."""

import pytest

from attune.data.columns import guess
from attune.errors import DataError


def rows(count: int = 40, **more) -> list[dict]:
    made = [{"text": f"where is parcel number {i}", "label": "ab"[i % 2]} for i in range(count)]
    return [{**row, **{name: value(i) for name, value in more.items()}} for i, row in enumerate(made)]


def test_names_decide(jsonl, tmp_path) -> None:
    more = {"id": str, "customer_id": lambda i: f"c{i % 9}", "created_at": lambda i: f"2026-01-{1 + i % 28:02}"}
    found = guess(jsonl(rows(**more)), tmp_path)
    assert (found.text, found.label, found.id) == ("text", "label", "id")
    assert (found.group, found.time, found.multi_label) == ("customer_id", "created_at", False)
    assert (found.rows_seen, found.labels) == (40, 2)
    assert found.columns == ("text", "label", "id", "customer_id", "created_at")
    assert all(name in " ".join(found.reasons) for name in ("text", "label", "id", "customer_id", "created_at"))


def test_values_decide_where_names_say_nothing(jsonl, tmp_path) -> None:
    made = [{"x": "red" if i % 3 else "blue", "y": f"a long story about {i} things", "z": f"k{i}"} for i in range(60)]
    found = guess(jsonl(made), tmp_path)
    assert (found.text, found.label) == ("y", "x")
    assert "longest values" in found.reasons[0] and "repeat the most" in found.reasons[1]


def test_chinese_names(jsonl, tmp_path) -> None:
    made = [{"文本": f"退款什么时候到账{i}", "标签": "退款" if i % 2 else "物流"} for i in range(20)]
    found = guess(jsonl(made), tmp_path)
    assert (found.text, found.label) == ("文本", "标签")


def test_an_id_that_repeats_is_not_used(jsonl, tmp_path) -> None:
    found = guess(jsonl(rows(id=lambda i: i % 7)), tmp_path)
    assert found.id == ""
    assert "not unique" in " ".join(found.reasons)


def test_a_time_that_is_none_is_not_used(jsonl, tmp_path) -> None:
    found = guess(jsonl(rows(time=lambda i: "soon")), tmp_path)
    assert found.time == ""
    assert "does not read as one" in " ".join(found.reasons)


def test_lists_are_several_labels(jsonl, tmp_path) -> None:
    made = [{"text": f"a text {i}", "label": ["a", "b"][: 1 + i % 2]} for i in range(20)]
    assert guess(jsonl(made), tmp_path).multi_label


@pytest.mark.parametrize("separator", ["|", ";", ","])
def test_joined_labels_are_several(tmp_path, separator) -> None:
    cells = ["a", "b", f"a{separator}b", f"b{separator}c", "c"]
    lines = "".join(f'a text of {i},"{cells[i % 5]}"\n' for i in range(30))
    (tmp_path / "a.csv").write_text("text,label\n" + lines)
    found = guess("a.csv", tmp_path)
    assert (found.multi_label, found.separator, found.labels) == (True, separator, 3)


def test_a_comma_within_names_is_not_several(tmp_path) -> None:
    lines = "".join(f'a text of {i},"{("Berlin, DE", "Paris, FR")[i % 2]}"\n' for i in range(30))
    (tmp_path / "a.csv").write_text("text,label\n" + lines)
    found = guess("a.csv", tmp_path)
    assert (found.multi_label, found.labels) == (False, 2)


def test_whole_numbers_can_be_labels(jsonl, tmp_path) -> None:
    found = guess(jsonl([{"review": f"good film {i}", "stars": i % 5} for i in range(50)]), tmp_path)
    assert (found.text, found.label, found.labels) == ("review", "stars", 5)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([{"a": i, "b": i % 2} for i in range(20)], "no column looks like text"),
        ([{"a": f"only one column {i}"} for i in range(20)], "no column looks like a label"),
    ],
)
def test_nothing_to_guess_is_refused_with_the_columns(jsonl, tmp_path, made, said) -> None:
    with pytest.raises(DataError, match=said) as caught:
        guess(jsonl(made), tmp_path)
    assert "Known: a" in caught.value.remedy
