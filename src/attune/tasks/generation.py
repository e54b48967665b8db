"""Generation: a text is written from what is read, as a summary, a translation, or the next turn of a conversation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from attune.core import conversation
from attune.core.decoding import Told
from attune.core.encoding import Encoding
from attune.core.form import Form, Gold
from attune.core.recipe import Options
from attune.core.records import Alternative, Input, Prediction
from attune.core.texts import FIRST
from attune.errors import DataError
from attune.tasks.code import sandbox
from attune.tasks.code.passing import passed
from attune.tasks.code.problems import FIELDS, problem_of, program_of
from attune.tasks.code.program_options import ProgramOptions
from attune.tasks.common import slots
from attune.tasks.common.aids import Aids
from attune.tasks.common.aligned import Aligned
from attune.tasks.common.asked import Asked
from attune.tasks.common.decoding_options import DecodingOptions
from attune.tasks.common.excerpts import lead
from attune.tasks.common.labelled import Labels
from attune.tasks.common.lexicon import NOTHING_SAID, Lexicon
from attune.tasks.common.preferences import Preferences
from attune.tasks.common.presets import PRESETS, Name, slots_text
from attune.tasks.common.prompts import FEWEST, Prompts, too_long
from attune.tasks.common.scored import figures, metric_of
from attune.tasks.common.segments import segments
from attune.tasks.common.text_scores import SLOTS, SURPRISE, TRIES, TextScores
from attune.tasks.heads.registry import HEADS
from attune.tasks.hybrid.hybrid_options import HybridOptions
from attune.tasks.hybrid.voice import DRAWN, FIXED, NEURAL, Voice, lexicon_of, meaning_of


class GenerationOptions(Options):
    """What is written, and how."""

    name: Literal["generation"] = "generation"
    head: str = "own"
    """What says which token comes next: the backbone's own language head."""
    preset: Name = "plain"
    """What texts are written for: it says what a row looks like, which figures come first and what stands between what
    is read and what is written."""
    before: str = ""
    """What stands before every text that is read, as an instruction."""
    cue: str | None = None
    """What stands between what is read and what is written, where a backbone reads both as one sequence. Not given: the
    preset's own."""
    max_target: int = Field(128, ge=2, le=100_000)
    """Tokens of what is written at most, the end token included; a training row with a longer target is counted as
    lost."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread over the vocabulary in training."""
    tokenise: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    """sacreBLEU's tokenizer for BLEU: 13a for European languages, zh for Chinese."""
    decoding: DecodingOptions = Field(default_factory=lambda: DecodingOptions.model_validate({}))
    """How a text is searched for or drawn."""
    segments: bool = False
    """For the preset summarisation: a text that is too long to be read at once is answered in segments, whose summaries
    are summarised, over and over until they fit. Training rows are cut all the same."""
    hybrid: HybridOptions | None = None
    """For the preset data_to_text: templates and n-grams answer beside the network, and of all texts the most natural
    one without slot error is given. `true`, or a table. Not given: the network alone."""

    programs: ProgramOptions | None = None
    """For the preset code: programs that were written are run with their rows' tests where they are evaluated, limited
    and without network. `true`, or a table. Not given: nothing is run."""

    @field_validator("hybrid", "programs", mode="before")
    @classmethod
    def switched(cls, found: Any) -> Any:
        """Takes true for the defaults, and false for nothing."""
        return ({} if found else None) if isinstance(found, bool) else found

    @model_validator(mode="after")
    def together(self) -> Self:
        """Refuses values that do not go together."""
        if self.hybrid and self.preset != "data_to_text":
            raise ValueError(f'hybrid says slots, and preset {self.preset!r} has none; set preset = "data_to_text"')
        if self.hybrid and (self.decoding.required or self.decoding.forbidden):
            raise ValueError("hybrid with required or forbidden phrases, which templates know nothing of")
        if self.segments and self.preset != "summarisation":
            raise ValueError(f'segments of what preset {self.preset!r} reads; set preset = "summarisation"')
        if self.programs and self.preset != "code":
            raise ValueError(f'programs are run, and preset {self.preset!r} writes none; set preset = "code"')
        if self.programs and self.decoding.candidates > 1 and not self.decoding.sample:
            raise ValueError(
                "several candidates of one search, of which no pass@k is known; set decoding.sample = true"
            )
        return self


class Generation:
    """A text is written; only what is written is learned, token by token, each counting alike.

    Args:
        options: Validated options.
        prompts: How rows are read by one backbone; without it nothing is read.
        learned: What was learned of the training rows besides weights, as `learn` gave it.
        source: Who answers alone, of a hybrid: `template`, `ngram` or `neural`. Empty: the best of all.
    """

    Options: ClassVar[type[GenerationOptions]] = GenerationOptions
    summary: ClassVar[str] = "a text that is written: summary, translation, text from data, the next turn, code"
    needs: ClassVar[frozenset[str]] = frozenset({"generate"})
    features: ClassVar[str] = "generate"
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf")
    no_baseline: ClassVar[str] = "what an untuned backbone writes is told by method none with the same recipe"
    cuts: ClassVar[bool] = True
    multi_label: ClassVar[bool] = False
    tempered: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    lost: ClassVar[tuple[str, str]] = (
        "targets are longer than task.max_target, and would be learned without their end",
        "raise task.max_target, or leave such rows out",
    )
    limits: ClassVar[str] = (
        "It writes what is likely after what it read, and nothing checks whether that is true. No confidence is told: "
        "how likely a text is says little of how good it is."
    )

    def __init__(
        self,
        options: GenerationOptions,
        prompts: Prompts | None = None,
        learned: Mapping[str, Any] | None = None,
        source: str = "",
    ) -> None:
        self.options = options
        self.preset = PRESETS[options.preset]
        self.prompts = prompts
        self.learned: Mapping[str, Any] = learned or {}
        self.source = source
        self.called = {"majority": self.preset.majority, "tfidf": "nearest"}

    def in_pairs(self) -> Preferences:
        """This task, learned from pairs of texts of which one is preferred."""
        return Preferences(self)

    @property
    def known(self) -> frozenset[str]:
        """What is right for a row by the keys of its gold, as far as the recipe says."""
        slotted = {"slots"} if self.options.preset == "data_to_text" else set[str]()
        return frozenset({"texts"} | slotted | ({"problem"} if self.options.programs else set[str]()))

    def why_not_drawn(self) -> tuple[str, str]:
        """Which option keeps it from learning from texts that its network draws, and why; empty texts where none."""
        if self.options.label_smoothing:
            return "label_smoothing", "would change the probabilities by which texts are drawn and weighed"
        if self.options.hybrid:
            return "hybrid", "lets others write, and only what the network writes can be rewarded"
        return "", ""

    def on(self, backbone: Any) -> Self:
        """This task with how a backbone reads its rows."""
        options = self.options
        cue = self.preset.cue if options.cue is None else options.cue
        cue = cue if backbone.onward else ""
        talks = options.preset == "dialogue"
        prompts = Prompts(backbone, options.before, cue, talks, options.max_target)
        return type(self)(options, prompts, self.learned, self.source)

    def learn(self, golds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What is learned of rows besides weights, and kept in the bundle: how slots are said, and of a hybrid texts.

        Args:
            golds: What is right for the training rows.

        Returns:
            JSON values; empty where no row has slots.

        Raises:
            DataError: A template that was given has a place for a slot that no row has.
        """
        if self.options.hybrid:
            return Voice.learn(golds, self.options.hybrid).plain()
        return {"lexicon": lexicon_of(golds).plain()} if any(gold.get("slots") for gold in golds) else {}

    def knowing(self, learned: Mapping[str, Any]) -> Self:
        """This task with what was learned of rows."""
        return type(self)(self.options, self.prompts, learned, self.source)

    @cached_property
    def voice(self) -> Voice | None:
        """What answers beside the network, of a hybrid that has learned."""
        options = self.options.hybrid
        return Voice.of(self.learned, options) if options and self.learned else None

    def alone(self) -> dict[str, Self]:
        """Of a hybrid, by name: this task with one source alone, checked by nobody."""
        sources = (FIXED, DRAWN, NEURAL) if self.voice else ()
        return {name: type(self)(self.options, self.prompts, self.learned, name) for name in sources}

    def lexicon(self, labels: Labels) -> Lexicon:
        """How values of slots are said; by themselves, where nothing else was learned."""
        if self.voice:
            return self.voice.lexicon
        if self.learned:
            return Lexicon.of(self.learned["lexicon"])
        return NOTHING_SAID.knowing(slot for name in labels.names for slot in slots.slots_of(name) or [])

    def check_room(self, family: Any, config: Any) -> None:
        """Refuses a network without positions for what is to be written, before data is read.

        Args:
            family: The backbone family.
            config: The network's config.

        Raises:
            RecipeError: Fewer than eight tokens are left to read, the decoder has too few positions, or the bounds of
                what is written do not go together.
            MachineError: Programs are to be run, and cannot be run apart here.
        """
        self.options.decoding.decoding(self.options.max_target)
        if self.options.programs:
            sandbox.run("pass")
        places = family.positions(config) if family.onward else family.written_positions(config)
        least = FEWEST if family.onward else 1
        if places is not None and places - self.options.max_target < least:
            raise too_long(self.options.max_target, places, least)

    @property
    def asked(self) -> Prompts:
        """How rows are read; raises ValueError without a backbone."""
        if self.prompts is None:
            raise ValueError("a generation task without its backbone")
        return self.prompts

    @property
    def cut(self) -> str:
        """What a person is told of a row that was too long."""
        what = "the end of the conversation" if self.options.preset == "dialogue" else "the first part of the text"
        return f"only {what} was read: there is room for {{limit}} tokens"

    @property
    def form(self) -> Form:
        """What a row must have."""
        gold = Gold(self.right, lambda _: [], "a text to be written, or a list of such,")
        made = said_in if self.options.hybrid else self.preset.made
        return Form(gold=gold, made=made, alias=self.preset.alias, beside=FIELDS if self.options.programs else {})

    def right(self, cell: Any, row: Mapping[str, Any]) -> dict[str, Any]:
        """What is right for a row: its target texts, and for data the slots they should say.

        Args:
            cell: A text, or a list of texts; of a conversation also its messages, of which the last is the target.
            row: For what was read.

        Returns:
            `{"texts": […]}`, with `slots` where what is read is a meaning representation, and `problem` where programs
            are run.

        Raises:
            ValueError: There is no text, or an empty one; or no tests, where programs are run.
        """
        if self.options.preset == "dialogue" and (messages := conversation.given(cell)):
            if messages[-1]["role"] != "assistant":
                raise ValueError(f"message {len(messages) - 1} is the {messages[-1]['role']}'s, and nobody answers it")
            cell = messages[-1]["content"]
        texts = [cell] if isinstance(cell, str) else cell
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"a {type(cell).__name__} where a text or a list of texts was expected")
        if not texts or not all(text.strip() for text in texts):
            raise ValueError("an empty target, from which nothing can be learned")
        found = slots.slots_of(str(row[FIRST])) if self.options.preset == "data_to_text" else None
        run = self.options.programs
        return {
            "texts": texts,
            **({"slots": [list(slot) for slot in found]} if found else {}),
            **({"problem": problem_of(row, continues=run.continues)} if run else {}),
        }

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        del labels
        return self.preset.answers

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone reads of a row."""
        return [Input(str(row[FIRST]))]

    def written(self, gold: Mapping[str, Any]) -> list[str]:
        """What is to be written of a row; a tokenizer of one's own is trained on it too."""
        return list(gold["texts"])

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids, ragged: what is read, and nothing of what is to be written."""
        del backbone
        return self.asked.read(rows)

    def labels(self, golds: Iterable[Any]) -> Labels:
        """The values of slots among the training rows, as `name[value]`; no other labels are learned.

        Args:
            golds: The rows' targets.

        Returns:
            The slots, with counts; the last entry counts the rows.
        """
        counts: Counter[str] = Counter()
        rows = 0
        for gold in golds:
            rows += 1
            counts.update(f"{name}[{value}]" for name, value in gold.get("slots") or [])
        if not rows:
            raise DataError("there are no training rows", where="data.train", expected="rows with a text to be written")
        return Labels(tuple(sorted(counts)), tuple(counts[name] for name in sorted(counts)))

    def unseen(self, golds: Iterable[Any], labels: Labels) -> list[str]:
        """No target stops a run: they all differ."""
        del golds, labels
        return []

    def condensed(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Rows as they are read to be answered: where a text is too long, the summaries of its segments stand for it.

        Args:
            rows: With their texts.

        Returns:
            The rows; those that were read in segments with their number.
        """
        if not self.options.segments or self.asked.free < FEWEST:
            return rows
        found = [dict(row) for row in rows]
        for _ in range(DEEPEST):
            long = [row for row in found if not self.asked.fits(str(row[FIRST]))]
            if not long:
                break
            self.condense(long)
        return found

    def condense(self, rows: Sequence[dict[str, Any]]) -> None:
        """Puts the summaries of its segments in the place of each row's text.

        A summary has at most a quarter of the tokens of what is read at once, so that what comes of it is shorter.
        """
        how = self.options.decoding.decoding(self.options.max_target)
        longest = max(1, min(how.longest, self.asked.free // 4))
        how = replace(how, longest=longest, shortest=min(how.shortest, longest), required=(), candidates=1)
        parts = [segments(str(row[FIRST]), self.asked.fits) for row in rows]
        read = self.asked.read([{FIRST: part} for own in parts for part in own])
        told = iter(self.asked.backbone.tell(read.ids, how))
        for row, own in zip(rows, parts, strict=True):
            texts = [self.said(next(told).texts[0]) for _ in own]
            row[FIRST] = "\n".join(text for text in texts if text)
            row[SEGMENTS] = row.get(SEGMENTS, 0) + len(own)

    def examples(
        self, rows: Sequence[Mapping[str, Any]], golds: Sequence[Any], encoding: Encoding, labels: Labels
    ) -> tuple[Encoding, Aligned]:
        """What is learned from: each row with its first target, of which alone something is learned."""
        del labels
        found = [
            self.asked.example(row, prompt, gold["texts"][0])
            for row, prompt, gold in zip(rows, encoding.ids, golds, strict=True)
        ]
        read = Encoding(
            [one.ids for one in found], encoding.truncated, encoding.unknown, encoding.words, encoding.longest
        )
        return read, Aligned([one.targets for one in found], len(found), sum(one.lost for one in found))

    def shown(self, row: Mapping[str, Any], gold: Mapping[str, Any]) -> str:
        """One row as it is read, with what is learned of it in double brackets.

        Args:
            row: What is read of it.
            gold: What is to be written.

        Returns:
            The tokens as text, special ones included.
        """
        (prompt,) = self.asked.read([row]).ids
        return self.asked.marked(self.asked.example(row, prompt, gold["texts"][0]))

    def outputs_of(self, labels: Labels) -> int:
        """As many numbers a token as there are words in the backbone's vocabulary."""
        del labels
        return len(self.asked.backbone.tokenizer)

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """The backbone's own head, with the loss of what it says."""
        del width, labels, dropout
        return HEADS.get(self.options.head)(self.options.label_smoothing)

    def join(self, features: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits `(B, T, V)` as they are."""
        del inputs
        return features

    def tell(self, backbone: Any, ids: Sequence[NDArray[np.int64]]) -> list[Told]:
        """What the backbone writes of rows that were read; nothing where others answer alone."""
        if self.source in (FIXED, DRAWN):
            return [UNTOLD] * len(ids)
        return backbone.tell(ids, self.options.decoding.decoding(self.options.max_target))

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Texts as answers; no confidence is made up."""
        if self.voice and self.source != NEURAL:
            rows = zip(asked.rows, asked.outputs, asked.notices, strict=True)
            return [self.checked(str(row[FIRST]), told, notices) for row, told, notices in rows]
        return [
            self.answered(told, (*parted(row), *notices))
            for row, told, notices in zip(asked.rows, asked.outputs, asked.notices, strict=True)
        ]

    def checked(self, text: str, told: Told, notices: tuple[str, ...]) -> Prediction:
        """One row's answer by a hybrid: a text without slot error, or none; with what said it."""
        assert self.voice
        try:
            meaning = meaning_of(text)
        except ValueError as error:
            return Prediction("", None, (), (*notices, f"no answer: {error}"), told.first, margin=told.margin)
        if self.source:
            return Prediction(self.voice.alone(self.source, meaning), None, (), notices, told.first, margin=told.margin)
        found, count = self.voice.chosen(meaning, [self.said(ids) for ids in told.texts])
        answer, note = found.text, f"said by {found.source}: {found.right} of {count} texts have no slot error"
        if found.errors.count:
            wrong = ", ".join(dict.fromkeys([*found.errors.missing, *found.errors.added, *found.errors.wrong]))
            answer, note = "", f"no answer: nothing says these slots without error: {wrong}"
        return Prediction(answer, None, (), (*notices, note), probabilities=told.first, margin=told.margin)

    def answered(self, told: Told, notices: tuple[str, ...]) -> Prediction:
        """One row's answer."""
        texts = [self.said(ids) for ids in told.texts]
        lacking = [phrase for phrase in self.options.decoding.required if phrase not in texts[0]]
        notes = [f"does not say {phrase!r}: the text would have been too long" for phrase in lacking]
        rest = texts[1:] if self.options.programs else [each for each in dict.fromkeys(texts[1:]) if each != texts[0]]
        others = tuple(Alternative(text, None) for text in rest)  # of programs every draw counts, alike or not
        return Prediction(texts[0], None, others, (*notices, *notes), probabilities=told.first, margin=told.margin)

    def said(self, ids: NDArray[np.int64]) -> str:
        """Token ids as a text; a program keeps the space that its first line begins with."""
        found: str = self.asked.backbone.tokenizer.decode(ids.tolist(), skip_special_tokens=True)
        return found.rstrip().lstrip("\n") if self.options.preset == "code" else found.strip()

    def judged(self, name: str, predictions: Sequence[Prediction], golds: Sequence[Any], labels: Labels) -> TextScores:
        """Texts beside what was right."""
        return TextScores(
            name, list(golds), [str(found.answer) for found in predictions], None,
            first=self.preset.first, tokenise=self.options.tokenise, lexicon=self.lexicon(labels),
            passed=self.passed(predictions, golds),
        )  # fmt: skip

    def passed(self, predictions: Sequence[Prediction], golds: Sequence[Any]) -> NDArray[np.float64] | None:
        """Programs of each row, and how many passed its tests `(N, 2)`; nothing where the recipe runs none."""
        if not self.options.programs or len(predictions) != len(golds):
            return None
        problems = [gold["problem"] for gold in golds]
        each = [
            [program_of(text, problem) for text in (str(found.answer), *(other.label for other in found.alternatives))]
            for found, problem in zip(predictions, problems, strict=True)
        ]
        verdicts = passed(problems, each, self.options.programs.limits())
        return np.array([[len(row), sum(one.passed for one in row)] for row in verdicts], dtype=np.float64).reshape(
            -1, 2
        )

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better; perplexity, for which nothing need be written.

        Args:
            name: A metric, `loss`, or nothing.

        Returns:
            The name and the direction.

        Raises:
            RecipeError: There is no such metric.
        """
        return metric_of(TextScores, name or SURPRISE)

    def unmeasured(self, name: str, golds: Iterable[Mapping[str, Any]]) -> str:
        """What a metric needs and no row has, in words; empty where it can be measured."""
        if name == SLOTS and not any(gold.get("slots") for gold in golds):
            return 'slots (preset = "data_to_text", and what is read as name[value], name[value])'
        tries = TRIES.get(name, 0)
        if tries and not (self.options.programs and self.options.decoding.candidates >= tries):
            return f"{tries} program(s) that are run (task.programs, and task.decoding.candidates)"
        return ""

    def metrics(self, answers: TextScores) -> dict[str, float]:
        """Every metric of the task, by name."""
        return figures(answers)

    def baseline(self, name: str, train: Any, table: Any, labels: Labels, aids: Aids) -> list[Prediction]:
        """Answers as something that costs next to nothing would.

        Args:
            name: `majority`: what was read, its first sentences, or the most frequent target, as suits the preset.
                `tfidf`: the target of the training row that is nearest by TF-IDF.
            train: The training rows.
            table: The rows to answer.
            labels: Not needed.
            aids: What TF-IDF comes from.

        Returns:
            One prediction a row.
        """
        del labels
        targets = [gold["texts"][0] for gold in train.golds()]
        if name == "tfidf":
            found = nearest(train.texts(), targets, table.texts(), aids)
        elif self.preset.majority == "often":
            found = [Counter(targets).most_common(1)[0][0]] * len(table)
        elif self.preset.majority == "lead":
            found = [str(lead(text, "auto").answer) for text in table.texts()]
        else:
            found = table.texts()
        return [Prediction(text) for text in found]


DEEPEST = 16
"""Times that summaries are summarised at most; a text that is still too long then is cut, and the answer says so."""
SEGMENTS = " segments"
"""Where a row keeps in how many segments it was read; no name of a column."""
UNTOLD = Told([], np.zeros(0, dtype=np.float32), 1.0)
"""Stands for what a network was not asked."""


def parted(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What a person is told of a row that was read in segments."""
    count = row.get(SEGMENTS, 0)
    return (f"read in {count} segments, whose summaries were summarised",) if count else ()


def said_in(cell: Any) -> str:
    """A meaning representation that can be said slot by slot; raises ValueError with a clause where there is none."""
    text = slots_text(cell)
    meaning_of(text)
    return text


def nearest(texts: Sequence[str], targets: Sequence[str], asked: Sequence[str], aids: Aids) -> list[str]:
    """The targets of the texts nearest to others by the cosine of TF-IDF."""
    made = aids.vectoriser()
    there = made.fit_transform(texts)
    found = made.transform(asked)
    return [targets[int(np.argmax((row @ there.T).toarray()))] for row in found]
