"""Generation by transformers' own search, made so that a row's text does not depend on the rows beside it."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from threading import Lock
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    DynamicCache,
    EncoderDecoderCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from attune.backbones.required import Required, forms
from attune.core.decoding import Decoding, Ids, Told
from attune.core.packing import ids_of
from attune.errors import DataError

FIRST = 8
"""Probabilities of the first token that are told."""
TURNS: WeakKeyDictionary[Any, Lock] = WeakKeyDictionary()
LOOKING = Lock()


class Speaker(Protocol):
    """What generation needs of a backbone."""

    network: Any
    tokenizer: Any
    onward: ClassVar[bool]
    """Whether what is generated goes on from what is there."""

    @property
    def pad(self) -> int:
        """What fills a row up."""
        ...

    @property
    def stops(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        ...


class Drawn(LogitsProcessor):
    """Adds Gumbel noise, after which the largest logit is a draw from the softmax (Gumbel 1954).

    Every sequence has a generator of its own, so that its draws do not depend on what is beside it.

    Args:
        seeds: One a sequence.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.draws = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Noisy logits.

        Args:
            input_ids: `(B, T)`; not read.
            scores: `(B, V)`.

        Returns:
            `(B, V)`; what could not be drawn before cannot be now.
        """
        del input_ids
        noise = torch.stack([torch.empty(scores.shape[1]).exponential_(generator=draw) for draw in self.draws])
        return scores - noise.log().to(scores.device)


class Witnessed(LogitsProcessor):
    """Changes nothing, and remembers how sure each step was; the last of all processors.

    Attributes:
        first: `(S, K)` the largest probabilities of the first step, of each sequence.
        gaps: A step an entry, `(S,)`: the largest probability less the second largest.
    """

    def __init__(self) -> None:
        self.first: NDArray[np.float32] | None = None
        self.gaps: list[NDArray[np.float32]] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores `(S, V)` as they are."""
        del input_ids
        best = scores.float().softmax(-1).topk(min(FIRST, scores.shape[1])).values.cpu().numpy()
        if self.first is None:
            self.first = best
        self.gaps.append(best[:, 0] - best[:, 1])
        return scores


def whole(network: Any) -> Any:
    """The network below what peft wrapped around it."""
    return network.get_base_model() if hasattr(network, "get_base_model") else network


@torch.inference_mode()
def generate(
    speaker: Speaker, rows: Sequence[Ids], how: Decoding, *, at_once: int, seeds: Sequence[Sequence[int]] = ()
) -> list[Told]:
    """Generates texts from rows.

    Args:
        speaker: The backbone.
        rows: Token ids, ragged.
        how: Search or draw, and its bounds.
        at_once: Sequences in one batch.
        seeds: Of draws, for each row one a candidate; not given: what `seed_of` tells.

    Returns:
        What was generated of each row, in the order of the rows.
    """
    found: list[list[Told]] = [[] for _ in rows]
    times = how.candidates if how.sample else 1
    asked = [(index, number) for index in range(len(rows)) for number in range(times)]
    training = speaker.network.training
    speaker.network.eval()
    # transformers counts padding before a text among what must not be repeated
    even = speaker.onward and (how.repetition != 1 or how.no_repeat > 0)
    for batch in by_length(asked, rows, at_once, even=even):
        own = [seeds[index][number] if seeds else seed_of(rows[index], how.seed, number) for index, number in batch]
        told = one_batch(speaker, [ids_of(rows[index]) for index, _ in batch], how, own)
        for (index, _), one in zip(batch, told, strict=True):
            found[index].append(one)
    speaker.network.train(training)
    return [together(parts) for parts in found]


def together(parts: Sequence[Told]) -> Told:
    """Candidates of one row that were drawn apart, as one."""
    texts = [text for part in parts for text in part.texts]
    ends = tuple(end for part in parts for end in part.ends)
    return Told(texts, parts[0].first, min(part.margin for part in parts), ends)


def fit(rows: Sequence[Ids], room: int, how: Decoding) -> None:
    """Refuses rows that a network has no positions for.

    Args:
        rows: Token ids, ragged.
        room: Tokens that a row may have.
        how: For the error.

    Raises:
        DataError: A row is longer, or is empty.
    """
    for index, row in enumerate(rows):
        if not 0 < len(row) <= room:
            raise DataError(
                f"a prompt of {len(row)} tokens, from which up to {how.longest} are generated",
                where=f"row {index}",
                expected=f"1 to {max(room, 0)} tokens",
                remedy="shorten the prompt, or generate fewer tokens",
            )


def by_length(
    asked: list[tuple[int, int]], rows: Sequence[Ids], at_once: int, *, even: bool
) -> Iterator[list[tuple[int, int]]]:
    """Groups what is asked so that rows of like length are together, the longest first; `even`: of the same length."""
    order = sorted(asked, key=lambda each: -len(rows[each[0]]))
    for _, group in groupby(order, key=lambda each: len(rows[each[0]]) if even else 0):
        alike = list(group)
        yield from (alike[at : at + at_once] for at in range(0, len(alike), at_once))


def seed_of(row: Ids, seed: int, number: int) -> int:
    """The seed of one candidate's draws: of its text, the decoding's seed and its number."""
    return zlib.crc32(row.tobytes() + f"{seed}/{number}".encode())


def one_batch(speaker: Speaker, rows: Sequence[Ids], how: Decoding, seeds: Sequence[int]) -> list[Told]:
    """Generates from one batch; padded on the left where it goes on from the text, else on the right.

    The cache of a decoder is one that grows: transformers would make one of as many layers as the encoder has.
    """
    network = whole(speaker.network)
    with turn(network):
        config = settings(speaker, how)
        ids, mask = padded(rows, config.pad_token_id, left=speaker.onward)
        device = next(network.parameters()).device
        witnessed = Witnessed()
        begun = ids.shape[1] if speaker.onward else 1
        with instead(network, config):
            found: Tensor = network.generate(
                input_ids=torch.from_numpy(ids).to(device),
                attention_mask=torch.from_numpy(mask).to(device),
                generation_config=config,
                logits_processor=LogitsProcessorList([*steps(speaker, how, seeds, begun, config), witnessed]),
                **({} if speaker.onward else {"past_key_values": EncoderDecoderCache(DynamicCache(), DynamicCache())}),
            )
    texts = [ended(row, config) for row in found[:, begun:].cpu().numpy().astype(np.int64)]
    each = len(texts) // len(rows)
    parts = [texts[at : at + each] for at in range(0, len(texts), each)]
    return [told_of(row, part, witnessed, how) for row, part in enumerate(parts)]


def padded(rows: Sequence[Ids], pad: int, *, left: bool) -> tuple[Ids, Ids]:
    """Rows as one array `(B, T)`, filled up on the left or the right; and what is no filling as ones `(B, T)`."""
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for index, row in enumerate(rows):
        place = slice(longest - len(row), None) if left else slice(len(row))
        ids[index, place], mask[index, place] = row, 1
    return ids, mask


@contextmanager
def turn(network: Any) -> Generator[None]:
    """A context in which no other thread writes by a network: each finds the network's own generation config."""
    with LOOKING:
        mine = TURNS.setdefault(network, Lock())
    with mine:
        yield


@contextmanager
def instead(network: Any, config: Any) -> Generator[None]:
    """A context in which a network has another generation config: transformers takes from its own what is not set."""
    own = network.generation_config
    network.generation_config = config
    try:
        yield
    finally:
        network.generation_config = own


def told_of(row: int, told: list[tuple[Ids, Ids]], witnessed: Witnessed, how: Decoding) -> Told:
    """One row of a batch, with how sure its steps were."""
    assert witnessed.first is not None
    texts = [text for text, _ in told]
    sequence = row * how.beams
    margin = 0.0
    if how.beams == 1:
        margin = min(float(gap[sequence]) for gap in witnessed.gaps[: len(texts[0]) + 1])
    return Told(texts, witnessed.first[sequence], margin, tuple(end for _, end in told))


def steps(speaker: Speaker, how: Decoding, seeds: Sequence[int], begun: int, config: Any) -> list[Any]:
    """What is done to logits besides transformers' own steps; what must be said comes after a draw, which it corrects.

    Args:
        speaker: The backbone.
        how: Search or draw, and its bounds.
        seeds: Of draws, one a sequence.
        begun: Tokens of a sequence before what is generated.
        config: With the end tokens.

    Returns:
        Processors, in order.
    """
    wanted = [forms(speaker.tokenizer, phrase) for phrase in how.required]
    must = [Required(wanted, ends_of(config), begun, how.longest, how.beams)] if wanted else []
    return [*(draws(how, seeds) if how.sample else []), *must]


def ends_of(config: Any) -> list[int]:
    """The tokens that a text may end with."""
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    return [int(end) for end in ends if end is not None]


def ended(row: Ids, config: Any) -> tuple[Ids, Ids]:
    """What was generated before the end token, or before the padding of a text that ended early; and the end token."""
    stops = np.flatnonzero(np.isin(row, ends_of(config)))
    first = stops[0] if len(stops) else len(row)
    return row[:first], row[first : first + 1]


def settings(speaker: Speaker, how: Decoding) -> Any:
    """The backbone's own special tokens, and of everything else what was asked for."""
    network = whole(speaker.network)
    config: Any = plainest(network) if how.bare else copy.deepcopy(network.generation_config)
    config.eos_token_id = list(speaker.stops) or None
    if config.pad_token_id is None:
        config.pad_token_id = speaker.pad
    forbidden = phrases(speaker.tokenizer, how.forbidden)
    config.update(
        max_new_tokens=how.longest, min_new_tokens=how.shortest or None, max_length=None, min_length=None,
        num_beams=how.beams, num_return_sequences=1 if how.sample else how.candidates, do_sample=False,
        temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=how.repetition, no_repeat_ngram_size=how.no_repeat,
        length_penalty=how.length, early_stopping=False, use_cache=True,
        bad_words_ids=[*(config.bad_words_ids or []), *forbidden] or None,
    )  # fmt: skip
    return config


def plainest(network: Any) -> Any:
    """The special tokens of a network's generation config, and nothing that forces or forbids a token."""
    own = network.generation_config
    return GenerationConfig(
        bos_token_id=own.bos_token_id, pad_token_id=own.pad_token_id, decoder_start_token_id=own.decoder_start_token_id
    )


def phrases(tokenizer: Any, forbidden: Sequence[str]) -> list[list[int]]:
    """Token ids of phrases, at the beginning of a text and within one."""
    found = [tuple(ids) for phrase in forbidden for ids in forms(tokenizer, phrase)]
    return [list(ids) for ids in dict.fromkeys(found)]


def draws(how: Decoding, seeds: Sequence[int]) -> list[Any]:
    """What makes the largest logit a draw."""
    steps: list[Any] = []
    if how.temperature != 1:
        steps.append(TemperatureLogitsWarper(how.temperature))
    if how.top_k:
        steps.append(TopKLogitsWarper(how.top_k))
    if how.top_p < 1:
        steps.append(TopPLogitsWarper(how.top_p))
    return [*steps, Drawn(seeds)]
