"""The option `backbone.candidates`, the same in every family: several checkpoints, of which a run takes the best."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import StringConstraints, field_validator, model_validator

from attune.core.recipe import Options

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Candidates(Options):
    """What stands in place of a family's `name` where several checkpoints are to be compared."""

    candidates: tuple[Name, ...] | None = None
    """In place of `name`: checkpoints to compare on training rows; the resolved recipe names the best of them."""

    @model_validator(mode="before")
    @classmethod
    def _stand_in(cls, values: Any) -> Any:
        """The first candidate stands where a name must, so that a recipe reads the same once it was written out."""
        if isinstance(values, dict) and values.get("candidates") and isinstance(values["candidates"], list | tuple):
            return {"name": values["candidates"][0], **values}
        return values

    @field_validator("candidates")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and not names:
            raise ValueError("the list is empty; name checkpoints to compare, or leave it out and set backbone.name")
        if twice := sorted({name for name in names or () if (names or ()).count(name) > 1}):
            raise ValueError(f"{', '.join(map(repr, twice))} is listed twice; list each checkpoint once")
        return names

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        name, digest = getattr(self, "name", ""), getattr(self, "sha256", "")
        if self.candidates and name.strip() != self.candidates[0]:
            raise ValueError(
                f"name = {name!r} says which one already, and candidates are given too; leave out one of the two, and "
                "put the name among the candidates if it is one"
            )
        if self.candidates and digest:
            raise ValueError("sha256 is that of one checkpoint, and candidates are given too; leave out one of the two")
        return self
