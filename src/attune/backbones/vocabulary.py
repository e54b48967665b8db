"""Tokenizers trained on the user's own text: byte-level BPE, Unigram or WordPiece, the same bytes every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from attune.backbones.unigram import pieces
from attune.core.recipe import Options
from attune.errors import DataError, RecipeError

Texts = Callable[[], Iterable[str]]
"""Gives the texts anew each time it is called."""
PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
COVERAGE = 0.9995
"""Share of a text's characters that the alphabet holds; the rarest are unknown (SentencePiece's own, for Chinese)."""
ENDS = ("{cls} $A {sep}", "{cls} $A {sep} $B:1 {sep}:1")
"""What an encoder reads of one text and of two."""
INSIDE = "##"
BLANKS = " \n"
"""What a tokenizer of characters knows whether the text holds it or not: line breaks stand between texts."""
SEEN_TWICE = 2
"""What occurs once makes no token."""


class TokenizerOptions(Options):
    """A tokenizer trained on your own text."""

    kind: Literal["bpe", "unigram", "wordpiece", "character"] = "bpe"
    """bpe reads bytes, so that no character is unknown; unigram and wordpiece (BERT's) read characters. character: each
    character of the text is a token, spaces and line breaks too."""
    vocabulary: int = Field(8000, ge=6, le=1_000_000)
    """Most tokens, the five special ones included; fewer where the text has no more."""
    text: str = ""
    """A text file to train on, UTF-8, one text a line; relative to the data root. Empty: the training rows."""
    lower: bool = False
    """Whether case is dropped."""
    sha256: str = ""
    """SHA-256 of the trained tokenizer; written into the resolved recipe and verified when present."""


@dataclass(frozen=True)
class Trained:
    """A trained tokenizer, and how much of its text it knows.

    Attributes:
        tokenizer: With padding, unknown, class, separator and mask token, and a template for pairs.
        characters: Different characters of the text.
        known: Those of them that it knows.
        covered: Share of the text that these are.
    """

    tokenizer: PreTrainedTokenizerFast
    characters: int
    known: int
    covered: float

    def __str__(self) -> str:
        return (
            f"a tokenizer of {len(self.tokenizer)} tokens was trained; it knows {self.known} of the text's "
            f"{self.characters} different characters, {self.covered:.2%} of the text"
        )


@dataclass(frozen=True)
class Reading:
    """Texts as a trainer reads them: normalised, characters outside of the alphabet left out.

    Attributes:
        normaliser: Of the tokenizer; held apart from it, for a tokenizer is locked while it is trained.
        splitter: Its pre-tokenizer.
        texts: As they were given.
        alphabet: The characters that are read.
    """

    normaliser: Any
    splitter: Any
    texts: Texts
    alphabet: Sequence[str]

    def __iter__(self) -> Iterator[str]:
        known = set(self.alphabet)
        for text in self.texts():
            yield "".join(letter if letter in known else " " for letter in self.normaliser.normalize_str(text))

    def words(self) -> Counter[str]:
        """How often each word occurs, a word being what the pre-tokenizer says."""
        return Counter(word for text in self for word, _ in self.splitter.pre_tokenize_str(text))


def train(
    texts: Texts,
    options: TokenizerOptions,
    *,
    positions: int,
    ends: tuple[str, str] = ENDS,
    padding: int = 0,
    where: str = "the training rows",
) -> Trained:
    """Trains a tokenizer by the `tokenizers` library.

    Args:
        texts: What to train on; read a few times.
        options: Kind, size and case.
        positions: Most tokens of a text, special tokens included.
        ends: What is made of one text `$A` and of two, with `{cls}` and `{sep}` for the tokens of these names.
        padding: The number of the padding token, 0 to 4: some networks count positions from it on.
        where: What to call the texts in errors.

    Returns:
        The tokenizer and what it covers.

    Raises:
        DataError: The texts hold nothing.
        RecipeError: The vocabulary cannot hold the alphabet.
    """
    core = CORES[options.kind](options.lower)
    single = options.kind == "character"
    counts = characters(core.normalizer, texts(), blanks=single)
    if not counts:
        raise DataError(
            "there is no text to train a tokenizer on",
            where=where,
            expected="UTF-8, one text a line",
            remedy="name another file in backbone.tokenizer.text, or leave it out to use the training rows",
        )
    known = sorted(counts) if options.kind in EVERYTHING else covering(counts)
    special = [*SPECIAL[1 : padding + 1], PAD, *SPECIAL[padding + 1 :]]
    reading = Reading(core.normalizer, core.pre_tokenizer, texts, known)
    core.model = MODELS[options.kind](reading, options.vocabulary, special)
    return Trained(
        tokenizer=finished(core, positions, options.kind, ends),
        characters=len(counts),
        known=len(known),
        covered=sum(counts[letter] for letter in known) / sum(counts.values()),
    )


def characters(normaliser: Any, texts: Iterable[str], *, blanks: bool = False) -> Counter[str]:
    """How often each character occurs in normalised texts, white space left out unless it is asked for."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normaliser.normalize_str(text))
    return Counter({letter: count for letter, count in counts.items() if blanks or not letter.isspace()})


def covering(counts: Counter[str]) -> list[str]:
    """The most frequent characters that make up `COVERAGE` of a text, sorted."""
    left = COVERAGE * sum(counts.values())
    kept: list[str] = []
    for letter, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if left <= 0:
            break
        kept.append(letter)
        left -= count
    return sorted(kept)


def byte_level(lower: bool) -> Tokenizer:
    """Bytes, split before words as GPT-2 does (Radford et al. 2019)."""
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Sequence([normalizers.NFC(), *([normalizers.Lowercase()] * lower)])
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.ByteLevel()
    return core


def spaced(lower: bool) -> Tokenizer:
    """Words begin with a mark, as in SentencePiece (Kudo & Richardson 2018); punctuation stands alone."""
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), *([normalizers.Lowercase()] * lower)])
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation("isolated")]
    )
    core.decoder = decoders.Metaspace()
    return core


def bert(lower: bool) -> Tokenizer:
    """BERT's own: words at spaces and punctuation, each Chinese character a word (Devlin et al. 2019)."""
    core = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    core.normalizer = normalizers.BertNormalizer(lowercase=lower)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece(prefix=INSIDE)
    return core


def single(lower: bool) -> Tokenizer:
    """Characters, each by itself."""
    core = Tokenizer(models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    core.normalizer = normalizers.Sequence([normalizers.NFC(), *([normalizers.Lowercase()] * lower)])
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    core.decoder = decoders.Fuse()
    return core


def bpe_model(reading: Reading, size: int, special: list[str]) -> Any:
    """Byte pair encoding (Sennrich et al. 2016), from all 256 bytes on."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    refuse_narrow(size, special, len(letters), "bytes")
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=SEEN_TWICE, special_tokens=special, initial_alphabet=letters, show_progress=False
    )
    scratch = Tokenizer(models.BPE())
    scratch.pre_tokenizer = reading.splitter
    scratch.train_from_iterator(reading, trainer)
    return scratch.model


def wordpiece_model(reading: Reading, size: int, special: list[str]) -> Any:
    """WordPiece. Letters are given as special tokens: the library numbers them first then, in the order given.

    Its trainer else numbers a word's inner letters in the order of a hash table, which differs from process to process.
    """
    words = reading.words()
    first = {word[0] for word in words}
    inner = {INSIDE + letter for word in words for letter in word[1:]}
    letters = [*sorted(first), *sorted(inner)]
    refuse_narrow(size, special, len(letters), "letters at the beginning and inside of words")
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=SEEN_TWICE, special_tokens=[*special, *letters], show_progress=False
    )
    scratch = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    scratch.pre_tokenizer = reading.splitter
    scratch.train_from_iterator(reading, trainer)
    numbered: dict[str, int] = scratch.get_vocab()
    kept = sorted((token for token in numbered if fits(token, special, inner, first)), key=numbered.__getitem__)
    return models.WordPiece({token: number for number, token in enumerate(kept)}, unk_token=UNKNOWN)


def fits(token: str, special: Sequence[str], inner: set[str], first: set[str]) -> bool:
    """Whether a token can ever be read: the library also makes a letter for each place where only the other occurs."""
    return token in special or token in inner or token in first or len(token.removeprefix(INSIDE)) > 1


def unigram_model(reading: Reading, size: int, special: list[str]) -> Any:
    """A unigram language model of pieces."""
    words = reading.words()
    letters = sorted({letter for word in words for letter in word})
    refuse_narrow(size, special, len(letters), "characters")
    found = pieces(words, letters, size - len(special))
    return models.Unigram([*((token, 0.0) for token in special), *found], special.index(UNKNOWN), False)


def character_model(reading: Reading, size: int, special: list[str]) -> Any:
    """A token for each character, in the order of their numbers in Unicode."""
    letters = sorted({*reading.alphabet, *BLANKS})
    refuse_narrow(size, special, len(letters), "characters")
    return models.WordLevel({token: number for number, token in enumerate([*special, *letters])}, unk_token=UNKNOWN)


def refuse_narrow(size: int, special: Sequence[str], letters: int, called: str) -> None:
    """Stops where a vocabulary cannot hold the alphabet."""
    if size < len(special) + letters:
        raise RecipeError(
            f"a vocabulary of {size} cannot hold the text's alphabet: {letters} {called} and {len(special)} special "
            "tokens",
            where="backbone.tokenizer.vocabulary",
            expected=f"at least {len(special) + letters}; several times that, for words to be tokens",
            remedy=f"set backbone.tokenizer.vocabulary = {max(8000, 4 * letters)}",
        )


def finished(core: Tokenizer, positions: int, kind: str, ends: tuple[str, str] = ENDS) -> PreTrainedTokenizerFast:
    """The tokenizer with special tokens, and templates for one text and for two."""
    core.add_special_tokens(list(SPECIAL))
    template = processors.TemplateProcessing(
        *(end.format(cls=CLS, sep=SEP) for end in ends),
        special_tokens=[(token, core.token_to_id(token)) for token in (CLS, SEP)],
    )
    # a byte-level token has the space before it in it; spans in the caller's text must not
    trimmed = [processors.ByteLevel(trim_offsets=True)] if kind == "bpe" else []
    core.post_processor = processors.Sequence([*trimmed, template])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token=UNKNOWN, pad_token=PAD, cls_token=CLS, sep_token=SEP, mask_token=MASK,
        bos_token=CLS, eos_token=SEP, model_max_length=positions,
    )  # fmt: skip


EVERYTHING = ("bpe", "character")
"""Kinds that leave no character out."""
CORES: dict[str, Callable[[bool], Tokenizer]] = {
    "bpe": byte_level, "unigram": spaced, "wordpiece": bert, "character": single,
}  # fmt: skip
MODELS: dict[str, Callable[[Reading, int, list[str]], Any]] = {
    "bpe": bpe_model, "unigram": unigram_model, "wordpiece": wordpiece_model, "character": character_model,
}  # fmt: skip
