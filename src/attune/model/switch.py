"""Several bundles on one backbone that is in memory once, each row answered by the bundle it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from torch import Tensor, nn

from attune.core.form import Form
from attune.core.records import Prediction
from attune.errors import BundleError, DataError, nearest
from attune.model.bundle import Bundle, load
from attune.model.rows import as_row, fault, refuse

Key = tuple[tuple[int, ...], str, str]


class Switch:
    """Bundles side by side; tasks, labels, methods, heads and poolings may differ.

    What a method leaves as published is the same in all of them, bit for bit, and is kept once. So each bundle answers
    with the very numbers that it answers with alone, by whatever method it was tuned.

    Args:
        bundles: Folders or loaded bundles, by the name that rows are to call them.
        root: Where a backbone by relative folder name is looked up; default the current folder.

    Raises:
        BundleError: No bundle, one that does not load, or one on another backbone than the first.
    """

    def __init__(self, bundles: Mapping[str, str | Path | Bundle], *, root: Path | None = None) -> None:
        if not bundles:
            raise BundleError("no bundle is given", expected="at least one", remedy="give folders or bundles by name")
        self.bundles: dict[str, Bundle] = {}
        self._held: dict[Key, list[Tensor]] = {}
        for name, given in bundles.items():
            bundle = given if isinstance(given, Bundle) else load(given, root=root)
            same_backbone([*self.bundles.values(), bundle])
            self._take_in(bundle.model)
            self.bundles[name] = bundle

    @property
    def numbers(self) -> int:
        """Parameters and buffers in memory, each counted once."""
        return sum(tensor.numel() for held in self._held.values() for tensor in held)

    def predict(self, rows: Sequence[str | Mapping[str, Any]], names: str | Sequence[str]) -> list[Prediction]:
        """Answers each row by a bundle.

        Args:
            rows: As the bundles take them.
            names: The name of the bundle of each row, or one name for all.

        Returns:
            One prediction a row, in order.

        Raises:
            DataError: Another number of names than rows, an unknown name, or rows that cannot be answered.
        """
        asked = self._asked(len(rows), names)
        forms: dict[str, Form] = {name: self.bundles[name].model.task.form for name in dict.fromkeys(asked)}
        faults = [fault(row, forms[name]) for row, name in zip(rows, asked, strict=True)]
        refuse(faults, list(dict.fromkeys(field for form in forms.values() for field in form.fields)))
        found: dict[int, Prediction] = {}
        for name, form in forms.items():
            own = [index for index, wanted in enumerate(asked) if wanted == name]
            answers = self.bundles[name].model.predict([as_row(rows[index], form) for index in own])
            found.update(zip(own, answers, strict=True))
        return [found[index] for index in range(len(rows))]

    def _asked(self, rows: int, names: str | Sequence[str]) -> list[str]:
        asked = [names] * rows if isinstance(names, str) else list(names)
        if len(asked) != rows:
            raise DataError(
                f"{len(asked)} names for {rows} rows",
                where="names",
                expected="the name of a bundle for each row, or one for all",
                remedy="give as many names as rows",
            )
        for index, name in enumerate(asked, 1):
            if name not in self.bundles:
                raise DataError(
                    f"row {index} names the bundle {name!r}, which is not there",
                    where="names",
                    expected="a name that the bundles were given by",
                    remedy=nearest(str(name), list(self.bundles)),
                )
        return asked

    def _take_in(self, model: nn.Module) -> None:
        """Puts tensors that are held already in place of equal ones; no tensor of the model for two of its own."""
        used: Counter[Key] = Counter()
        for tensor in tensors_of(model):
            key = key_of(tensor)
            held = self._held.setdefault(key, [])
            if used[key] < len(held):
                tensor.data = held[used[key]]
            else:
                held.append(tensor.data)
            used[key] += 1


def tensors_of(model: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers, each once."""
    yield from model.parameters()
    yield from model.buffers()


def key_of(tensor: Tensor) -> Key:
    """Shape, type and content of a tensor."""
    array = np.ascontiguousarray(tensor.detach().cpu().numpy())
    return tuple(tensor.shape), f"{tensor.dtype} {tensor.device}", xxhash.xxh3_128_hexdigest(array.tobytes())


def same_backbone(bundles: Sequence[Bundle]) -> None:
    """Refuses the last of some bundles where it was tuned on another backbone than the first."""
    first, last = bundles[0].manifest.backbone, bundles[-1].manifest.backbone
    if first.sha256 != last.sha256:
        raise BundleError(
            f"was tuned on {last.name} ({last.sha256[:12]})",
            where=str(bundles[-1].path),
            expected=f"the backbone of {bundles[0].path}: {first.name} ({first.sha256[:12]})",
            remedy="put bundles on one backbone together; load the others on their own",
        )
