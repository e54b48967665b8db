"""A network with another vocabulary."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, CanineConfig, IBertConfig

from attune.backbones.transplant import no_place, surfaces, transplant, vectors
from attune.backbones.vocabulary import TokenizerOptions, train
from support import tiny

TEXTS = ["where is my Order", "my parcel is late 订单", "refunded orders", "订单订单 order"] * 5


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return tiny.backbone(tmp_path_factory.mktemp("old") / "bert")


def new(kind, padding=0, vocabulary=330):
    options = TokenizerOptions(kind=kind, vocabulary=vocabulary)
    return train(lambda: TEXTS, options, positions=64, padding=padding).tokenizer


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_known_tokens_keep_their_vector_others_begin_as_the_mean_of_pieces(old, tmp_path, kind):
    tokenizer = new(kind)
    found = transplant(old, tokenizer, AutoModel, tmp_path / "new", 1)
    before, after = AutoModel.from_pretrained(old), AutoModel.from_pretrained(tmp_path / "new")
    known = AutoTokenizer.from_pretrained(old)
    was, now = before.get_input_embeddings().weight, after.get_input_embeddings().weight
    assert now.shape == (len(tokenizer), was.shape[1]) and after.config.vocab_size == len(tokenizer)
    numbers = {surface: number for number, surface in surfaces(tokenizer).items()}
    for word in ("my", "is"):
        torch.testing.assert_close(now[numbers[word.encode(), True]], was[known.get_vocab()[word]])
    number, parts = numbers[b"Order", True], known("order", add_special_tokens=False)["input_ids"]
    torch.testing.assert_close(now[number], was[parts].mean(0))
    for role in ("pad", "unk", "cls", "sep", "mask"):
        name = f"{role}_token_id"
        torch.testing.assert_close(now[getattr(tokenizer, name)], was[getattr(known, name)])
    assert found.kept > 5 and found.drawn > 0
    assert found.kept + found.averaged + found.drawn == len(tokenizer)
    rest = {key: value for key, value in before.state_dict().items() if "word_embeddings" not in key}
    for key, value in rest.items():
        assert torch.equal(after.state_dict()[key], value), key


def test_what_is_unknown_is_drawn_from_the_old_vectors_mean_and_spread_by_the_seed(old):
    tokenizer = new("bpe", vocabulary=400)
    known = AutoTokenizer.from_pretrained(old)
    before = torch.randn(len(known), 32) * 0.5 + 3
    one, counts = vectors(before, known, tokenizer, 1)
    assert torch.equal(one, vectors(before, known, tokenizer, 1)[0])
    other = vectors(before, known, tokenizer, 2)[0]
    drawn = (one != other).any(1)
    assert int(drawn.sum()) == counts.drawn > 100
    assert abs(float(one[drawn].mean()) - 3) < 0.1 and abs(float(one[drawn].std()) - 0.5) < 0.1


@pytest.mark.parametrize(
    ("config", "said"),
    [(CanineConfig(), "no table of input embeddings"), (IBertConfig(), "one vector a token"), (BertConfig(), "")],
    ids=["canine", "ibert", "bert"],
)
def test_a_network_whose_vocabulary_cannot_be_exchanged(config, said):
    with torch.device("meta"):
        network = AutoModel.from_config(config)
    reason = no_place(network, getattr(config, "vocab_size", 0))
    assert (said in reason) if said else not reason


def test_a_second_table_of_the_vocabulary_is_no_place():
    with torch.device("meta"):
        network = AutoModel.from_config(BertConfig(vocab_size=999))
        network.encoder.second = torch.nn.Embedding(999, 8)
    assert "more than one table" in no_place(network, 999)
