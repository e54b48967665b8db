"""Where a recipe's backbone comes from: published, or made in the run, from nothing, of a bundle, or by transplant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from attune.backbones import scratch, transplant, vocabulary
from attune.backbones.checkpoints import Checkpoint, fetch, file_digest, weights_digest
from attune.backbones.networks import SAFE
from attune.backbones.scratch import ScratchOptions
from attune.backbones.vocabulary import SPECIAL, Texts, TokenizerOptions, Trained
from attune.errors import BackboneError, DataError, RecipeError, UnsupportedError

MANIFEST = "manifest.json"
"""The file that makes a folder a bundle."""


@dataclass(frozen=True)
class Made:
    """A backbone that was made.

    Attributes:
        tokenizer_sha256: SHA-256 of its tokenizer.json; empty where the tokenizer is not new.
        notices: What a reader should know of it.
    """

    tokenizer_sha256: str
    notices: list[str]


def complete(options: Any) -> Any:
    """Backbone options with the size and the tokenizer of a backbone from scratch filled in.

    Args:
        options: As the recipe has them.

    Returns:
        The same where nothing is missing.

    Raises:
        RecipeError: A size is given for a backbone that has one.
    """
    size, tokenizer = sizes(options), tokenizers(options)
    if options.name != scratch.NAME:
        if size is not None:
            raise RecipeError(
                f"the size of a backbone from scratch beside the backbone {options.name!r}, which has a size",
                where="[backbone.scratch]",
                expected=f'name = "{scratch.NAME}" beside it',
                remedy=f'set backbone.name = "{scratch.NAME}", or leave out [backbone.scratch]',
            )
        return options
    if not hasattr(options, "scratch"):
        raise UnsupportedError(f"the {options.family} family makes no backbone from scratch", where="backbone.name")
    filled = {
        "scratch": size or ScratchOptions.model_validate({}),
        "tokenizer": tokenizer or TokenizerOptions.model_validate({}),
    }
    return type(options).model_validate({**options.model_dump(), **filled})


def sizes(options: Any) -> ScratchOptions | None:
    """The size asked for; a family may have no such option."""
    return getattr(options, "scratch", None)


def tokenizers(options: Any) -> TokenizerOptions | None:
    """The tokenizer asked for; a family may have no such option."""
    return getattr(options, "tokenizer", None)


def find(options: Any, root: Path) -> Checkpoint:
    """The checkpoint of a recipe's backbone, or what it will be made of; nothing is made yet.

    Args:
        options: Backbone options, completed.
        root: The data root.

    Returns:
        The checkpoint.

    Raises:
        BackboneError: Nothing is there by that name.
        DataError: The text for its tokenizer is not there.
    """
    wanted = tokenizers(options)
    if wanted and wanted.text and not (root / wanted.text).is_file():
        raise DataError(
            "no such file", where=wanted.text, expected=f"a text file below {root}, one text a line",
            remedy="check backbone.tokenizer.text and the data root it is relative to",
        )  # fmt: skip
    if options.name == scratch.NAME:
        return Checkpoint(options.name, Path(), "", "yet")
    if is_bundle(options.name, root):
        return Checkpoint(options.name, root / options.name / "backbone", "", "yet")
    found = fetch(options.name, root)
    return replace(found, sha256="", weights="yet") if wanted else found


def is_bundle(name: str, root: Path) -> bool:
    """Whether a backbone's name is that of a bundle."""
    return (root / name / MANIFEST).is_file()


def config_of(checkpoint: Checkpoint, options: Any, family: Any) -> Any:
    """The config of a checkpoint, or of the one that will be made.

    Args:
        checkpoint: From `find`.
        options: Backbone options, completed.
        family: The backbone family.

    Returns:
        What transformers reads.

    Raises:
        RecipeError: A size that cannot be.
        UnsupportedError: Its vocabulary cannot be exchanged.
    """
    size, tokenizer = sizes(options), tokenizers(options)
    if size is not None and tokenizer is not None:
        numbers = {f"{role}_token_id": number for number, role in enumerate(("pad", "unk", "cls", "sep", "mask"))}
        return blank(size, family, tokenizer.vocabulary, {**numbers, "bos_token_id": 2, "eos_token_id": 3})
    config = AutoConfig.from_pretrained(checkpoint.folder, **SAFE)
    if tokenizer is not None:
        refuse_odd(config, options.name, family)
    return config


def blank(size: ScratchOptions, family: Any, tokens: int, numbers: dict[str, int]) -> Any:
    """The config of a network from scratch, with room for as many tokens as were asked for."""
    made: tuple[str, ...] = family.architectures
    more: dict[str, Any] = family.besides(size)
    config = scratch.blank(size, made, tokens, numbers, **more)
    short = size.positions - family.positions(config)
    longer = size.model_copy(update={"positions": size.positions + short})
    return scratch.blank(longer, made, tokens, numbers, **more)


def refuse_odd(config: Any, name: str, family: Any) -> None:
    """Stops where a network's vocabulary cannot be exchanged."""
    if not family.exchanges:
        raise UnsupportedError(
            f"another tokenizer for {name}: {family.kind} writes by its words as well",
            where="[backbone.tokenizer]",
            expected=f'name = "{scratch.NAME}" beside it, or a backbone of the family text',
            remedy=f'leave out [backbone.tokenizer], or set backbone.name = "{scratch.NAME}"',
        )
    bare = family.outline(config)
    if reason := transplant.no_place(bare.network, getattr(config, "vocab_size", 0)):
        raise UnsupportedError(
            f"it cannot be given another tokenizer: {reason}", where=f"[backbone.tokenizer] for {name}",
            expected="a network that reads tokens by one table of vectors",
            remedy="leave out [backbone.tokenizer], or use another backbone",
        )  # fmt: skip


def make(options: Any, family: Any, source: Path, texts: Texts, root: Path, folder: Path, seed: int) -> Made:
    """Makes a backbone from scratch, or gives one a new tokenizer.

    Args:
        options: Backbone options, completed; with a tokenizer.
        family: The backbone family: its `architectures`, and `maker`, the transformers class of its network.
        source: The checkpoint to change; not read for one from scratch.
        texts: The training rows' texts, for a tokenizer without a file.
        root: The data root.
        folder: Where to write; made.
        seed: Of what is drawn.

    Returns:
        What was made.

    Raises:
        DataError: There is no text, or it is not the one that the recipe was resolved with.
    """
    size, wanted = sizes(options), tokenizers(options)
    assert wanted is not None
    read = partial(lines, root / wanted.text, wanted.text) if wanted.text else texts
    if size is not None:
        trained = learn(read, wanted, positions=size.positions, ends=family.ends)
        tokenizer = trained.tokenizer
        config = blank(size, family, len(tokenizer), scratch.special_numbers(tokenizer))
        scratch.initialise(config, family.maker, tokenizer, folder, seed)
        notices = [str(trained)]
    else:
        trained = train_like(source, read, wanted, family)
        notices = [str(trained), str(transplant.transplant(source, trained.tokenizer, family.maker, folder, seed))]
    found = file_digest(folder / "tokenizer.json")
    if wanted.sha256 and wanted.sha256 != found:
        raise DataError(
            f"the tokenizer trained on it has SHA-256 {found}",
            where=wanted.text or "the training rows",
            expected=f"{wanted.sha256}, as in the recipe",
            remedy="train on the text the recipe was resolved with, or delete backbone.tokenizer.sha256",
        )
    return Made(found, notices)


def learn(
    texts: Texts, options: TokenizerOptions, *, positions: int, ends: tuple[str, str], padding: int = 0
) -> Trained:
    """Trains a tokenizer; errors name the file."""
    where = options.text or "the training rows"
    return vocabulary.train(texts, options, positions=positions, ends=ends, padding=padding, where=where)


def train_like(source: Path, texts: Texts, options: TokenizerOptions, family: Any) -> Trained:
    """Trains a tokenizer for a network: as many positions, and padding where the network counts positions from it."""
    config = AutoConfig.from_pretrained(source, **SAFE)
    padding = int(config.pad_token_id or 0)
    room = family.positions(config)
    return learn(texts, options, positions=room, ends=family.ends, padding=padding if padding < len(SPECIAL) else 0)


def lines(path: Path, name: str) -> Iterator[str]:
    """The lines of a text file, without their ends.

    Args:
        path: The file.
        name: What to call it.

    Yields:
        One text.

    Raises:
        DataError: It is not UTF-8.
    """
    with path.open(encoding="utf-8-sig") as stream:
        try:
            for line in stream:
                yield line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"not UTF-8: {error.reason} at byte {error.start}", where=name, expected="UTF-8, one text a line",
                remedy="convert it to UTF-8",
            ) from None  # fmt: skip


def settled(folder: Path, options: Any) -> Checkpoint:
    """The checkpoint that was made, its weights compared with those that the recipe names.

    Args:
        folder: Where it was made.
        options: Backbone options.

    Returns:
        The checkpoint.

    Raises:
        BackboneError: It is another than the recipe was resolved with.
    """
    digest = weights_digest(folder, options.name)
    if options.sha256 and options.sha256 != digest:
        raise BackboneError(
            f"the weights made have SHA-256 {digest}",
            where=options.name,
            expected=f"{options.sha256}, as in the recipe",
            remedy="use the files and versions the recipe was resolved with, or delete backbone.sha256",
        )
    return Checkpoint(options.name, folder, digest, "made")
