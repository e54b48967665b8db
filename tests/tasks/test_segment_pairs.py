"""Pairs of segments: how documents become pairs, the draws, the figures, the answers, and what is refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from attune.core.packing import pieces_of
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.lifecycle.backbone import texts_read
from attune.lifecycle.evaluate import evaluate_bundles
from attune.lifecycle.train import plan, train
from attune.model.assemble import assemble, check, task_of
from attune.model.bundle import load
from attune.tasks.common.drawn import Found
from attune.tasks.common.labelled import Labels
from attune.tasks.common.neighbours import Corpus, Frame, pairs_of, shares
from attune.tasks.segment_pairs import NextSentence, SentenceOrder, best_line
from attune.training.encoded import encode, learned_from, prepare
from support.bundles import recipe
from support.tiny import backbone

TOPICS = ["where order parcel card refund", "cancel late broken wrong size", "password login account invoice price"]


def documents(count, seed):
    """Documents of three lines of one topic; each line begins with a word that says which one it is."""
    draw = np.random.default_rng(seed)
    return [
        "\n".join(f"{begin} {' '.join(draw.choice(topic.split(), 7))}" for begin in ("hello", "please", "thanks"))
        for topic in TOPICS
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data root with a tiny backbone and plain texts, a sentence a line, an empty line between documents."""
    root = tmp_path_factory.mktemp("segments")
    backbone(root / "tiny", texts=documents(1, 0))
    (root / "train.txt").write_text("\n\n".join(documents(12, 0)) + "\n")
    (root / "test.txt").write_text("\n\n".join(documents(4, 1)) + "\n")
    return root


def wanted(name="sentence_order", **tables):
    """A recipe for it."""
    base = {
        "data": {"train": "train.txt", "test": "test.txt", "group": "document", "split": "grouped"},
        "task": {"name": name},
        "method": {"name": "full"},
    }
    return recipe(**{name: {**base.get(name, {}), **tables.get(name, {})} for name in {*base, *tables}})


def made(home, name="sentence_order", **tables):
    """An assembled model that was not trained."""
    asked = wanted(name, **tables)
    return assemble(asked, check(asked, home), Labels((), ()))


class Rows:
    """Rows in memory, a few at a time."""

    def __init__(self, texts):
        self.texts = texts

    def __len__(self):
        return len(self.texts)

    def batches(self, size):
        """One chunk."""
        del size
        yield {"text": self.texts}


def encoded(model, folder, texts):
    """Pairs of texts to learn from."""
    rows = encode(model, Rows(texts), folder / "ids")
    prepare(model, rows)
    return rows


def test_neighbouring_segments_of_a_document_are_pairs_and_nothing_else_is():
    def row(text, group, line, file="a"):
        return {"text": text, "group": group, "line": line, "file": file}

    rows = [row("one", "1", 1), row("two", "1", 2), row("three", "2", 3), row("four", "2", 5), row("five", "2", 6),
            row("six", "2", 7, "b")]  # fmt: skip
    found = pairs_of(rows, 1, "auto")
    assert [(pair.first, pair.second, pair.owner) for pair in found] == [("one", "two", 0), ("four", "five", 3)]
    assert found[0].key != found[1].key
    assert pairs_of([{"text": "alone"}], 1, "auto") == []


def test_a_text_is_a_document_and_segments_may_have_several_sentences():
    text = "One is here. Two is there. Three.\n"
    assert [(pair.first, pair.second) for pair in pairs_of([{"text": text}], 1, "auto")] == [
        ("One is here.", "Two is there."), ("Two is there.", "Three.")
    ]  # fmt: skip
    assert [(pair.first, pair.second) for pair in pairs_of([{"text": text}], 2, "auto")] == [
        ("One is here. Two is there.", "Three.")
    ]
    assert [(pair.first, pair.second) for pair in pairs_of([{"text": "你好。再见！谢谢。"}], 2, "auto")] == [
        ("你好。再见！", "谢谢。")
    ]
    assert pairs_of([{"text": text}], 1, "line") == []


@pytest.mark.parametrize(
    ("first", "second", "room", "kept"),
    [
        (3, 4, 7, (3, 4)), (2, 9, 7, (2, 5)), (9, 2, 7, (5, 2)), (9, 9, 7, (3, 4)), (10, 9, 7, (4, 3)),
        (4, 5, 7, (3, 4)), (4, 4, 7, (3, 4)),
    ],
)  # fmt: skip
def test_a_pair_that_is_too_long_loses_the_end_of_the_longer_text(first, second, room, kept):
    assert shares(first, second, room) == kept


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "t5", "gpt2"])
def test_pairs_are_put_together_as_the_tokenizer_does(tmp_path, kind):
    backbone(tmp_path / "tiny", kind)
    family = {"t5": "seq2seq", "gpt2": "causal"}.get(kind, "text")
    model = made(tmp_path, backbone={"family": family, "max_length": 16})
    frame = Frame.of(model.backbone)
    words = "where is my order please help me with the refund now".split()
    for first, second in ((1, 1), (3, 11), (11, 2), (11, 11), (6, 6)):
        texts = " ".join(words[:first]), " ".join(words[-second:])
        bare = model.task.bare(model.backbone, texts)
        (told,) = model.encode([{"text": "\n".join(texts)}]).ids
        assert frame.around(*bare, 16).tolist() == told.tolist()


def test_half_of_the_pairs_are_swapped_by_seed_step_and_pair_and_not_by_batch(home, tmp_path):
    model = made(home)
    rows = encoded(model, tmp_path, documents(40, 0))
    ids, targets = learned_from(model, rows, range(len(rows)), (0, 3))
    assert len(rows) == 240 and 0.4 < targets.double().mean() < 0.6
    again, same = learned_from(model, rows, [7, 3], (0, 3))
    assert [row.tolist() for row in again] == [ids[7].tolist(), ids[3].tolist()] and same.tolist() == targets[
        [7, 3]
    ].tolist()
    for moment in ((0, 4), (1, 3)):
        assert (learned_from(model, rows, range(len(rows)), moment)[1] != targets).any()
    for number in range(8):
        first, second = pieces_of(rows.row(number))
        order = (second, first) if targets[number] else (first, second)
        assert ids[number].tolist() == model.task.frame.around(*order, model.backbone.max_length).tolist()


def test_a_changed_next_sentence_is_of_another_document(home, tmp_path):
    model = made(home, "next_sentence")
    rows = encoded(model, tmp_path, documents(20, 0))
    draw = np.random.default_rng(0)
    for number in range(0, len(rows), 7):
        key = int(rows.targets[number])
        found = {model.task.changed(number, key, model.task.corpus, draw) for _ in range(40)}
        assert len(found) > 10 and all(int(rows.targets[other]) != key for other in found)
    skewed = Corpus(np.append(np.zeros(100_000, dtype=np.int64), 5))
    assert skewed.other(0, draw) == 100_000


def test_figures_are_of_one_draw_that_the_texts_decide(home):
    rows = [{"text": text} for text in documents(30, 0)]
    model = made(home)
    one, other = model.task.asked(rows), model.task.asked(rows[5:])
    assert one.texts[10:] == other.texts and one.owners[:4] == [0, 0, 1, 1]
    assert 0.4 < np.mean(one.targets) < 0.6
    scores = model.task.scores("it", rows[:2], _found([0, 0, 1], [0, 1, 1], [0, 0, 1]))
    assert scores.measure(np.asarray([[1.0, 1.0], [0.0, 2.0]]))["pair_accuracy"].tolist() == [2 / 3, 1.0]
    assert scores.right().tolist() == [False, True] and scores.words(scores.gold[0]) == ["in order", "swapped"]


def _found(owners, gold, chosen):
    return Found(np.asarray(owners), np.asarray(gold), np.asarray(chosen), np.zeros(len(owners)))


def test_the_line_of_the_cosine_baseline_is_where_most_are_right():
    values = np.asarray([0.1, 0.2, 0.3, 0.3, 0.9])
    assert best_line(values, np.asarray([False, True, False, True, True])) == 0.2
    assert best_line(values, np.asarray([False] * 5)) == np.inf
    assert best_line(values, np.asarray([True] * 5)) == 0.1


def test_order_is_learned_measured_and_answered(home):
    asked = wanted(training={"epochs": 6, "batch_size": 8, "learning_rate": 3e-3})
    bundle = train(asked, home, home / "order")
    evaluation = json.loads((bundle.path / "evaluation.json").read_text())
    assert evaluation["metrics"]["pair_accuracy"]["value"] > 0.9, "each line says its place"
    assert evaluation["metrics"]["pair_accuracy"]["low"] <= evaluation["metrics"]["pair_accuracy"]["value"]
    (majority,) = evaluation["baselines"]
    assert 0.2 < majority["metrics"]["pair_accuracy"]["value"] < 0.8 and evaluation["rows"] == 36
    assert bundle.recipe.training.metric == "pair_accuracy"
    card = (bundle.path / "card.md").read_text()
    assert "Answers with 'in order' or 'swapped' of two segments" in card
    one, two, _ = documents(1, 1)[0].splitlines()
    there, back = load(bundle.path, root=home).predict([[one, two], f"{two}\n{one}"])
    assert (there.answer, back.answer) == ("in order", "swapped")
    assert there.confidence == there.alternatives[0].confidence > 0.5 > there.alternatives[1].confidence
    with pytest.raises(DataError, match="its text has 1 line: put the two segments on a line each"):
        bundle.predict(["hello order"])
    again = evaluate_bundles([bundle], str(home / "test.txt"))
    assert again.evaluations[0].metrics["pair_accuracy"].value == evaluation["metrics"]["pair_accuracy"]["value"]


def test_the_cosine_baseline_stands_beside_next_sentence(home):
    asked = wanted("next_sentence", training={"epochs": 1}, evaluation={"baselines": ["majority", "zero_shot"]})
    evaluation = json.loads((train(asked, home, home / "next").path / "evaluation.json").read_text())
    majority, cosine = evaluation["baselines"]
    assert cosine["name"] == "cosine"
    assert cosine["metrics"]["pair_accuracy"]["value"] > majority["metrics"]["pair_accuracy"]["value"]


def test_a_test_set_that_cannot_be_judged_is_told_before_training(home, tmp_path):
    (home / "single.txt").write_text(documents(1, 5)[0] + "\n")
    with pytest.raises(DataError, match="all segments are of one document") as caught:
        train(wanted("next_sentence", data={"test": "single.txt"}), home, tmp_path / "run")
    assert "data.test" in str(caught.value)


def test_a_tokenizer_is_trained_on_the_texts_that_are_cut_into_pairs():
    rows = [{"text": "one line"}, {"text": "three\nlines\nhere"}]
    task = task_of(wanted())
    table = SimpleNamespace(batches=lambda size: [{"text": [row["text"] for row in rows]}])
    assert list(texts_read(task, table)) == [row["text"] for row in rows]


def test_a_plan_counts_pairs(home):
    told = plan(wanted(training={"batch_size": 8, "epochs": 2}), home)
    assert told["rows"]["train"] == 96 and told["steps"] == 16


def test_lines_without_their_documents_and_a_single_document_are_refused(home):
    with pytest.raises(DataError, match="no document has two segments") as caught:
        train(wanted(data={"group": "", "split": "stratified"}), home, home / "none")
    assert 'data.group = "document"' in str(caught.value)
    (home / "one.txt").write_text(documents(1, 0)[0] + "\n")
    with pytest.raises(DataError, match="all segments are of one document"):
        train(wanted("next_sentence", data={"train": "one.txt", "validation_share": 0.0}), home, home / "none")
    assert not (home / "none").exists()
    model = made(home, "next_sentence")
    with pytest.raises(DataError, match="the rows to be judged"):
        model.task.trial(model.backbone, [{"text": documents(1, 0)[0]}])


def test_options_and_heads_that_cannot_work_are_refused_before_data_is_read(home):
    with pytest.raises(RecipeError, match="sentences"):
        wanted(task={"sentences": 0})
    with pytest.raises(UnsupportedError, match="head crf does not answer from one vector a row"):
        check(wanted(task={"head": "crf"}), home)
    with pytest.raises(UnsupportedError, match="cannot answer before it is trained"):
        check(wanted(method={"name": "none"}), home)


def test_questions_are_two_lines_whatever_the_text():
    task = SentenceOrder(SentenceOrder.Options())
    told = [task.asking(text) for text in ("One. Two. Three.", "no end at all", "字", "ab", "a\nb\nc")]
    assert told == ["One.\nTwo.", "no end\nat all", "字\n字", "a\nb", "a\nb"]
    assert all(not task.lacks_two(text) for text in told)
    assert NextSentence(NextSentence.Options()).kinds == ("next", "elsewhere")
    assert torch.equal(task.loss(torch.zeros(2, 2), torch.tensor([0, 1]), Labels((), ()))[1], torch.ones(2))
