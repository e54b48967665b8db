"""Texts that are written: what is learned of a row, how it is answered, and what is refused, for both families."""

import json
import random

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from attune.apps.http.service import service
from attune.compression.export import to_transformers
from attune.core.conversation import as_text, asked, given, messages_of
from attune.core.packing import IGNORED, ids_of, pieces_of
from attune.core.recipe import parse
from attune.core.records import Prediction
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.evaluation.measured import values
from attune.lifecycle.evaluate import evaluate_bundles
from attune.lifecycle.train import plan, train
from attune.model.assemble import AXES, Cell, assemble, check, why_not
from attune.model.bundle import load
from attune.serving.engine import Engine
from attune.tasks.common.aids import Aids
from attune.tasks.common.labelled import Labels
from attune.tasks.generation import Generation, GenerationOptions
from attune.training.encoded import encode
from support import cells
from support.bundles import write_rows
from support.tiny import FAMILIES

KINDS = (*FAMILIES["causal"], *FAMILIES["seq2seq"])
WORDS = "where is my order parcel card refund please cancel late broken wrong size".split()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folder with one tiny backbone a kind."""
    return cells.backbones(tmp_path_factory.mktemp("backbones"))


def variant(kind, asked="greedy", method="full"):
    return next(
        found for found in cells.every()
        if (found.task, found.kind, found.asked, found.method) == ("generation", kind, asked, method)
    )  # fmt: skip


def bench(kind, root, scratch, asked="greedy", **task):
    made = variant(kind, asked)
    return cells.bench(made, root, scratch, recipe=made.recipe().having("task", **task) if task else None)


def row_of(on, index=0):
    rows = on.rows
    return rows.row(index), rows.each[rows.starts[index] : rows.starts[index + 1]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_the_network_on_target_tokens_alone(kind, root, tmp_path):
    on = bench(kind, root, tmp_path)
    model = on.model
    total, weight = model.loss(model.collate(on.rows.rows([0, 1, 2])), on.rows.targets_of([0, 1, 2]))
    for index in range(3):
        ids, targets = row_of(on, index)
        network = model.backbone.network
        if model.backbone.onward:
            labels = np.full(len(ids), IGNORED)
            labels[1:] = targets[:-1]
            told = network(input_ids=torch.tensor(ids[None]), labels=torch.tensor(labels[None]))
            count = (labels != IGNORED).sum()
        else:
            read, written = (ids_of(piece) for piece in pieces_of(ids))
            told = network(input_ids=torch.tensor(read[None]), labels=torch.tensor(written[None]))
            count = len(written)
        assert weight[index] == count == (targets != IGNORED).sum()
        assert (total[index] / weight[index]).item() == pytest.approx(told.loss.item(), rel=1e-4)
        end = model.backbone.tokenizer.eos_token_id
        assert targets[targets != IGNORED][-1] == end, "the end is learned"


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
def test_nothing_of_what_is_read_is_learned(kind, root, tmp_path):
    on = bench(kind, root, tmp_path)
    prompts = on.model.encode(cells.texts(on.table)).ids
    for index, prompt in enumerate(prompts):
        ids, targets = row_of(on, index)
        assert ids[: len(prompt)].tolist() == prompt.tolist()
        assert (targets[: len(prompt) - on.model.backbone.onward] == IGNORED).all()
        said = on.model.task.said(targets[targets != IGNORED])
        assert said == on.table.golds[index]["texts"][0]


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_smoothing_is_of_training_alone(kind, root, tmp_path):
    plain, smooth = (
        bench(kind, root, tmp_path / name, label_smoothing=share) for name, share in (("a", 0), ("b", 0.3))
    )
    found = {}
    for name, on in (("plain", plain), ("smooth", smooth)):
        for training in (False, True):
            on.model.train(training)
            total, weight = on.model.loss(on.model.collate(on.rows.rows([0, 1])), on.rows.targets_of([0, 1]))
            found[name, training] = (total.sum() / weight.sum()).item()
    assert found["plain", False] == pytest.approx(found["smooth", False])
    assert found["smooth", True] != pytest.approx(found["plain", True], rel=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "bart", "encoder-decoder"])
def test_required_phrases_are_said_and_forbidden_ones_are_not(kind, root, tmp_path):
    free = bench(kind, root, tmp_path / "a", max_target=16)
    before = [found.answer for found in free.model.predict(cells.texts(free.table))]
    word = next((word for text in before for word in text.split() if word in WORDS), "card")
    for decoding in ({"beams": 1}, {"beams": 3}, {"sample": True}):
        bound = {**decoding, "required": ("refund card", "thanks"), "forbidden": (word,)}
        on = bench(kind, root, tmp_path / "b", max_target=16, decoding=bound)
        for found in on.model.predict(cells.texts(on.table)):
            assert "refund card" in found.answer and "thanks" in found.answer, found
            assert word not in found.answer.replace("refund card", "").split()
            assert not any("does not say" in notice for notice in found.notices)
    narrow = bench(kind, root, tmp_path / "c", max_target=2, decoding={"required": ("where is my order now please",)})
    told = narrow.model.predict(cells.texts(narrow.table)[:1])[0]
    assert told.notices[-1] == "does not say 'where is my order now please': the text would have been too long"


TALK = [
    {"role": "system", "content": "help me"},
    {"role": "user", "content": "where is my order"},
    {"role": "assistant", "content": "it is late"},
    {"role": "user", "content": "please cancel"},
    {"role": "assistant", "content": "thanks"},
]


def test_a_conversation_is_a_text_and_comes_back():
    assert messages_of(as_text(TALK)) == TALK
    assert messages_of(asked(TALK)) == TALK[:-1] == messages_of(asked(json.dumps(TALK)))
    assert messages_of(asked("hello: you")) == [{"role": "user", "content": "hello: you"}]
    assert given(["a", "list of texts"]) is None and given("[sic]") is None


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (TALK[2:], "message 0: the assistant speaks, and it is the turn of the user"),
        ([TALK[1], TALK[3], TALK[4]], "message 1: the user speaks, and it is the turn of the assistant"),
        ([{"role": "bot", "content": "x"}], "message 0: role is 'bot'"),
        ([{"role": "user", "content": " "}], "message 0: the user says ' '"),
        (TALK[:1], "nobody says anything"),
        (["hi", *TALK], "some messages are objects"),
    ],
)
def test_messages_in_a_wrong_order_are_refused(messages, said):
    with pytest.raises(ValueError, match=said.replace("'", "'")):
        asked(messages)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_every_turn_of_the_assistant_is_learned_and_no_other(kind, root, tmp_path):
    on = bench(kind, root, tmp_path, "drawn")
    task = on.model.task
    shown = task.shown({"text": asked(TALK[1:])}, {"texts": ["thanks"]})
    parts = [part.split("⟦")[-1] for part in shown.split("⟧")[:-1]]
    assert [part.replace("[SEP]", "").split() for part in parts] == [["it", "is", "late"], ["thanks"]]
    assert all(part.rstrip().endswith("[SEP]") for part in parts), "the end of a turn is learned"


def test_a_long_conversation_loses_its_first_turns_and_says_so(root, tmp_path):
    on = bench("gpt2", root, tmp_path, "drawn")
    long = [TALK[0], *(TALK[1:3] * 6), TALK[3]]
    encoding = on.model.encode([{"text": as_text(long)}])
    assert encoding.truncated.tolist() == [True] and len(encoding.ids[0]) <= 64 - 12
    text = on.model.backbone.tokenizer.decode(encoding.ids[0].tolist())
    assert text.startswith("system [UNK] help me") and "please cancel" in text
    assert on.model.predict([{"text": as_text(long)}])[0].notices[0].startswith("only the end of the")
    (ids,) = on.model.encode([{"text": " ".join([*WORDS * 6, "thanks"])}]).ids
    text = on.model.backbone.tokenizer.decode(ids.tolist())
    assert text.startswith("user") and "size thanks assistant" in text and len(ids) <= 64 - 12
    with pytest.raises(DataError, match="tokens long without its last message"):
        on.model.encode([{"text": as_text([{**TALK[0], "content": " ".join(WORDS * 6)}, TALK[1]])}])


def test_a_long_message_of_special_tokens_is_cut_as_any_other(root, tmp_path):
    on = bench("gpt2", root, tmp_path, "drawn")
    for count in (12, 30, 200):
        (ids,) = on.model.encode([{"text": "[SEP]" * count}]).ids
        assert 40 < len(ids) <= 64 - 12 and on.model.backbone.tokenizer.eos_token_id not in ids.tolist()


def test_a_template_without_the_assistant_role_is_refused(root, tmp_path):
    on = bench("gpt2", root, tmp_path, "drawn")
    on.model.backbone.tokenizer.chat_template = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    with pytest.raises(DataError, match="renders nothing of what the assistant says"):
        encode(on.model, on.table, tmp_path / "again")


@pytest.mark.parametrize("kind", ["gpt2", "bart", "marian"])
def test_the_cue_stays_where_a_text_is_cut(kind, root, tmp_path):
    on = bench(kind, root, tmp_path, before="help me ", cue=" thanks")
    encoding = on.model.encode([{"text": " ".join(["order"] * 90)}])
    text = on.model.backbone.tokenizer.decode(encoding.ids[0].tolist(), skip_special_tokens=True)
    assert text.startswith("help me order") and text.endswith("order thanks" if kind == "gpt2" else "order")
    assert encoding.truncated[0] and len(encoding.ids[0]) <= on.model.backbone.limit


def written_rows(count, seed=0):
    """Words, and each of them turned round."""
    draw = random.Random(seed)
    rows = [draw.choices(WORDS, k=draw.randint(2, 5)) for _ in range(count)]
    return [{"source": " ".join(row), "target": " ".join(word[::-1] for word in row)} for row in rows]


def recipe(family, *, data=None, **task):
    document = {
        "data": {"train": "rows.jsonl", "text": "source", "label": "target", "test_share": 0.1, **(data or {})},
        "backbone": {
            "family": family, "name": "scratch", "scratch": {"layers": 1, "width": 32, "heads": 2, "positions": 64},
            "tokenizer": {"vocabulary": 340},
        },
        "task": {"name": "generation", "max_target": 24, **task},
        "method": {"name": "full"},
        "training": {
            "epochs": 4, "batch_size": 8, "threads": 1, "precision": "float32", "attention": "sdpa",
            "learning_rate": 3e-3,
        },
        "evaluation": {"resamples": 100, "baselines": ["majority", "tfidf", "zero_shot"]},
    }  # fmt: skip
    return parse(document, AXES)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A bundle of each family, trained from scratch."""
    made = {}

    def bundle(family):
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            write_rows(folder / "rows.jsonl", written_rows(200))
            made[family] = train(recipe(family, preset="translation", decoding={"shortest": 3}), folder, folder / "run")
        return made[family]

    return bundle


@pytest.mark.parametrize("family", ["causal", "seq2seq"])
def test_a_bundle_writes_the_same_wherever_it_is_asked(trained, family, run, tmp_path):
    bundle = trained(family)
    asked = [row["source"] for row in written_rows(5, seed=4)]
    asked = [text for text, found in zip(asked, bundle.predict(asked), strict=True) if found.answer]
    assert len(asked) > 2
    expected = [found.answer for found in bundle.predict(asked)]
    again = load(bundle.path, root=tmp_path)
    assert [found.answer for found in again.predict(asked)] == expected
    assert all(found.confidence is None and found.alternatives == () for found in again.predict(asked))
    assert [row["answer"] for row in run("predict", bundle.path, "--json", *asked).lines] == expected
    client = TestClient(service(Engine(bundle), "key"))
    reply = client.post("/v1/predict", json={"rows": asked}, headers={"Authorization": "Bearer key"})
    assert [row["answer"] for row in reply.json()["predictions"]] == expected
    rows = [{"source": text, "target": [said, "x"]} for text, said in zip(asked, expected, strict=True)]
    write_rows(tmp_path / "gold.jsonl", rows)
    found = evaluate_bundles([bundle], str(tmp_path / "gold.jsonl")).evaluations[0]
    assert found.metrics["same_text"].value == 1.0, "an evaluated answer is a served one"


@pytest.mark.parametrize("family", ["causal", "seq2seq"])
def test_texts_stand_beside_a_copy_and_the_nearest_row(trained, family):
    bundle = trained(family)
    evaluation = json.loads((bundle.path / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["headline"] == ["bleu", "chrf"] and "perplexity" in evaluation["metrics"]
    named = {found["name"]: found["metrics"] for found in evaluation["baselines"]}
    assert set(named) == {"copy", "nearest"} and "perplexity" not in named["copy"]
    assert any("zero_shot left out" in notice for notice in evaluation["notices"])
    events = [json.loads(line) for line in (bundle.path.parent / "events.jsonl").read_text().splitlines()]
    losses = [event["validation_loss"] for event in events if event["event"] == "validation"]
    assert losses[-1] < 0.9 * losses[0]
    assert evaluation["metrics"]["perplexity"]["value"] < 60
    report = (bundle.path / "report.html").read_text(encoding="utf-8")
    assert "the text that was read, as it is" in report and "BLEU" in report
    card = (bundle.path / "card.md").read_text(encoding="utf-8")
    assert "Answers with a translation" in card and "No confidence is told" in card


@pytest.mark.parametrize("family", ["causal", "seq2seq"])
def test_plain_transformers_writes_what_the_bundle_writes(trained, family, tmp_path):
    bundle = trained(family)
    told = to_transformers(bundle, tmp_path / "plain")
    assert "generate()" in told and ("Translation" in told) == (family == "causal")
    network = (AutoModelForCausalLM if family == "causal" else AutoModelForSeq2SeqLM).from_pretrained(
        tmp_path / "plain"
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "plain")
    assert network.generation_config.eos_token_id == list(bundle.model.backbone.stops)
    for row in written_rows(4, seed=9):
        text = row["source"] + ("\nTranslation:\n" if family == "causal" else "")
        read = tokenizer([text], return_tensors="pt", return_token_type_ids=False)
        ids = network.eval().generate(**read)[0]
        said = tokenizer.decode(
            ids[read["input_ids"].shape[1] if family == "causal" else 1 :], skip_special_tokens=True
        )
        assert said.strip() == bundle.predict([row["source"]])[0].answer


def test_conversations_come_as_messages_from_everywhere(tmp_path, run):
    rows = [{"messages": [{"role": "user", "content": f"order {n} late"}, TALK[4]]} for n in range(30)]
    write_rows(tmp_path / "rows.jsonl", rows)
    wanted = recipe("causal", preset="dialogue", data={"text": "messages", "label": "messages"})
    bundle = train(wanted, tmp_path, tmp_path / "run")
    messages = [{"role": "user", "content": "order 3 late"}]
    (expected,) = bundle.predict(["order 3 late"])
    assert bundle.predict([{"messages": messages}])[0] == expected == bundle.predict([{"text": messages}])[0]
    client = TestClient(service(Engine(bundle), "key"))
    for row in ({"messages": messages}, {"text": messages}, "order 3 late"):
        reply = client.post("/v1/predict", json={"rows": [row]}, headers={"Authorization": "Bearer key"})
        assert reply.json()["predictions"][0]["answer"] == expected.answer
    wrong = {"rows": [{"messages": TALK[2:]}]}
    reply = client.post("/v1/predict", json=wrong, headers={"Authorization": "Bearer key"})
    assert reply.status_code == 422 and "the turn of the user" in reply.text
    answers = run(
        "predict", bundle.path, "--file", tmp_path / "rows.jsonl", "--column", "messages", "--out", tmp_path / "a.csv"
    )
    assert answers.code == 0 and (tmp_path / "a.csv").read_text(encoding="utf-8").count("order") == 30


class Rows:
    """Texts that are their own targets."""

    def __init__(self, texts):
        self.texts = lambda: texts
        self.golds = lambda: [{"texts": [text]} for text in texts]


def test_baselines_suit_the_preset():
    text = "One is here. Two is there. Three is red. Four is blue."
    (found,) = Generation(GenerationOptions(preset="summarisation")).baseline(
        "majority", Rows([text]), Rows([text]), Labels((), ()), Aids(None, lambda: None, 0)
    )
    assert found.answer == "One is here. Two is there. Three is red."
    assert Generation(GenerationOptions(preset="summarisation")).called["majority"] == "lead"
    assert Generation(GenerationOptions(preset="dialogue")).called["majority"] == "often"


def test_as_many_answers_as_rows_are_measured():
    scores = Generation(GenerationOptions()).judged("x", [Prediction("a")], [{"texts": ["a"]}] * 2, Labels((), ()))
    with pytest.raises(DataError, match="1 answers to 2 rows"):
        values(scores)


def test_a_plan_shows_what_is_learned_of_the_first_row(tmp_path):
    rows = [{"id": str(n), "messages": TALK} for n in range(12)]
    write_rows(tmp_path / "rows.jsonl", rows)
    wanted = recipe("causal", preset="dialogue", data={"text": "messages", "label": "messages", "id": "id"})
    found = plan(wanted, tmp_path)["first row, ⟦what is learned⟧"]
    assert found.count("⟦") == 2 and "thanks" in found.split("⟦")[2] and "where" in found.split("⟦")[0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"source": "a b", "target": " "}, "an empty target"),
        ({"source": "a b", "target": []}, "an empty target"),
        ({"source": "a b", "target": 3}, "a int where a text"),
        ({"source": "a b"}, "nothing"),
    ],
)
def test_rows_without_a_target_are_refused_by_line(tmp_path, row, said):
    write_rows(tmp_path / "rows.jsonl", [*written_rows(20), row])
    with pytest.raises(DataError, match=said) as error:
        train(recipe("seq2seq"), tmp_path, tmp_path / "run")
    assert "rows.jsonl:21" in str(error.value) and not (tmp_path / "run").exists()


def test_messages_are_refused_by_line(tmp_path):
    good = [{"messages": [{"role": "user", "content": f"{n} order"}, TALK[4]]} for n in range(20)]
    write_rows(tmp_path / "rows.jsonl", [*good, {"messages": TALK[2:]}, {"messages": TALK[:2]}])
    wanted = recipe("causal", preset="dialogue", data={"text": "messages", "label": "messages"})
    with pytest.raises(DataError) as error:
        train(wanted, tmp_path, tmp_path / "run")
    assert "rows.jsonl:21" in str(error.value) and "it is the turn of the user" in str(error.value)
    assert "rows.jsonl:22" in str(error.value) and "nobody answers it" in str(error.value)


def test_targets_that_would_lose_their_end_stop_the_run(tmp_path):
    write_rows(tmp_path / "rows.jsonl", written_rows(40))
    with pytest.raises(DataError, match="targets are longer than"):
        train(recipe("seq2seq", max_target=3), tmp_path, tmp_path / "run")


@pytest.mark.parametrize(("family", "most"), [("causal", 56), ("seq2seq", 63)])
def test_no_room_for_what_is_written_is_told_before_data_is_read(tmp_path, family, most):
    with pytest.raises(RecipeError, match=f"set task.max_target = {most}"):
        check(recipe(family, max_target=most + 1), tmp_path)
    check(recipe(family, max_target=most), tmp_path)
    with pytest.raises(RecipeError, match="a text of 9 to 8 tokens"):
        check(recipe(family, max_target=8, decoding={"shortest": 9}), tmp_path)


def test_what_does_not_go_together_is_told():
    assert "families that provide it: causal, seq2seq" in why_not(
        Cell("text", "generation", "own", "full", "supervised")
    )
    assert "heads that do: own" in why_not(Cell("causal", "generation", "linear", "full", "supervised"))
    assert "does not answer from one vector a row" in why_not(
        Cell("causal", "classification", "own", "full", "supervised")
    )
    assert why_not(Cell("causal", "generation", "own", "none", "supervised")) == ""
    with pytest.raises(RecipeError, match="candidates = 2 of beams = 1"):
        recipe("causal", decoding={"candidates": 2})
    with pytest.raises(RecipeError, match="no metric 'accuracy'"):
        Generation(GenerationOptions()).metric("accuracy")


def test_another_tokenizer_for_a_network_that_writes_is_refused(root):
    wanted = recipe("seq2seq").having("backbone", name="bart", scratch=None)
    with pytest.raises(UnsupportedError, match="writes by its words as well"):
        check(wanted, root)


@pytest.mark.parametrize("kind", ["qwen2", "marian"])
def test_an_untrained_backbone_answers_with_method_none(kind, root):
    made = variant(kind, method="none")
    wanted = made.recipe()
    model = assemble(wanted, check(wanted, root), Labels((), ()))
    assert not list(model.head.parameters())
    assert isinstance(model.predict([{"text": "where is my order"}])[0].answer, str)


def test_slots_may_come_as_a_mapping_and_are_learned(tmp_path):
    task = Generation(GenerationOptions(preset="data_to_text"))
    row = task.form.joined({"slots": {"name": "The Eagle", "food": "French"}})
    assert row["text"] == "name[The Eagle], food[French]"
    gold = task.right("The Eagle is French.", row)
    labels = task.labels([gold])
    assert labels.names == ("food[French]", "name[The Eagle]")
    found = task.judged("x", [Prediction("The Eagle.")], [gold], labels)
    assert found.measure(np.ones((1, 1)))["slot_error_rate"][0] == 0.5


def test_slots_are_not_chosen_by_where_no_row_has_any(tmp_path):
    write_rows(tmp_path / "rows.jsonl", written_rows(40))
    wanted = recipe("seq2seq", preset="data_to_text").having("training", metric="slot_error_rate")
    with pytest.raises(DataError, match="no validation row has slots"):
        train(wanted, tmp_path, tmp_path / "run")


@pytest.mark.parametrize(("kind", "least"), [("gpt2", 2), ("bart", 3)])
def test_long_texts_are_read_to_their_end_in_segments(kind, least, root, tmp_path, monkeypatch):
    on = bench(kind, root, tmp_path, preset="summarisation", segments=True, max_target=8, before="help me ")
    backbone, read = on.model.backbone, []

    def tell(rows, how, **more):
        read.append([backbone.tokenizer.decode(ids_of(row).tolist(), skip_special_tokens=True) for row in rows])
        return type(backbone).tell(backbone, rows, how, **more)

    monkeypatch.setattr(backbone, "tell", tell)
    draw = random.Random(1)
    words = draw.choices(WORDS, k=400)
    text = "".join(f"{word}{draw.choice(['. ', ' ', ' ', chr(10) * 2])}" for word in words)
    (found,) = on.model.predict([{"text": text}])
    assert len(read) >= least, "bart's summaries of summaries are too long, too"
    said = " ".join(part.replace("help me", "").replace("summary :", "") for part in read[0])
    assert [word for word in said.split() if word in WORDS] == words
    count = sum(map(len, read[:-1]))
    assert found.notices[0] == f"read in {count} segments, whose summaries were summarised"
    assert len(read[-1]) == 1
    short = [{"text": "where is my card"}, {"text": text}, {"text": text + " late"}]
    before, again, _ = on.model.predict(short)
    assert (
        again == found
        and not any("segments" in note for note in before.notices)
        and before == on.model.predict(short[:1])[0]
    )


def test_segments_are_of_summaries():
    with pytest.raises(ValueError, match='set preset = "summarisation"'):
        GenerationOptions(preset="translation", segments=True)
