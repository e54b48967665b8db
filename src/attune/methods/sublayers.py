"""Where a layer's attention and feed-forward are, told from the widths of its linear maps and no model's name."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from attune.errors import UnsupportedError
from attune.methods.base import Layered
from attune.methods.maps import LINEAR, layers, sizes

Named = tuple[str, nn.Module]


@dataclass(frozen=True)
class Sublayers:
    """The linear maps at which the sub-layers of one layer begin and end, D features wide outside.

    Attributes:
        attention: The one that attention ends with, None where a layer has none.
        wide: One that the feed-forward begins with; what it reads is the feed-forward's input.
        narrow: The one that the feed-forward ends with.
    """

    attention: nn.Module | None
    wide: nn.Module
    narrow: nn.Module


def find(backbone: Layered) -> list[Sublayers]:
    """Finds the sub-layers of every layer.

    The feed-forward ends with the only linear map outside of attention, by its name, that gives D features and reads
    another number of them, I. It begins
    with the map (gated: the maps) from D to I, or to 2 I where gate and value are one map. What linear maps are left
    are attention's, which ends with the last of them.

    Args:
        backbone: The network and where its layers are.

    Returns:
        One record a layer.

    Raises:
        UnsupportedError: A layer is not made like that; the reason is given.
    """
    widths = {stack.path: stack.width for stack in backbone.stacks}
    found: list[Sublayers] = []
    for path, layer in layers(backbone):
        stack, _, index = path.rpartition(".")
        # exactly these classes: a subclass may be read for its weights and never called
        linears = [(name, module) for name, module in layer.named_modules() if type(module) in LINEAR]
        try:
            found.append(of_layer(linears, widths[stack]))
        except LookupError as error:
            raise UnsupportedError(
                f"{error.args[0]} in layer {index} of {type(backbone.network).__name__}",
                where=stack,
                expected="a feed-forward of linear maps that widen and narrow again, after attention",
                remedy="use full or frozen, which need no place in a layer",
            ) from None
    return found


def of_layer(linears: list[Named], width: int) -> Sublayers:
    """The sub-layers of one layer.

    Args:
        linears: Its linear maps by name, in the order in which they were made.
        width: D.

    Returns:
        The record.

    Raises:
        LookupError: The layer is not made as `find` says; the reason is the argument.
    """
    apart = [named for named in linears if "att" not in named[0].lower()]
    narrows = [named for named in apart if sizes(named[1])[1] == width != sizes(named[1])[0]]
    if len(narrows) != 1:
        raise LookupError(f"{len(narrows) or 'no'} linear maps lead back to the width of {width}, instead of one,")
    narrow = narrows[0]
    wides = widening(linears, narrow, width)
    rest = [named for named in linears if named not in wides and named is not narrow]
    if rest and sizes(rest[-1][1])[1] != width:
        raise LookupError(f"attention ends with {rest[-1][0]}, which does not give the width of {width},")
    return Sublayers(rest[-1][1] if rest else None, wides[0][1], narrow[1])


def widening(linears: list[Named], narrow: Named, width: int) -> list[Named]:
    """The maps that a feed-forward begins with: of the nearest module before the one it ends with."""
    inner = sizes(narrow[1])[0]
    before = linears[: linears.index(narrow)]
    fitting = [named for named in before if sizes(named[1]) in ((width, inner), (width, 2 * inner))]
    if not fitting:
        raise LookupError(f"no linear map widens from {width} to the {inner} features that {narrow[0]} reads,")
    parent = fitting[-1][0].rpartition(".")[0]
    return [named for named in fitting if named[0].rpartition(".")[0] == parent]
