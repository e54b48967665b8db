"""Witness rows: a few rows with the answers at the time of making; they prove the wiring on every load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xxhash

from attune.core.records import Prediction
from attune.core.texts import each, row_of
from attune.data.redaction import redact
from attune.errors import BundleError
from attune.model.assemble import Model

MOST = 32
TOLERANCE = 2e-3
"""Largest difference of a probability between machines, kernels and batch shapes in float32."""


def choose(texts: Sequence[str]) -> list[str]:
    """Up to 32 rows, by hash so that the choice repeats, with personal data redacted.

    Args:
        texts: Candidates; the two texts of a pair joined.

    Returns:
        Redacted texts, none empty.
    """
    ranked = sorted(set(texts), key=lambda text: (xxhash.xxh64_hexdigest(text.encode()), text))
    return [each(lambda part: redact(part[:2000]), text) for text in ranked[:MOST]]


def testify(model: Model, texts: Sequence[str]) -> dict[str, Any]:
    """Witness rows with this model's answers.

    Args:
        model: The finished model.
        texts: Redacted texts.

    Returns:
        What witness.json holds; probabilities to six digits.
    """
    asked = [row_of(text, model.task.fields) for text in texts]
    predictions = model.predict(asked)
    rows = [
        {**row, "answer": found.answer, "probabilities": [round(float(p), 6) for p in probabilities(found)]}
        for row, found in zip(asked, predictions, strict=True)
    ]
    return {"tolerance": TOLERANCE, "rows": rows}


def replay(model: Model, document: dict[str, Any], where: str) -> float:
    """Answers the witness rows again and compares.

    Args:
        model: The loaded model.
        document: What witness.json holds.
        where: The bundle, for the error.

    Returns:
        The largest difference of a probability.

    Raises:
        BundleError: An answer differs by more than the tolerance. Answers within it of a tie may differ.
    """
    rows = document["rows"]
    if not rows:
        return 0.0
    found = model.predict(rows)
    now = np.stack([probabilities(prediction) for prediction in found])
    then = np.asarray([row["probabilities"] for row in rows], dtype=np.float64)
    difference = float(np.abs(now - then).max()) if now.shape == then.shape else 1.0
    tolerance = document["tolerance"]
    wrong = sum(
        changed(model, row["answer"], prediction, tolerance) for row, prediction in zip(rows, found, strict=True)
    )
    if wrong or not difference <= tolerance:
        raise BundleError(
            f"answers its witness rows differently: {wrong} of {len(rows)} answers changed, "
            f"probabilities by up to {difference:.4f}",
            where=where,
            expected=f"differences of at most {tolerance}, and the same answers",
            remedy="the versions in manifest.json made it; compare them with yours, or make the bundle anew",
        )
    return difference


def changed(model: Model, before: str | list[str], now: Prediction, tolerance: float) -> bool:
    """Whether an answer is another one by more than a near-tie.

    Args:
        model: For labels and threshold.
        before: The recorded answer.
        now: The fresh one.
        tolerance: Difference of a probability that proves nothing.

    Returns:
        False where the answers are equal, or where every label they differ in is as near to the line as that.
    """
    if before == now.answer:
        return False
    chances = dict(zip(model.labels.names, probabilities(now).tolist(), strict=True))
    if isinstance(before, list) and isinstance(now.answer, list):
        line = model.task.options.threshold
        return any(
            label not in chances or abs(chances[label] - line) > tolerance for label in {*before} ^ {*now.answer}
        )
    return not chances.get(str(before), -1.0) >= max(chances.values()) - 2 * tolerance


def probabilities(prediction: Prediction) -> Any:
    """The full distribution of a fresh prediction."""
    if prediction.probabilities is None:
        raise ValueError("a prediction without probabilities")
    return prediction.probabilities
