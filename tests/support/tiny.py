"""Tiny random backbones, one a family, made in the test."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

WORDS = (
    "where is my order parcel card refund please cancel the it was late broken wrong size return help me now i want to "
    "change address password login account close subscription"
    " invoice price stock talk human hello thanks two one blue red"
).split()

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


SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def vocabulary(words: set[str]) -> dict[str, int]:
    """Every word and letter, numbered in sorted order: a trainer's order differs from process to process."""
    letters = sorted({letter for word in words for letter in word})
    tokens = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *sorted(words - set(letters))]
    return {token: number for number, token in enumerate(tokens)}


def tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A small WordPiece tokenizer that knows the words of a few texts."""
    normaliser, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(text))}
    core = Tokenizer(models.WordPiece(vocabulary(words), unk_token="[UNK]"))
    core.normalizer, core.pre_tokenizer = normaliser, splitter
    core.decoder = decoders.WordPiece()
    core.add_special_tokens(list(SPECIAL))
    core.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64,
    )  # fmt: skip


def backbone(folder: Path, kind: str = "bert", texts: list[str] | None = None) -> Path:
    """Writes a tiny backbone of a kind into a folder.

    Args:
        folder: Where; made.
        kind: A key of CONFIGS.
        texts: Whose words the tokenizer knows.

    Returns:
        The folder.
    """
    made = tokenizer((texts or []) + [" ".join(WORDS)] * 3)
    torch.manual_seed(0)
    network = AutoModel.from_config(CONFIGS[kind](len(made)))
    network.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder
