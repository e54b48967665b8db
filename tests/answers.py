"""Answers made up for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from attune.core.records import Answers


def single(rows: int = 300, labels: int = 5, *, seed: int = 0, noise: float = 1.5, name: str = "model") -> Answers:
    """Single-label answers to the same gold for every seed; more noise, more errors."""
    gold = np.random.default_rng(99).integers(0, labels, rows)
    logits = np.random.default_rng(seed).normal(size=(rows, labels)) * noise
    logits[np.arange(rows), gold] += 2
    weights = np.exp(logits)
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    names = tuple(f"label_{k}" for k in range(labels))
    return Answers(name, names, gold, probabilities, probabilities.argmax(axis=1))


def multi(rows: int = 300, labels: int = 6, *, seed: int = 0, noise: float = 1.5, name: str = "model") -> Answers:
    """Multi-label answers to the same gold for every seed."""
    gold = np.random.default_rng(99).random((rows, labels)) < 0.25
    logits = np.random.default_rng(seed).normal(size=(rows, labels)) * noise - 2 + 4 * gold
    probabilities = 1 / (1 + np.exp(-logits))
    return Answers(name, tuple(f"label_{k}" for k in range(labels)), gold, probabilities, probabilities > 0.5)


def ordinal(rows: int = 300, labels: int = 5, *, seed: int = 0, noise: float = 1.5) -> Answers:
    """Answers with labels that are steps of a scale."""
    return replace(single(rows, labels, seed=seed, noise=noise), ordered=True)


def hierarchical(rows: int = 300, labels: int = 5, *, seed: int = 0, noise: float = 1.5) -> Answers:
    """Answers with labels that are paths of two or three parts."""
    names = ("a/x", "a/y/1", "a/y/2", "b/x", "c/x", "c/y")[:labels]
    return replace(single(rows, labels, seed=seed, noise=noise), labels=names, separator="/")
