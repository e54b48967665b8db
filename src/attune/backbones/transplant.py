"""Vocabulary transplant: a pretrained network is given a tokenizer of another language, and keeps its layers.

A new token that the old vocabulary has keeps its vector; another begins as the mean of the vectors of the pieces that
the old tokenizer makes of it. That is Fast Vocabulary Transfer (Gee et al. 2022). Where the old tokenizer knows no
piece either, as for most of another script, the vector is drawn feature by feature from the mean and spread of the old
vectors (Hewitt 2021 draws from their full covariance). WECHSEL (Minixhofer et al. 2022) and FOCUS (Dobler & de Melo
2023) weigh old vectors by likeness in static word vectors, which are not asked for here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from attune.backbones.scratch import special_numbers

ROLES = ("pad", "unk", "cls", "sep", "mask")
STAND_INS = {"cls": "bos", "sep": "eos"}
"""What has the place of a role in tokenizers that do not name it."""
WORD = "▁"
Surface = tuple[bytes, bool]
"""What a token stands for in a text, as UTF-8, and whether a word begins with it."""


@dataclass(frozen=True)
class Transplanted:
    """How many new tokens began in which way."""

    kept: int
    averaged: int
    drawn: int

    def __str__(self) -> str:
        total = self.kept + self.averaged + self.drawn
        return (
            f"of {total} new tokens {self.kept} keep their vector, {self.averaged} begin as the mean of the old "
            f"tokenizer's pieces, {self.drawn} are drawn at random"
        )


def no_place(network: Any, vocabulary: int) -> str:
    """Why a network's vocabulary cannot be exchanged; empty where it can be.

    Args:
        network: The network; its weights need not be there.
        vocabulary: Tokens that its config says it has.

    Returns:
        The reason.
    """
    try:
        table = network.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        return f"{type(network).__name__} has no table of input embeddings"
    if not isinstance(table, nn.Embedding) or table.num_embeddings != vocabulary:
        return f"{type(network).__name__} does not read tokens by a table of one vector a token"
    output = network.get_output_embeddings() if hasattr(network, "get_output_embeddings") else None
    taken = (table, output)
    others = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Embedding | nn.Linear)
        and all(module is not known for known in taken)
        and module.weight is not table.weight
        and module.weight.shape[0] == vocabulary
        and "position" not in name
    ]
    if others:
        return f"{type(network).__name__} has more than one table of {vocabulary} tokens ({', '.join(others[:3])})"
    return ""


def transplant(source: Path, tokenizer: Any, kind: Any, folder: Path, seed: int) -> Transplanted:
    """Writes a checkpoint with another vocabulary; positions, types and layers are as they were.

    Args:
        source: The old checkpoint.
        tokenizer: The new tokenizer.
        kind: The transformers class that loads the network, such as `AutoModel`.
        folder: Where to write; made.
        seed: Of what is drawn.

    Returns:
        How the new vectors began.
    """
    safe = {"local_files_only": True, "trust_remote_code": False}
    old = AutoTokenizer.from_pretrained(source, use_fast=True, **safe)
    network = kind.from_pretrained(source, dtype=torch.float32, use_safetensors=True, **safe)
    before = network.get_input_embeddings().weight.detach().clone()
    after, found = vectors(before, old, tokenizer, seed)
    network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        network.get_input_embeddings().weight.copy_(after)
        rename(network, special_numbers(tokenizer))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return found


def rename(network: Any, numbers: Mapping[str, int]) -> None:
    """Tells a network's config the numbers of its new special tokens, where it had any."""
    for config in (network.config, getattr(network, "generation_config", None)):
        for name, number in numbers.items():
            if getattr(config, name, None) is not None:
                setattr(config, name, number)


def vectors(before: Tensor, old: Any, new: Any, seed: int) -> tuple[Tensor, Transplanted]:
    """The new vectors.

    Args:
        before: `(V, D)` of the old vocabulary.
        old: The old tokenizer.
        new: The new tokenizer.
        seed: Of what is drawn.

    Returns:
        `(W, D)` of the new vocabulary, and how they began.
    """
    draw = torch.Generator().manual_seed(seed)
    after = before.mean(0) + before.std(0) * torch.randn(len(new), before.shape[1], generator=draw)
    kept = averaged = 0
    known = {surface: number for number, surface in surfaces(old).items()}
    special = same_roles(old, new)
    for number, (text, begins) in {**surfaces(new), **dict.fromkeys(special, (b"", True))}.items():
        same = special.get(number, known.get((text, begins), known.get((text, not begins))))
        if same is not None:
            after[number] = before[same]
            kept += 1
        elif parts := pieces(old, text, begins):
            after[number] = before[parts].mean(0)
            averaged += 1
    return after, Transplanted(kept, averaged, len(new) - kept - averaged)


def same_roles(old: Any, new: Any) -> dict[int, int]:
    """The old numbers of special tokens by their new ones."""
    found: dict[int, int] = {}
    for role in ROLES:
        there = getattr(old, f"{role}_token_id", None)
        if there is None and role in STAND_INS:
            there = getattr(old, f"{STAND_INS[role]}_token_id", None)
        if there is not None:
            found[getattr(new, f"{role}_token_id")] = there
    return found


def pieces(old: Any, text: bytes, begins: bool) -> list[int]:
    """The old tokens of a new token's text, unknown ones left out; none where it is no whole characters."""
    try:
        ids = old(" " * begins + text.decode(), add_special_tokens=False)["input_ids"]
    except UnicodeDecodeError:
        return []
    return [number for number in ids if number != old.unk_token_id]


def surfaces(tokenizer: Any) -> dict[int, Surface]:
    """What each token of a tokenizer stands for, special tokens left out.

    Args:
        tokenizer: A fast tokenizer: WordPiece, byte-level, or with SentencePiece's mark of a word.

    Returns:
        By the token's number.
    """
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    prefix = told["model"].get("continuing_subword_prefix") or ""
    steps = json.dumps([told["pre_tokenizer"], told["decoder"]])
    letters = {letter: number for number, letter in bytes_to_unicode().items()} if '"ByteLevel"' in steps else {}
    special = set(tokenizer.all_special_ids)
    return {
        number: surface(token, prefix, letters)
        for token, number in tokenizer.get_vocab().items()
        if number not in special
    }


def surface(token: str, prefix: str, letters: Mapping[str, int]) -> Surface:
    """What one token stands for."""
    if letters and all(letter in letters for letter in token):
        text = bytes(letters[letter] for letter in token)
        return text.removeprefix(b" "), text.startswith(b" ")
    if prefix:
        return token.removeprefix(prefix).encode(), not token.startswith(prefix)
    return token.removeprefix(WORD).encode(), token.startswith(WORD)
