"""An engine: a bundle made ready to answer on this machine, one batch at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from attune.core.records import Prediction
from attune.model.bundle import Bundle


class Engine:
    """Answers by the same path as the bundle; requests take turns.

    Args:
        bundle: A loaded and verified bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._turn = threading.Lock()

    def predict(self, rows: Sequence[str | Mapping[str, Any]]) -> list[Prediction]:
        """Answers rows in order.

        Args:
            rows: Texts or mappings with the key `text`.

        Returns:
            One prediction a row.
        """
        with self._turn:
            return self.bundle.predict(rows)
