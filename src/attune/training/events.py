"""What happened in a run, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Listener = Callable[[Mapping[str, Any]], None]


class Events:
    """An append-only file of events, and those who listen.

    Args:
        path: The file.
        clock: Seconds since the epoch, written beside every event.
        listeners: Called with every event after it is written.
    """

    def __init__(self, path: Path, clock: Callable[[], float], listeners: tuple[Listener, ...] = ()) -> None:
        self.path = path
        self._clock = clock
        self._listeners = listeners

    def write(self, kind: str, **values: Any) -> None:
        """Appends one event.

        Args:
            kind: What happened.
            **values: Plain JSON values.
        """
        event = {"event": kind, **values, "time": round(self._clock(), 3)}
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event, ensure_ascii=False) + "\n")
        for listener in self._listeners:
            listener(event)

    def listen(self, listener: Listener) -> None:
        """Adds one who listens."""
        self._listeners = (*self._listeners, listener)

    def size(self) -> int:
        """Bytes written so far; what a checkpoint remembers."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def cut(self, size: int) -> None:
        """Forgets what was written after a checkpoint.

        Args:
            size: Bytes to keep.
        """
        if self.path.is_file():
            with self.path.open("r+b") as stream:
                stream.truncate(size)

    def cut_from(self, kind: str) -> None:
        """Forgets the first event of a kind and what came after it; a run killed early begins anew.

        Args:
            kind: The kind of event.
        """
        size = 0
        for line in self.path.read_bytes().splitlines(keepends=True) if self.path.is_file() else ():
            if not line.endswith(b"\n") or json.loads(line)["event"] == kind:
                return self.cut(size)
            size += len(line)
        return None

    def read(self) -> list[dict[str, Any]]:
        """Every event so far."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
