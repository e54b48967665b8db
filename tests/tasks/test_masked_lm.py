"""Masked language modelling: the draw, the packing, the tied head, its figures and its answers."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from attune.core.packing import with_marks
from attune.core.recipe import parse
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.lifecycle.train import train
from attune.model.assemble import AXES, assemble, check
from attune.model.bundle import load
from attune.tasks.common.blocks import cut
from attune.tasks.common.drawn import Found
from attune.tasks.common.labelled import Labels
from attune.tasks.common.masking import Plan, hidden, replaced
from attune.tasks.common.vocabulary import Vocabulary
from attune.tasks.masked_lm import MaskedLM
from support import cells
from support.bundles import recipe
from support.tiny import backbone

WORDS = Vocabulary(4, "[MASK]", np.arange(200) < 5, np.arange(5, 200), torch.nn.Embedding(200, 8), str)
TOPICS = ["where order parcel card refund", "cancel late broken wrong size", "password login account invoice price"]


def lines(count, seed):
    """Texts of ten words of one topic, those of a topic one after the other, so that a word's neighbours tell of it."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(topic.split(), 10)) for topic in TOPICS for _ in range(count)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data root with a tiny backbone and plain texts, and a bundle trained there."""
    root = tmp_path_factory.mktemp("masked")
    backbone(root / "tiny", texts=lines(1, 0))
    (root / "train.txt").write_text("\n".join(lines(60, 0)) + "\n")
    (root / "test.txt").write_text("\n".join(lines(10, 1)) + "\n")
    return root


def wanted(**tables):
    """A recipe for it."""
    base = {
        "data": {"train": "train.txt", "test": "test.txt"},
        "task": {"name": "masked_lm"},
        "method": {"name": "full"},
    }
    return recipe(**{name: {**base.get(name, {}), **tables.get(name, {})} for name in {*base, *tables}})


@pytest.fixture(scope="module")
def bundle(home):
    """Trained for a few epochs."""
    asked = wanted(
        backbone={"max_length": 32},
        training={"epochs": 12, "batch_size": 4, "learning_rate": 3e-3, "head_learning_rate": 3e-3},
    )
    return train(asked, home, home / "run")


def made(home, **tables):
    """An assembled model that was not trained."""
    asked = wanted(**tables)
    return assemble(asked, check(asked, home), Labels((), ()))


def test_tokens_are_hidden_by_share_and_special_ones_never():
    ids = np.random.default_rng(0).integers(0, 200, 20_000)
    chosen = hidden(ids, Plan(0.15), WORDS, np.random.default_rng(1))
    assert abs(chosen.sum() / (ids >= 5).sum() - 0.15) < 0.01
    assert not chosen[ids < 5].any()


def test_a_row_in_which_chance_hides_nothing_has_one_token_hidden_only_where_asked():
    ids, nothing = np.asarray([2, 9, 3]), np.asarray([2, 3])
    for seed in range(20):
        assert hidden(ids, Plan(1e-9, least=True), WORDS, np.random.default_rng(seed)).tolist() == [False, True, False]
        assert not hidden(ids, Plan(1e-9), WORDS, np.random.default_rng(seed)).any()
        assert not hidden(nothing, Plan(0.9, least=True), WORDS, np.random.default_rng(seed)).any()


def test_whole_words_are_hidden_or_none_of_them():
    marks = np.tile([0, 1, 1, 0], 500)
    ids = with_marks(np.full(2000, 9), marks)
    chosen = hidden(ids, Plan(0.3, words=True), WORDS, np.random.default_rng(0)).reshape(-1, 4)
    assert (chosen[:, 0] == chosen[:, 1]).all() and (chosen[:, 1] == chosen[:, 2]).all()
    assert (chosen[:, 0] != chosen[:, 3]).any()
    assert abs(chosen[:, 0].mean() - 0.3) < 0.05
    assert (replaced(ids, chosen.reshape(-1), Plan(0.3, words=True), WORDS, np.random.default_rng(0)) < 200).all()


def test_eight_of_ten_hidden_tokens_become_the_mask_one_stays_and_one_becomes_any():
    ids = np.full(30_000, 9)
    chosen = np.ones(len(ids), dtype=bool)
    mixed = replaced(ids, chosen, Plan(0.15, mixed=True), WORDS, np.random.default_rng(0))
    assert abs((mixed == 4).mean() - 0.8) < 0.01
    assert abs((mixed == 9).mean() - 0.1) < 0.01
    assert set(mixed[(mixed != 4) & (mixed != 9)]) == set(range(5, 200)) - {9}
    assert (replaced(ids, chosen, Plan(0.15), WORDS, np.random.default_rng(0)) == 4).all()


def test_blocks_hold_every_token_in_order_and_are_full_but_the_last():
    rows = [np.arange(at, at + size)[:, None] for at, size in ((100, 3), (200, 0), (300, 20), (400, 1))]
    blocks = cut(rows, np.asarray([[1]]), np.asarray([[2]]), 8)
    assert [len(block) for block in blocks] == [8, 8, 8, 8, 4]
    flat = np.concatenate(blocks)[:, 0]
    assert flat[flat >= 100].tolist() == [*range(100, 103), *range(300, 320), 400]
    assert all(block[0, 0] == 1 and block[-1, 0] == 2 for block in blocks)
    assert cut([], np.asarray([[1]]), np.asarray([[2]]), 8) == []


def test_a_draw_depends_on_seed_step_and_row_and_not_on_the_batch():
    task = MaskedLM(MaskedLM.Options(), WORDS)
    rows = [np.random.default_rng(seed).integers(5, 200, 40) for seed in range(3)]
    together = task.draw(rows, [7, 8, 9], (0, 5))[1]
    alone = [task.draw([row], [number], (0, 5))[1][0] for row, number in zip(rows[::-1], [9, 8, 7], strict=True)][::-1]
    assert all((one == other).all() for one, other in zip(together, alone, strict=True))
    for moment, number in (((0, 6), 7), ((1, 5), 7), ((0, 5), 8)):
        assert (task.draw(rows[:1], [number], moment)[1][0] != together[0]).any()


def test_the_head_is_tied_and_keeps_no_copy_of_the_word_vectors(home):
    model = made(home)
    words = model.backbone.network.get_input_embeddings().weight
    assert {"dense.weight", "dense.bias", "norm.weight", "norm.bias", "bias"} == set(model.head.state_dict())
    features = torch.randn(2, 3, 32)
    hidden_ = model.head.norm(F.gelu(model.head.dense(features)))
    torch.testing.assert_close(model.head(features), hidden_ @ words.T + model.head.bias)
    targets = torch.tensor([[7, -100, 9], [-100, -100, -100]])
    total, count = model.head.score(features, targets)
    torch.testing.assert_close(
        total[0], F.cross_entropy(model.head(features)[0, [0, 2]], targets[0, [0, 2]], reduction="sum")
    )
    assert total[1] == 0 and count.tolist() == [2, 0]
    total.sum().backward()
    assert words.grad is not None and words.grad[9].abs().sum() > 0
    judged = model.head.judged(features, targets)
    torch.testing.assert_close(judged[..., 0].sum(), total[0])
    assert judged[0, 0, 1] == model.head(features)[0, 0].argmax() and not judged[1].any()


def test_a_fresh_head_begins_at_the_frequencies_of_tokens(home):
    head = made(home).head
    head.learn(with_marks(np.asarray([7, 7, 7, 9]), [0, 1, 0, 0]))
    shares = head.bias.detach().exp()
    assert float(shares[7] / shares[9]) == pytest.approx(2) and float(shares.sum()) == pytest.approx(1)
    head.fresh = False
    head.learn(np.asarray([9, 9, 9, 9, 9, 9]))
    assert (head.bias.detach().exp() == shares).all()


def test_perplexity_is_of_all_hidden_tokens_and_rows_weigh_as_often_as_they_are_drawn():
    task = MaskedLM(MaskedLM.Options(), WORDS)
    found = Found(np.asarray([0, 0, 2]), np.asarray([7, 8, 9]), np.asarray([7, 7, 9]), np.asarray([1.0, 2.0, 3.0]))
    scores = task.scores("it", range(3), found)
    values = scores.measure(np.asarray([[1.0, 1, 1], [2, 0, 1], [0, 1, 0]]))
    np.testing.assert_allclose(values["masked_perplexity"], [math.exp(2), math.exp(9 / 5), 1])
    np.testing.assert_allclose(values["masked_accuracy"], [2 / 3, 3 / 5, 0])
    assert scores.right().tolist() == [False, True, True]
    assert scores.words(scores.gold[0]) == ["7", "8"]
    part = scores.take(np.asarray([2, 0])).beside(scores)
    assert part.gold == [[9], [7, 8], [7, 8], [], [9]]
    assert part.loss.tolist() == [3, 3, 3, 0, 3] and part.count.tolist() == [1, 2, 2, 0, 1]
    assert task.metric("") == ("masked_perplexity", False) and task.metric("masked_accuracy")[1]
    with pytest.raises(RecipeError, match="no metric"):
        task.metric("accuracy")


def test_the_majority_baseline_knows_frequencies_alone():
    task = MaskedLM(MaskedLM.Options(), WORDS)
    counts = np.zeros(200, dtype=np.int64)
    counts[[7, 8]] = 5, 3
    chosen, loss = task.frequent(np.asarray([8, 9]), counts)
    assert chosen.tolist() == [7, 7]
    np.testing.assert_allclose(loss, [-math.log(4 / 208), -math.log(1 / 208)])


def test_training_on_plain_texts_beats_frequency_and_is_told_everywhere(home, bundle):
    evaluation = json.loads((bundle.path / "evaluation.json").read_text())
    assert evaluation["rows"] == 30 and evaluation["labels"] == []
    (majority,) = evaluation["baselines"]
    assert 14 < majority["metrics"]["masked_perplexity"]["value"] < 17, "fifteen words, all as frequent"
    assert evaluation["metrics"]["masked_perplexity"]["value"] < 10, "five words, once the topic is known"
    assert evaluation["metrics"]["masked_perplexity"]["low"] < evaluation["metrics"]["masked_perplexity"]["high"]
    assert bundle.manifest.labels == []
    assert bundle.recipe.training.metric == "masked_perplexity"
    card = (bundle.path / "card.md").read_text()
    assert "Answers with what fits in place of [MASK]" in card and "Learned from the texts of `train.txt`" in card
    assert "Masked perplexity" in (bundle.path / "report.html").read_text()


def test_masks_are_filled_wherever_they_stand(home, bundle):
    texts = ["please [MASK] me", "[MASK] is my [MASK]", " ".join(["help me now"] * 60) + " [MASK]"]
    one, two, long = load(bundle.path, root=home).predict(texts)
    assert one.answer == one.alternatives[0].label and len(one.alternatives) == 5
    assert one.confidence == one.alternatives[0].confidence
    assert [(span.start, span.end, span.text) for span in two.spans] == [(0, 6, "[MASK]"), (13, 19, "[MASK]")]
    assert two.answer == " ".join(span.label for span in two.spans) and not two.alternatives
    assert texts[2][long.spans[0].start :] == "[MASK]"
    assert one.margin == pytest.approx(one.alternatives[0].confidence - one.alternatives[1].confidence, abs=1e-6)


def test_a_text_that_asks_nothing_is_refused_by_row(bundle):
    with pytest.raises(DataError) as caught:
        bundle.predict(["please [MASK] me", "please help me"])
    assert "1 of 2 rows cannot be answered" in str(caught.value) and "holds no [MASK]" in str(caught.value)


def test_witness_rows_are_questions(bundle):
    rows = json.loads((bundle.path / "witness.json").read_text())["rows"]
    assert rows and all(row["text"].count("[MASK]") == 1 and len(row["probabilities"]) == 5 for row in rows)
    task = bundle.model.task
    assert [task.asking(text) for text in ("one", "中文字", "a b c", "a [MASK]")] == [
        "o[MASK]e",
        "中[MASK]字",
        "a [MASK] c",
        "a [MASK]",
    ]


def test_figures_are_of_the_same_draw_whatever_the_recipe_trains_on(home):
    table = cells.Texts(12, multi_label=False)
    rows = [{"text": text} for text in table.texts]
    short = {"backbone": {"max_length": 16}, "task": {"mask_share": 0.5, "whole_words": True}}
    asked = []
    for tables in ({}, short):
        model = made(home, **tables)
        trial = model.task.trial(model.backbone, rows)
        owners, targets = np.concatenate(trial.owners), np.concatenate(trial.targets)
        asked.append([targets[owners == row].tolist() for row in range(12)])
    assert asked[0] == asked[1]


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_share_out_of_bounds_is_refused(share):
    with pytest.raises(RecipeError, match="mask_share"):
        wanted(task={"mask_share": share})


def test_a_backbone_without_a_mask_token_is_refused_before_data_is_read(tmp_path):
    backbone(tmp_path / "tiny")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (tmp_path / "tiny" / name).is_file():
            told = json.loads((tmp_path / "tiny" / name).read_text())
            told.pop("mask_token", None)
            (tmp_path / "tiny" / name).write_text(json.dumps(told))
    with pytest.raises(UnsupportedError, match="no mask token"):
        train(wanted(data={"train": "nowhere.txt"}), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_untrained_head_and_a_head_for_labels_are_refused(home):
    with pytest.raises(UnsupportedError, match="cannot answer before it is trained"):
        check(wanted(method={"name": "none"}), home)
    with pytest.raises(UnsupportedError, match="heads that do: language"):
        check(wanted(task={"head": "linear"}), home)
    with pytest.raises(UnsupportedError, match="head language does not answer from one vector a row"):
        check(parse({"data": {"train": "a"}, "backbone": {"name": "tiny"}, "task": {"head": "language"}}, AXES), home)


def test_an_empty_text_file_is_refused(home):
    (home / "empty.txt").write_text("")
    with pytest.raises(DataError, match="an empty file"):
        train(wanted(data={"train": "empty.txt"}), home, home / "none")
    assert not (home / "none").exists()
