"""The images of a tree of folders by a plan: the levels at which parts and classes stand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from archsmith.data.listing import PARTS
from archsmith.data.tree_shape import (
    Tree,
    at,
    depth_of,
    is_deep,
    is_papers,
    known_parts,
    names_of,
    some,
)
from archsmith.errors import UserError, printable, quoted


class NoImages(UserError):
    """A folder without a single image in or below it."""


@dataclass(frozen=True)
class Entry:
    """An image: the part it is given to, its class, its path."""

    part: str | None
    label: str
    path: str


@dataclass
class Arranged:
    """`entries` by part and path; `split`: whether the tree says which part each belongs to;
    `ignored`: files left out."""

    entries: list[Entry]
    split: bool
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """The levels below `base` at which parts (0: nowhere) and classes stand, and the folders at
    part level that are used."""

    base: Tree
    classes: int = 1
    parts: int = 0
    used: dict[str, str] = field(default_factory=dict)  # path of a folder -> its part
    notes: list[str] = field(default_factory=list)
    asked: bool = False  # the level of the classes was


def fewer(classes: Sequence[Tree], level: int) -> list[str]:
    """A remark where more folders lie in the classes than there are classes; `level`: theirs."""
    own, below = (
        sorted(set(names))
        for names in (names_of(classes), [i.name for folder in classes for i in folder.filled])
    )
    if len(below) <= len(own):
        return []
    became = f"{len(own)} class{'es' if len(own) > 1 else ''} ({some(own)})"
    return [
        f"{len(below)} nested folders ({some(below)}) became {became}; --classes-at {level} "
        f"makes the nested ones classes"
    ]


def asked(top: Tree, level: int) -> Plan:
    """Classes at a level that somebody named; parts above them, or below where every folder there
    is named for one."""
    depth = depth_of(top)
    if not 1 <= level <= depth:
        raise UserError(
            f"--classes-at {level}: folders with images lie 1 to {depth} deep in "
            f"{printable(top.path)}; give one of these."
            if depth
            else f"--classes-at {level}: {printable(top.path)} holds no folders with images."
        )
    plan = Plan(
        top,
        level,
        0,
        used={},
        notes=[f"classes are the folders at level {level}, as asked for"],
        asked=True,
    )
    passed: set[str] = set()
    for place in (*range(1, level), *range(level + 1, depth + 1)):
        folders = [folder for folder in at(top, place) if folder.count]
        known = {
            path: part
            for parent in at(top, place - 1)
            for path, part in known_parts(parent.filled).items()
        }
        above = place < level or (
            len(known) == len(folders)
            and all(is_deep(folder) for folder in at(top, level) if folder.count)
            and not any(
                folder.images for between in range(level + 1, place) for folder in at(top, between)
            )
        )
        passed |= set(known.values())
        if above and "train" in known.values() and len(set(known.values())) > 1:
            plan.parts, plan.used = place, known
            plan.notes.append(
                f"the folders at level {place} were taken as parts: "
                f"{some(sorted(set(names_of(folders))))}"
            )
            break
    else:
        plan.notes += fewer([folder for folder in at(top, level) if folder.count], level + 1)
        if level > 1:
            plan.notes.append(f"the folders above level {level} were taken as no parts")
        if "train" in passed and len(passed) > 1:
            plan.notes.append(
                f"folders named {', '.join(sorted(passed))} were taken as no parts: "
                f"not every class has them"
            )
    return plan


def collected(top: Tree, plan: Plan) -> Arranged:
    """Every image with its part and class by the plan; UserError for a class without one."""
    arranged = Arranged([], bool(plan.used), [], plan.notes)
    empty: list[str] = []
    loose: list[str] = []

    def visit(folder: Tree, level: int, part: str | None, label: str) -> None:
        if plan.parts and level == plan.parts:
            part = plan.used.get(folder.path)
            if part is None:
                return
        if level == plan.classes:
            label = printable(folder.name)
            if not folder.count:
                if is_papers(folder):
                    arranged.ignored.extend(folder.files)
                else:
                    empty.append(folder.path)
                return
        arranged.ignored.extend(folder.others)
        if level >= max(plan.classes, plan.parts):
            arranged.entries.extend(Entry(part, label, path) for path in folder.images)
        else:
            loose.extend(folder.images)
        for inner in folder.folders:
            visit(inner, level + 1, part, label)

    visit(plan.base, 0, None, "")
    if empty:
        raise empty_classes(top, empty)
    if plan.parts:
        used = [folder for folder in at(plan.base, plan.parts) if folder.path in plan.used]
        arranged.notes += (
            unused(plan.base, used, ", ".join(printable(name, 40) for name in names_of(used)))
            if plan.parts == 1
            else []
        )
    if loose:
        shown = printable(os.path.relpath(loose[0], top.path), 80)
        count = "1 image" if len(loose) == 1 else f"{len(loose)} images"
        arranged.notes.append(f"{count} outside the class folders left out, such as {shown}")
    sort(arranged)
    return arranged


def sort(arranged: Arranged) -> None:
    """By part, then by path."""
    arranged.entries.sort(
        key=lambda entry: (PARTS.index(entry.part) if entry.part else 0, entry.path)
    )


def unused(base: Tree, used: Sequence[Tree], beside: str) -> list[str]:
    """A note on every folder beside the parts."""
    held = {folder.path for folder in used}
    left = [folder for folder in base.folders if folder.path not in held]
    return [
        f"folder {printable(f.name, 60)} beside {beside} was not used ({f.count} images)"
        for f in left[:20]
    ]


def empty_classes(top: Tree, folders: Sequence[str]) -> UserError:
    """What is said of class folders that hold nothing."""
    names = [quoted(os.path.relpath(path, top.path)) for path in folders]
    return UserError(
        f"class folder without an image: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''} "
        f"in {printable(top.path)}; add images to it or remove the folder."
    )


def depth_below(top: Tree, base: Tree) -> int:
    """How many levels below `top` the folder `base` is."""
    return 0 if base is top else os.path.relpath(base.path, top.path).count(os.sep) + 1


def place_of(top: Tree, base: Tree) -> str:
    """`base` in a message: from the name of `top` down."""
    return printable(
        base.path if base is top else os.path.join(top.name, os.path.relpath(base.path, top.path)),
        200,
    )
