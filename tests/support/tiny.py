"""Tiny random backbones of every family, made in the test."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BartConfig,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    EncoderDecoderConfig,
    GPT2Config,
    LlamaConfig,
    MarianConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    RobertaConfig,
    T5Config,
)

WORDS = (
    "where is my order parcel card refund please cancel the it was late broken wrong size return help me now i want to "
    "change address password login account close subscription"
    " invoice price stock talk human hello thanks two one blue red"
).split()

ENDS = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
BOTH = {
    "max_position_embeddings": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
}  # fmt: skip
COMMON = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}

CONFIGS = {
    "bert": lambda size: BertConfig(vocab_size=size, max_position_embeddings=64, **COMMON),
    "roberta": lambda size: RobertaConfig(
        vocab_size=size, max_position_embeddings=66, pad_token_id=0, bos_token_id=2, eos_token_id=3, **COMMON
    ),
    "distilbert": lambda size: DistilBertConfig(
        vocab_size=size, max_position_embeddings=64, n_layers=2, dim=32, n_heads=2, hidden_dim=48
    ),
    "electra": lambda size: ElectraConfig(vocab_size=size, max_position_embeddings=64, embedding_size=32, **COMMON),
    "modernbert": lambda size: ModernBertConfig(
        vocab_size=size, max_position_embeddings=64, pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2,
        sep_token_id=3, global_attn_every_n_layers=1, **COMMON,
    ),
}  # fmt: skip
"""Encoders."""
SPEAKING = {
    "gpt2": lambda size: GPT2Config(
        vocab_size=size, n_positions=64, n_embd=32, n_layer=2, n_head=2, n_inner=48, bos_token_id=3, eos_token_id=3
    ),
    "llama": lambda size: LlamaConfig(
        vocab_size=size, max_position_embeddings=64, bos_token_id=2, eos_token_id=3, **COMMON
    ),
    "qwen2": lambda size: Qwen2Config(
        vocab_size=size, max_position_embeddings=64, num_key_value_heads=1, bos_token_id=2, eos_token_id=3,
        tie_word_embeddings=True, **COMMON,
    ),
    "t5": lambda size: T5Config(
        vocab_size=size, d_model=32, d_kv=16, d_ff=48, num_layers=2, num_decoder_layers=3, num_heads=2, pad_token_id=0,
        eos_token_id=3, decoder_start_token_id=0,
    ),
    "bart": lambda size: BartConfig(
        vocab_size=size, **BOTH, **ENDS, decoder_start_token_id=3, forced_eos_token_id=None
    ),
    "marian": lambda size: MarianConfig(
        vocab_size=size, decoder_vocab_size=size, **BOTH, **ENDS, decoder_start_token_id=0, scale_embedding=True,
        forced_eos_token_id=None,
    ),
    "encoder-decoder": lambda size: EncoderDecoderConfig.from_encoder_decoder_configs(
        BertConfig(vocab_size=size, max_position_embeddings=64, **COMMON),
        BertConfig(vocab_size=size, max_position_embeddings=64, is_decoder=True, add_cross_attention=True, **COMMON),
        decoder_start_token_id=2, tie_word_embeddings=False, **ENDS,
    ),
}  # fmt: skip
"""Causal and sequence-to-sequence networks."""
EVERY = {**CONFIGS, **SPEAKING}
FAMILIES = {
    "text": tuple(CONFIGS),
    "causal": ("gpt2", "llama", "qwen2"),
    "seq2seq": ("t5", "bart", "marian", "encoder-decoder"),
}
"""Backbone family to its kinds."""
CLASSES = {"text": AutoModel, "causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}
TEMPLATES = {
    "text": ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "causal": ("$A", "$A [SEP] $B"),
    "seq2seq": ("$A [SEP]", "$A [SEP] $B [SEP]"),
}
"""What a family's tokenizers make of one text and of two."""


SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def vocabulary(words: set[str]) -> dict[str, int]:
    """Every word and letter, numbered in sorted order: a trainer's order differs from process to process."""
    letters = sorted({letter for word in words for letter in word})
    tokens = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *sorted(words - set(letters))]
    return {token: number for number, token in enumerate(tokens)}


def family_of(kind: str) -> str:
    """The family of a kind."""
    return next(family for family, kinds in FAMILIES.items() if kind in kinds)


def tokenizer(texts: list[str], family: str = "text") -> PreTrainedTokenizerFast:
    """A small WordPiece tokenizer that knows the words of a few texts; a causal family's has no padding token."""
    normaliser, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(text))}
    core = Tokenizer(models.WordPiece(vocabulary(words), unk_token="[UNK]"))
    core.normalizer, core.pre_tokenizer = normaliser, splitter
    core.decoder = decoders.WordPiece()
    core.add_special_tokens(list(SPECIAL))
    core.post_processor = processors.TemplateProcessing(*TEMPLATES[family], special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    if family == "causal":
        return PreTrainedTokenizerFast(
            tokenizer_object=core, unk_token="[UNK]", bos_token="[CLS]", eos_token="[SEP]", model_max_length=64
        )
    ends = {"bos_token": "[CLS]", "eos_token": "[SEP]"} if family == "seq2seq" else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64, **ends,
    )  # fmt: skip


def of_bytes(texts: list[str]) -> PreTrainedTokenizerFast:
    """A small tokenizer of bytes: transformers reads no other for a Qwen network. A word has the space before it."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=1000, special_tokens=list(SPECIAL), show_progress=False)
    core.train_from_iterator(texts, trainer)
    core.post_processor = processors.TemplateProcessing(*TEMPLATES["causal"], special_tokens=[("[SEP]", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="[UNK]", bos_token="[CLS]", eos_token="[SEP]", model_max_length=64
    )


def backbone(folder: Path, kind: str = "bert", texts: list[str] | None = None, *, fills: bool = False) -> Path:
    """Writes a tiny backbone of a kind into a folder.

    Args:
        folder: Where; made.
        kind: A key of EVERY.
        texts: Whose words the tokenizer knows.
        fills: Whether an encoder has its masked vocabulary head.

    Returns:
        The folder.
    """
    read = (texts or []) + [" ".join(WORDS)] * 3
    made = of_bytes(read) if kind == "qwen2" else tokenizer(read, family_of(kind))
    torch.manual_seed(0)
    made.save_pretrained(folder)
    EVERY[kind](len(made)).save_pretrained(folder)
    known = AutoTokenizer.from_pretrained(folder)  # a model type may have a tokenizer with more special tokens
    network = (AutoModelForMaskedLM if fills else CLASSES[family_of(kind)]).from_config(EVERY[kind](len(known)))
    network.save_pretrained(folder)
    return folder
