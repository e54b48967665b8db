"""Tiny random backbones, one a family, made in the test."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
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


def tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A small WordPiece tokenizer trained on a few texts."""
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    core.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    )
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
        texts: What the tokenizer is trained on.

    Returns:
        The folder.
    """
    made = tokenizer((texts or []) + [" ".join(WORDS)] * 3)
    torch.manual_seed(0)
    network = AutoModel.from_config(CONFIGS[kind](len(made)))
    network.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder
