"""A tree of folders that cannot be read for certain: what each --classes-at would give."""

from __future__ import annotations

from collections.abc import Sequence

from archsmith.data.gathering import asked, collected
from archsmith.data.listing import PARTS
from archsmith.data.tree_shape import Tree, depth_of, names_of, some
from archsmith.errors import UserError, printable

_WAYS = {2: "two", 3: "three", 4: "four"}
_MOVE = "or move the folders"
INTO = "or move them to train/CLASS and test/CLASS"


def ambiguous(top: Tree, base: Tree, why: str, move: str = _MOVE) -> UserError:
    """Says what each --classes-at would give."""
    ways = _readings(top)
    how = (
        f"can be read in {_WAYS.get(len(ways), len(ways))} ways"
        if len(ways) > 1
        else ("cannot be read for certain")
    )
    return UserError(
        f"{printable(base.path)} {how}, as {why}: {'; '.join(ways)}. Give one of "
        f"these options, {move}."
    )


def _readings(top: Tree) -> list[str]:
    """What each level gives that makes more than one class."""
    readings = []
    for level in range(1, depth_of(top) + 1):
        try:
            read = collected(top, asked(top, level))
        except UserError:
            continue
        labels = sorted({entry.label for entry in read.entries})
        parts = [part for part in PARTS if any(entry.part == part for entry in read.entries)]
        lost = top.count - len(read.entries)
        if len(labels) > 1:
            split = f", split into {', '.join(parts)}" if parts else ""
            readings.append(
                f"--classes-at {level} gives {len(labels)} classes ({some(labels)}) of "
                f"{len(read.entries)} images{split}"
                f"{f', without {lost} images outside them' if lost else ''}"
            )
    return readings


def without_classes(base: Tree, parts: Sequence[Tree]) -> UserError:
    """What is said of parts that hold no class folders."""
    return UserError(
        f"{printable(base.path)} holds {some(names_of(parts))}, which are named as parts, but no "
        f"class folders in them; put "
        f"the images of each class into a folder of its name "
        f"({printable(parts[0].name, 40)}/CLASS/...), or give a CSV file "
        "with the columns path, label and split. If these names are the classes, say --classes-at "
        "1; without classes, "
        "--task reconstruction."
    )
