"""pass@k: how probable it is that one of k programs passes its tests."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Scores
from attune.tasks.code.sandbox import Limits, Verdict, run_all

Floats = NDArray[np.float64]
USUAL = Limits()


def pass_at_k(programs: int, passed: int, k: int) -> float:
    """The unbiased estimate of Chen et al. 2021 (Evaluating Large Language Models Trained on Code), equation 1.

    Args:
        programs: How many were drawn for a problem, at least k.
        passed: How many of them passed.
        k: How many may be tried.

    Returns:
        `1 − C(programs − passed, k) / C(programs, k)`.

    Raises:
        ValueError: The numbers do not go together.
    """
    if not (0 <= passed <= programs and 1 <= k <= programs):
        raise ValueError(f"pass@{k} of {programs} programs, {passed} of which passed")
    return 1.0 - comb(programs - passed, k) / comb(programs, k)


def with_tests(code: str, problem: Mapping[str, Any]) -> str:
    """A program that passes if it runs to its end.

    Args:
        code: A candidate, whole: with the prompt where it is the prompt's continuation.
        problem: `tests` (source, or a list of statements), and if these define `check` as HumanEval's do,
            `entry_point`: the name of what is handed to it. `test_setup`, if any, comes between the two.

    Returns:
        Python source.
    """
    tests = problem["tests"]
    lines = [code, problem.get("test_setup") or "", tests if isinstance(tests, str) else "\n".join(tests)]
    if problem.get("entry_point"):
        lines.append(f"check({problem['entry_point']})")
    return "\n".join(lines) + "\n"


def passed(
    problems: Sequence[Mapping[str, Any]], candidates: Sequence[Sequence[str]], limits: Limits = USUAL
) -> list[list[Verdict]]:
    """Runs candidates with their tests, as many at once as leave a core free.

    Args:
        problems: As `with_tests` reads them.
        candidates: Programs of each problem.
        limits: What each may use up.

    Returns:
        How each candidate of each problem ended.

    Raises:
        MachineError: The network cannot be taken away from a program here.
    """
    programs = [with_tests(code, problem) for problem, own in zip(problems, candidates, strict=True) for code in own]
    found = iter(run_all(programs, limits, at_once=max(1, (os.cpu_count() or 1) - 1)))
    return [[next(found) for _ in own] for own in candidates]


@dataclass(frozen=True)
class CodeScores(Scores):
    """Programs answered beside the tests that they should pass.

    Values of `gold` are problems as `with_tests` reads them, those of `chosen` lists of candidates. The programs run
    when the figures are first asked for.
    """

    limits: Limits = USUAL
    names: ClassVar[tuple[str, ...]] = ("pass_1",)
    headline: ClassVar[tuple[str, ...]] = ("pass_1",)

    @cached_property
    def verdicts(self) -> list[list[Verdict]]:
        """How each candidate of each row ended."""
        return passed(self.gold, self.chosen, self.limits)

    def each(self, k: int) -> Floats:
        """pass@k of every row `(N,)`; raises ValueError where one has fewer than k candidates."""
        return np.array([pass_at_k(len(row), sum(one.passed for one in row), k) for row in self.verdicts])

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """pass@1 under weights `(R, N)`, the mean over rows."""
        return {"pass_1": weights @ self.each(1) / weights.sum(axis=1)}

    def right(self) -> NDArray[np.bool_]:
        """Rows whose candidates all pass `(N,)`."""
        return self.each(1) == 1.0

    def words(self, value: Any) -> list[str]:
        """The candidates of a row, or its tests."""
        if isinstance(value, Mapping):
            return [value["tests"]] if isinstance(value["tests"], str) else list(value["tests"])
        return list(value)
