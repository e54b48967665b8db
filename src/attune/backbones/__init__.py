"""Pretrained networks with their tokenizers or processors."""
