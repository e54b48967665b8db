"""Witness rows: a few rows with the answers at the time of making; they prove the wiring on every load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from attune.core.form import Form
from attune.core.records import Prediction
from attune.core.texts import text_of
from attune.data.redaction import redact
from attune.errors import BundleError
from attune.model.assemble import Model

MOST = 32
LONGEST = 2000
TOLERANCE = 2e-3
"""Largest difference of a probability between machines, kernels and batch shapes in float32."""


def choose(rows: Sequence[Mapping[str, Any]], form: Form) -> list[dict[str, Any]]:
    """Up to 32 rows, by hash so that the choice repeats, with personal data redacted.

    Args:
        rows: Candidates.
        form: What is read of a row. Where that is more than texts, it may say where in a text something stands, and a
            row whose text would change is passed over.

    Returns:
        What is read of the rows, texts redacted; none twice.
    """
    longest = None if form.made else LONGEST  # what was made of messages or slots is none any more once it is cut
    candidates = {text_of(row): {name: row[name] for name in form.fields} for row in rows}
    ranked = sorted(candidates, key=lambda text: (xxhash.xxh64_hexdigest(text.encode()), text))
    chosen: list[dict[str, Any]] = []
    for text in ranked:
        redacted = {name: redact(candidates[text][name][:longest]) for name in form.texts}
        changed = any(redacted[name] != candidates[text][name] for name in form.texts) or any(
            redact(plain) != plain for name in form.also for plain in strings(candidates[text][name])
        )
        if not (form.also and changed):
            chosen.append({**candidates[text], **redacted})
        if len(chosen) == MOST:
            break
    return chosen


def strings(value: Any) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        return [value]
    items: Any = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for item in items for text in strings(item)]


def testify(model: Model, asked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Witness rows with this model's answers.

    Args:
        model: The finished model.
        asked: Redacted rows.

    Returns:
        What witness.json holds; probabilities to six digits.
    """
    predictions = model.predict(asked)
    rows = [{**row, **testimony(found)} for row, found in zip(asked, predictions, strict=True)]
    return {"tolerance": TOLERANCE, "rows": rows}


def testimony(found: Prediction) -> dict[str, Any]:
    """What is kept of an answer; of several tasks by name."""
    if found.parts:
        return {"tasks": {name: testimony(part) for name, part in found.parts.items()}}
    kept: dict[str, Any] = {"answer": found.answer, "probabilities": [round(float(p), 6) for p in chances(found)]}
    if found.spans:
        kept["spans"] = [[span.start, span.end, span.label] for span in found.spans]
    return kept


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
    asked = [pairs for row, now in zip(rows, model.predict(rows), strict=True) for pairs in told(model, row, now)]
    difference = max(apart(then["probabilities"], chances(now)) for _, then, now in asked)
    tolerance = document["tolerance"]
    wrong = sum(changed(own, then, now, tolerance) for own, then, now in asked)
    if wrong or not difference <= tolerance:
        raise BundleError(
            f"answers its witness rows differently: {wrong} of {len(asked)} answers changed, "
            f"probabilities by up to {difference:.4f}",
            where=where,
            expected=f"differences of at most {tolerance}, and the same answers",
            remedy="the versions in manifest.json made it; compare them with yours, or make the bundle anew",
        )
    return difference


def told(model: Model, row: Mapping[str, Any], now: Prediction) -> list[tuple[Model, Mapping[str, Any], Prediction]]:
    """Who answers, what was answered then, and now; one a task where several are asked."""
    parts = model.parts()
    if not parts:
        return [(model, row, now)]
    return [(part, row["tasks"][name], now.parts[name]) for name, part in parts.items()]


def apart(then: Sequence[float], now: NDArray[np.float32]) -> float:
    """The largest difference of a probability; one where they are not as many."""
    if len(then) != len(now):
        return 1.0
    return float(np.abs(now - np.asarray(then, dtype=np.float64)).max(initial=0.0))


def changed(model: Model, row: Mapping[str, Any], now: Prediction, tolerance: float) -> bool:
    """Whether an answer is another one by more than a near-tie.

    Args:
        model: For labels and threshold.
        row: The witness row, with the recorded answer.
        now: The fresh one.
        tolerance: Difference of a probability that proves nothing.

    Returns:
        False where the answers are equal, or where every label they differ in is as near to the line as that.
    """
    before = row["answer"]
    if now.margin is not None:
        spans = [[span.start, span.end, span.label] for span in now.spans]
        return (before, row.get("spans", [])) != (now.answer, spans) and now.margin > 2 * tolerance
    if before == now.answer:
        return False
    found = dict(zip(model.labels.names, chances(now).tolist(), strict=True))
    if isinstance(before, list) and isinstance(now.answer, list):
        line = model.task.threshold
        return any(label not in found or abs(found[label] - line) > tolerance for label in {*before} ^ {*now.answer})
    return not found.get(str(before), -1.0) >= max(found.values()) - 2 * tolerance


def chances(prediction: Prediction) -> NDArray[np.float32]:
    """What a fresh answer was chosen by."""
    if prediction.probabilities is None:
        raise ValueError("a prediction without probabilities")
    return prediction.probabilities
