"""Generation: what a cache, a batch, a beam and a draw may change, and what they may not."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel, LlamaConfig, LlamaModel

from attune.backbones.checkpoints import Checkpoint
from attune.backbones.generating import Drawn
from attune.backbones.seq2seq import IGNORED
from attune.core.decoding import Decoding
from attune.core.records import Input
from attune.errors import BackboneError, DataError, RecipeError
from attune.methods.registry import METHODS
from support import cells
from support.tiny import FAMILIES, family_of

CAUSAL, SEQ2SEQ = FAMILIES["causal"], FAMILIES["seq2seq"]
KINDS = (*CAUSAL, *SEQ2SEQ)
TEXTS = ["where is my order", "refund", "please cancel the late parcel", "help me now", "card"]
GREEDY = Decoding(longest=9)
INSERTED = ("lora-all", "ia3", "adapter-houlsby", "prefix", "prefix-hidden", "prompt", "p_tuning")


def rows_of(backbone, texts=TEXTS):
    return backbone.encode([Input(text) for text in texts]).ids


def ends(backbone):
    """The ids at which a text ends."""
    return {*backbone.stops}


@torch.inference_mode()
def step_by_step(backbone, row, how):
    """Greedy search without a cache and without transformers' search: the whole sequence is read at every step.

    With `no_repeat = 1` no token is said twice.
    """
    said: list[int] = []
    start = None
    if not backbone.onward:
        start = torch.tensor([[backbone.network.config.decoder_start_token_id]])
    for _ in range(how.longest):
        if backbone.onward:
            inputs = backbone.collate([np.concatenate([row, np.asarray(said, dtype=np.int64)])])
        else:
            inputs = {
                **backbone.collate([row]),
                "decoder_input_ids": torch.cat([start, torch.tensor([said]).long()], 1),
            }
        logits = backbone.logits(inputs)[0, -1]
        if how.no_repeat:
            logits[[*(row.tolist() if start is None else start[0].tolist()), *said]] = -torch.inf
        best = int(logits.argmax())
        if best in ends(backbone):
            break
        said.append(best)
    return said


def tuned(backbone, name):
    """A backbone with a method applied, and what it inserted moved from its neutral start."""
    method = next(method for method in METHODS.names() if name in cells.METHODS.get(method, {method: {}}))
    options = cells.METHODS.get(method, {}).get(name, {})
    entry = METHODS.get(method)
    torch.manual_seed(1)
    entry(entry.Options.model_validate({"name": method, **options})).apply(backbone)
    moving = {key: value for key, value in backbone.network.named_parameters() if value.requires_grad}
    assert moving
    cells.jolt(moving, 0.1, torch.Generator().manual_seed(3))
    return backbone.eval()


def same(one, other):
    return [[text.tolist() for text in row] for row in one] == [[text.tolist() for text in row] for row in other]


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_changes_nothing(made, kind):
    backbone = made(kind, "generate")
    rows = rows_of(backbone)
    how = Decoding(longest=9, no_repeat=1)  # what a random decoder says most of all is one token over and over
    told = backbone.generate(rows, how)
    plain = [step_by_step(backbone, row, how) for row in rows]
    assert [row[0].tolist() for row in told] == plain
    assert len({tuple(text) for text in plain}) > 1


@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "t5", "marian", "encoder-decoder"])
@pytest.mark.parametrize("name", INSERTED)
def test_what_a_method_inserts_is_there_at_every_step(made, kind, name):
    backbone = made(kind, "generate")
    how = Decoding(longest=9, no_repeat=1)
    with torch.inference_mode():
        labels = {} if backbone.onward else {"labels": torch.tensor([[5, 6, 7]])}
        logits = backbone.logits({**backbone.collate(rows_of(backbone)[:1]), **labels})
        tuned(backbone, name)
        moved = backbone.logits({**backbone.collate(rows_of(backbone)[:1]), **labels})
    assert float((moved - logits).abs().max()) > 1e-3
    rows = rows_of(backbone)
    told = backbone.generate(rows, how)
    assert [row[0].tolist() for row in told] == [step_by_step(backbone, row, how) for row in rows]
    assert same(told, backbone.generate(rows, how, at_once=1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "how",
    [
        GREEDY,
        Decoding(longest=9, beams=3, candidates=2, length=1.4),
        Decoding(longest=9, sample=True, candidates=2, top_k=20, top_p=0.9, temperature=1.3, seed=4),
        Decoding(longest=9, shortest=4, repetition=1.5, no_repeat=2, forbidden=("refund", "my order")),
        Decoding(longest=15, sample=True, top_k=9, required=("parcel card", "thanks"), seed=1),
        Decoding(longest=15, beams=3, candidates=2, required=("parcel card", "thanks")),
    ],
    ids=["greedy", "beam", "sample", "bounds", "required", "required-beam"],
)
def test_a_row_s_texts_do_not_depend_on_the_rows_beside_it(made, kind, how):
    backbone = made(kind, "generate")
    rows = rows_of(backbone)
    together = backbone.generate(rows, how, at_once=8)
    assert same(together, backbone.generate(rows, how, at_once=1))
    assert same(together[::-1], backbone.generate(rows[::-1], how, at_once=3))
    assert all(len(texts) == how.candidates for texts in together)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5", "bart"])
def test_beam_search_is_transformers_own(made, kind):
    backbone = made(kind, "generate")
    row = rows_of(backbone)[2]
    (told,) = backbone.generate([row], Decoding(longest=9, beams=4, candidates=3))
    batch = backbone.collate([row])
    plain = backbone.network.generate(
        **batch,
        num_beams=4,
        num_return_sequences=3,
        max_new_tokens=9,
        do_sample=False,
        use_cache=False,
        pad_token_id=backbone.pad,
    )
    plain = plain[:, len(row) if backbone.onward else 1 :].tolist()
    cut = [[*text, *ends(backbone)][: [*text, *ends(backbone)].index(*ends(backbone))] for text in plain]
    assert [text.tolist() for text in told] == cut
    assert len({tuple(text) for text in cut}) == 3


def test_a_draw_is_one_of_the_softmax():
    logits = torch.tensor([0.0, 1.0, 2.0, -float("inf")])
    count = 5_000
    drawn = Drawn(range(count))(torch.zeros(count, 1), logits.expand(count, -1)).argmax(-1)
    shares = torch.bincount(drawn, minlength=4) / count
    torch.testing.assert_close(shares, logits.softmax(-1), atol=0.025, rtol=0)
    assert shares[3] == 0


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_draws_follow_the_seed_and_the_temperature(made, kind):
    backbone = made(kind, "generate")
    rows = rows_of(backbone)
    one, again, other = (backbone.generate(rows, Decoding(longest=9, sample=True, seed=seed)) for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)
    cold = backbone.generate(rows, Decoding(longest=9, sample=True, temperature=1e-6))
    assert same(cold, backbone.generate(rows, GREEDY))
    two = backbone.generate(rows, Decoding(longest=9, sample=True, candidates=2, seed=1))
    assert same([texts[:1] for texts in two], one)
    assert any(texts[0].tolist() != texts[1].tolist() for texts in two)


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
def test_what_a_checkpoint_forces_or_forbids_is_left_out_of_a_bare_draw(made, kind):
    backbone = made(kind, "generate")
    own = backbone.network.generation_config
    how = Decoding(longest=30, sample=True, candidates=8)
    rows = rows_of(backbone)
    usual, bare = backbone.tell(rows, how), backbone.tell(rows, replace(how, bare=True))
    own.min_length, own.forced_eos_token_id, own.bad_words_ids = 60, backbone.stops[0], [[17], [18], [19]]
    assert texts_and_ends(backbone.tell(rows, replace(how, bare=True))) == texts_and_ends(bare)
    assert backbone.network.generation_config is own
    forced = backbone.tell(rows, how)
    assert not {17, 18, 19} & {token for one in forced for text in one.texts for token in text.tolist()}
    assert texts_and_ends(forced) != texts_and_ends(usual)
    assert all(len(end) == 1 for one in forced for end in one.ends), "the last token is forced"
    assert {len(text) for one in forced for text in one.texts} != {29}, "no least length is asked for by the recipe"
    for one in bare:
        for text, end in zip(one.texts, one.ends, strict=True):
            assert len(end) == (len(text) < 30) and not {*end.tolist()} - {*backbone.stops}


def test_threads_that_write_by_one_network_take_turns(made, monkeypatch):
    backbone = made("gpt2", "generate")
    network, rows = backbone.network, rows_of(backbone)
    own, generate, strange = network.generation_config, network.generate, []
    lengths = (3, 5, 7, 9)
    expected = [backbone.generate(rows, Decoding(longest=each, shortest=each)) for each in lengths]

    def slow(**given):
        time.sleep(0.02)
        if network.generation_config is not given["generation_config"]:
            strange.append(given["generation_config"])
        return generate(**given)

    monkeypatch.setattr(network, "generate", slow)
    with ThreadPoolExecutor(len(lengths)) as pool:
        found = list(pool.map(lambda each: backbone.generate(rows, Decoding(longest=each, shortest=each)), lengths))
    assert all(same(*each) for each in zip(found, expected, strict=True))
    assert (network.generation_config is own, strange) == (True, [])


def test_seeds_may_be_given_a_row(made):
    backbone = made("gpt2", "generate")
    (row,) = rows_of(backbone, TEXTS[:1])
    how = Decoding(longest=9, sample=True, candidates=2)
    first, second = backbone.tell([row, row], how, seeds=[[1, 2], [3, 1]])
    assert first.texts[0].tolist() == second.texts[1].tolist()
    assert first.texts[1].tolist() != second.texts[0].tolist()


def texts_and_ends(found):
    return [([text.tolist() for text in one.texts], [end.tolist() for end in one.ends]) for one in found]


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_lengths_repetition_and_forbidden_phrases(made, kind):
    backbone = made(kind, "generate")
    rows = rows_of(backbone)
    long = backbone.generate(rows, Decoding(longest=12, shortest=12))
    assert {len(texts[0]) for texts in long} == {12}
    unlike = [texts[0].tolist() for texts in backbone.generate(rows, Decoding(longest=12, shortest=12, no_repeat=2))]
    for text in unlike:
        runs = list(pairwise(text))
        assert len(set(runs)) == len(runs)
    told = backbone.tokenizer.convert_ids_to_tokens(long[0][0].tolist())
    word = next(token for token in told if not token.startswith(("##", "[")))
    without = backbone.generate(rows, Decoding(longest=12, shortest=12, forbidden=(word,)))
    assert all(word not in backbone.tokenizer.convert_ids_to_tokens(t[0].tolist()) for t in without)
    assert not same(backbone.generate(rows, Decoding(longest=12, repetition=5.0)), backbone.generate(rows, GREEDY))


@pytest.mark.parametrize("kind", SEQ2SEQ)
def test_labels_are_shifted_and_padding_changes_nothing(made, kind):
    backbone = made(kind, "generate")
    targets = backbone.encode_targets(["cancel my order", "card"])
    assert [row[-1] for row in targets] == [3, 3]
    labels = backbone.collate_targets(targets)
    assert (labels[1, len(targets[1]) :] == IGNORED).all()
    batch = backbone.collate(rows_of(backbone)[:2])
    with torch.inference_mode():
        logits = backbone.logits({**batch, "labels": labels})
        start = torch.tensor([[backbone.network.config.decoder_start_token_id]])
        shifted = torch.cat([start, torch.from_numpy(targets[1])[None, :-1].long()], 1)
        alone = backbone.logits({**backbone.collate(rows_of(backbone)[1:2]), "decoder_input_ids": shifted})
    assert logits.shape[:2] == labels.shape
    torch.testing.assert_close(logits[1, : len(targets[1])], alone[0], atol=1e-5, rtol=0)


def test_a_target_is_read_by_the_target_s_own_vocabulary(made, monkeypatch):
    backbone = made("marian", "generate")
    modes = []
    monkeypatch.setattr(
        type(backbone.tokenizer), "_switch_to_target_mode", lambda self: modes.append("target"), raising=False
    )
    monkeypatch.setattr(
        type(backbone.tokenizer), "_switch_to_input_mode", lambda self: modes.append("input"), raising=False
    )
    backbone.encode([Input("card")])
    assert "target" not in modes
    modes.clear()
    backbone.encode_targets(["card"], max_length=3)
    assert modes[0] == "target" and modes[-1] == "input"


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_head_s_own_and_features_need_none(made, kind):
    reading, speaking = made(kind), made(kind, "generate")
    batch = reading.collate(rows_of(reading))
    with torch.inference_mode():
        torch.testing.assert_close(reading.tokens(batch), speaking.tokens(batch))
        torch.testing.assert_close(reading(batch), speaking(batch))
        labels = {} if speaking.onward else {"labels": torch.full((len(TEXTS), 2), 5)}
        logits = speaking.logits({**batch, **labels})
    assert logits.shape[-1] == len(speaking.tokenizer)
    assert not hasattr(reading.network, "lm_head")
    names = {name for name, _ in reading.network.named_parameters()}
    assert not any("decoder" in name or "lm_head" in name for name in names)


def test_layers_of_both_stacks_are_counted_from_the_encoder_up(made):
    backbone = made("t5", "generate")
    assert [(stack.path, stack.count) for stack in backbone.stacks] == [("encoder.block", 2), ("decoder.block", 3)]
    assert type(backbone).dimensions(backbone.network.config, frozenset({"generate"})) == (5, 32)
    depths = {name: backbone.depth(name) for name, _ in backbone.network.named_parameters()}
    assert depths["shared.weight"] == 0
    assert depths["encoder.block.0.layer.0.SelfAttention.q.weight"] == 1
    assert depths["encoder.final_layer_norm.weight"] == 2
    assert depths["decoder.block.0.layer.1.EncDecAttention.q.weight"] == 3
    assert depths["decoder.final_layer_norm.weight"] == 6
    frozen = METHODS.get("frozen")
    for layers, moving in ((1, {"decoder.block.2", "decoder.final_layer_norm"}), (4, {"encoder.block.1"})):
        frozen(frozen.Options(trainable_layers=layers)).apply(backbone)
        moved = {name for name, value in backbone.network.named_parameters() if value.requires_grad}
        assert all(any(name.startswith(prefix) for name in moved) for prefix in moving)
        assert not any(name.startswith(("encoder.block.0", "shared")) for name in moved)


def test_a_prompt_longer_than_the_positions_is_refused(made):
    backbone = made("gpt2", "generate")
    row = np.full(60, 7, dtype=np.int64)
    with pytest.raises(DataError, match="a prompt of 60 tokens, from which up to 9") as caught:
        backbone.generate([row[:3], row], GREEDY)
    assert caught.value.where == "row 1"
    assert caught.value.expected == "1 to 55 tokens"
    assert len(backbone.generate([row[:55]], GREEDY)) == 1
    with pytest.raises(RecipeError, match="up to 64 tokens") as refused:
        made("bart", "generate").generate([row[:3]], Decoding(longest=64))
    assert "at most 63" in refused.value.expected


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"shortest": 9, "longest": 3}, "raise longest"),
        ({"sample": True, "beams": 2}, "beams = 1"),
        ({"candidates": 3, "beams": 2}, "at least 3 beams"),
    ],
)
def test_values_that_do_not_go_together(values, told):
    with pytest.raises(RecipeError) as caught:
        Decoding(**values)
    assert told in caught.value.remedy


def test_a_checkpoint_without_its_language_head_reads_and_does_not_speak(made, root, tmp_path):
    config = LlamaConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48
    )
    made("llama").tokenizer.save_pretrained(tmp_path)
    LlamaModel(config).save_pretrained(tmp_path)
    family = type(made("llama"))
    options = family.Options(name="headless")
    there = Checkpoint("headless", tmp_path, "")
    assert family(there, options).width == 32
    with pytest.raises(BackboneError, match=r"lack 1 parameter\(s\), such as lm_head.weight"):
        family(there, options, needs=frozenset({"generate"}))
    assert family.lacks(family(there, options).network.config) >= {"next_token", "generate"}
    assert not family.lacks(made("gpt2").network.config) & {"next_token", "generate"}
    assert isinstance(made("gpt2", "next_token").network, GPT2LMHeadModel)
    assert family_of("gpt2") == "causal"
