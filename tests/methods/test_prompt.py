"""What virtual tokens begin as."""

import pytest
import torch

from attune.core.recipe import parse
from attune.errors import RecipeError
from attune.model.assemble import AXES, assemble, check
from attune.tasks.classification import Labels
from support.tiny import backbone


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones")
    backbone(folder / "bert")
    return folder


def begun(root, **options):
    """The virtual tokens of a fresh model, and the ids of the words they are."""
    seed = options.pop("seed", 0)
    wanted = parse({"backbone": {"name": "bert"}, "method": {"name": "prompt", **options}}, AXES)
    wanted = wanted.having("training", seed=seed)
    network = assemble(wanted, check(wanted, root), Labels(("a", "b"), (1, 1))).backbone
    rows = network.network.virtual()
    words = network.network.get_input_embeddings().weight
    ids = torch.cdist(rows, words, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    torch.testing.assert_close(rows, words[ids], rtol=0, atol=0)
    return network.tokenizer.convert_ids_to_tokens(ids.tolist())


def test_a_text_is_repeated_to_fit(root):
    assert begun(root, tokens=5, init_text="where is") == ["where", "is", "where", "is", "where"]


def test_a_text_is_cut_to_fit(root):
    assert begun(root, tokens=2, init_text="where is my order") == ["where", "is"]


@pytest.mark.parametrize("text", ["  ", "\u200b"])
def test_a_text_of_no_words_is_refused(root, text):
    with pytest.raises(RecipeError, match="holds no token") as caught:
        begun(root, init_text=text)
    assert caught.value.where == "method.init_text"
    assert "leave it empty" in caught.value.remedy


def test_without_a_text_words_are_drawn_by_the_seed(root):
    found = begun(root, tokens=12)
    assert len(found) == 12
    assert len(set(found)) > 4
    assert not {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} & set(found)
    assert begun(root, tokens=12) == found
    assert begun(root, tokens=12, seed=1) != found
