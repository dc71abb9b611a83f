"""Which folders of a tree are classes and which are parts of the data (train, val, test): decided from the whole tree.

Levels count folders below the top: in photos/train/cat/1.jpg the part stands at level 1, the class at level 2. The rules, where
nobody says --classes-at:

- a folder that alone holds images, all in sub-folders, is a wrapper: what counts is what lies in it;
- folders named train, val, test in any spelling are parts where they hold class folders of the same names;
- folders of such names below every class folder (cat/train, dog/train) are parts too;
- a folder is a class whatever its name where it holds images and the folders beside it do as well;
- folders that hold equal sub-folders may be parts or classes, and parts without classes say nothing: that is asked.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from archsmith.data.listing import PARTS, UNLABELLED, part_of
from archsmith.errors import UserError, printable, quoted

_PAPERS = (".txt", ".xml", ".json", ".jsonl", ".csv", ".tsv", ".md", ".rst", ".yaml", ".yml", ".mat", ".pdf", ".html", ".npy")
_MOSTLY = 0.95


class NoImages(UserError):
    """A folder without a single image in or below it."""


class Tree(Protocol):
    """A folder as `folder.Folder` is."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def images(self) -> tuple[str, ...]: ...
    @property
    def others(self) -> tuple[str, ...]: ...
    @property
    def folders(self) -> Sequence[Tree]: ...
    @property
    def count(self) -> int: ...
    @property
    def files(self) -> tuple[str, ...]: ...
    @property
    def filled(self) -> Sequence[Tree]: ...


@dataclass(frozen=True)
class Entry:
    """An image: the part it is given to, its class, its path."""

    part: str | None
    label: str
    path: str


@dataclass
class Arranged:
    """`entries` by part and path; `split`: whether the tree says which part each belongs to; `ignored`: files left out."""

    entries: list[Entry]
    split: bool
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Plan:
    """The levels below `base` at which parts (0: nowhere) and classes stand, and the folders at part level that are used."""

    base: Tree
    classes: int = 1
    parts: int = 0
    used: dict[str, str] = field(default_factory=dict)  # path of a folder -> its part
    notes: list[str] = field(default_factory=list)


def arrange(top: Tree, labelled: bool, classes_at: int | None) -> Arranged:
    """Part and class of every image below `top`; UserError where it can be read in two ways or holds nothing."""
    if not top.count:
        empty = [folder.path for folder in top.folders]
        if labelled and empty:
            raise NoImages(str(_empty(top, empty)))
        expected = "one sub-folder per class with files" if labelled else "files"
        raise NoImages(f"{printable(top.path)} holds no images; expected {expected} such as .jpg or .png.")
    if not labelled:
        return _unlabelled(top)
    plan = _asked(top, classes_at) if classes_at is not None else _understood(top)
    found = _collected(top, plan)
    if not found.entries:
        raise UserError(
            f"{printable(top.path)} holds no images {plan.classes} folders below it; give another --classes-at, "
            "the level of the class folders."
        )
    return found


# ---------------------------------------------------------------------------------------------------------- what the tree says


def _understood(top: Tree) -> _Plan:
    base, notes = _unwrapped(top)
    tops = base.filled
    if not tops:
        raise UserError(
            f"{printable(base.path)} holds images but no class sub-folders; put the images of each class into a sub-folder of "
            "that name, or give a CSV file with the columns path and label."
        )
    named = [folder for folder in tops if part_of(folder.name)]
    kinds = {part_of(folder.name) for folder in named}
    deep = [folder for folder in named if _is_deep(folder)]
    trains = [folder for folder in deep if part_of(folder.name) == "train"]
    others = [folder for folder in tops if folder not in named]
    if len(kinds) > 1 and not deep and not others:
        raise _without_classes(base, named)
    if len(kinds) > 1 and len(deep) > 1 and trains and _shared(deep, 1):
        return _split(top, base, deep, notes)
    if len(kinds) > 1 and trains and len(deep) == 1:  # the other parts hold images without classes
        return _split(top, base, deep, notes)
    if named and not others and deep and len(kinds) > 1:
        if not trains and any(part_of(folder.name) == "train" for folder in named):
            raise _without_classes(base, named)
        raise _ambiguous(top, base, "their names are those of parts")
    if trains and others and (len(others) == 1 or not any(_is_deep(folder) for folder in others)):
        raise _ambiguous(top, base, f"{quoted(trains[0].name)} is the name of a part")
    return _classes(top, base, notes, bool(named))


def _classes(top: Tree, base: Tree, notes: list[str], named: bool) -> _Plan:
    """The folders of `base` are classes, where nothing in them says otherwise."""
    tops = base.filled
    inner = [_part_names(folder) for folder in tops]
    if len(tops) > 1 and all(inner) and "train" in set().union(*inner) and len(set().union(*inner)) > 1:
        below = [part for folder in tops for part in folder.filled]
        if _shared(below):
            raise _ambiguous(top, base, "every one holds parts with equal folders in them")
        used = {part.path: part_of(part.name) or "" for part in below}
        parts = [part for part in PARTS if part in used.values()]
        return _Plan(base, 1, 2, used, [*notes, f"{', '.join(parts)} below each class were taken as parts"])
    if any(len(parts) > 1 and "train" in parts for parts in inner):
        raise _ambiguous(top, base, "some of them hold parts such as train")
    below = _through(tops)
    if below and _shared(below):
        raise _ambiguous(top, base, f"they hold {quoted(below[0].name)} with folders of equal names in it")
    if below and all(len(_part_names(folder)) > 1 for folder in below):
        raise _ambiguous(top, base, f"they hold {quoted(below[0].name)} with folders named for parts in it")
    held = sum(folder.count for folder in tops)
    nested = [folder for folder in tops if _is_deep(folder)]
    if len(nested) > 1 and sum(folder.count for folder in nested) >= _MOSTLY * held and _shared(nested):
        raise _ambiguous(top, base, "they hold folders of equal names")
    notes = [*notes, f"classes are the {len(tops)} folders in {_place(top, base)}", *_fewer(tops, _depth(top, base) + 2)]
    if named:
        taken = _some([folder.name for folder in tops if part_of(folder.name)])
        notes.append(f"{taken} counted as a class, like the folders beside it, not as a part")
    return _Plan(base, 1, 0, {}, notes)


def _through(tops: Sequence[Tree]) -> list[Tree]:
    """The only folder in each of these, where all are called alike and hold folders; else none."""
    inner = [folder.filled[0] for folder in tops if len(folder.filled) == 1]
    alike = len(inner) == len(tops) > 1 and len({folder.name for folder in inner}) == 1
    return inner if alike and all(_is_deep(folder) for folder in inner) else []


def _split(top: Tree, base: Tree, parts: Sequence[Tree], notes: list[str]) -> _Plan:
    """The folders `parts` of `base` are parts, with classes in them."""
    used: dict[str, str] = {}
    by_part: dict[str, Tree] = {}
    for folder in sorted(parts, key=lambda folder: "eval" in folder.name.lower()):
        part = part_of(folder.name) or ""
        if part in by_part and "eval" in folder.name.lower() and "test" not in by_part:
            part = "test"  # beside train and dev
        if part in by_part:
            raise UserError(
                f"{printable(base.path)} holds two folders for {part}: {printable(by_part[part].name)} and "
                f"{printable(folder.name)}; keep one."
            )
        by_part[part], used[folder.path] = folder, part
    level = 2
    inner = [folder.filled for folder in parts]
    while all(len(folders) == 1 for folders in inner) and len({folders[0].name for folders in inner}) == 1:
        if not all(_is_deep(folders[0]) for folders in inner):
            break
        inner, level = [folders[0].filled for folders in inner], level + 1
    train = inner[list(parts).index(by_part["train"])]
    if len(train) == 1 and len(parts) > 1:
        raise _without_classes(base, parts)
    if len(train) > 1 and all(_is_deep(folder) for folder in train) and _shared(train):
        raise _ambiguous(top, base, "the folders in train hold folders of equal names", level)
    said = ", ".join(f"{printable(by_part[part].name)} as {part}" for part in PARTS if part in by_part)
    notes = [*notes, f"folders taken as parts: {said}; classes are the folders in them"]
    notes += _fewer(train, _depth(top, base) + level + 1)
    return _Plan(base, level, 1, used, notes)


def _fewer(classes: Sequence[Tree], level: int) -> list[str]:
    """A remark where more folders lie in the classes than there are classes; `level`: theirs."""
    names, below = (sorted(set(found)) for found in (_names(classes), [i.name for folder in classes for i in folder.filled]))
    if len(below) <= len(names):
        return []
    became = f"{len(names)} class{'es' if len(names) > 1 else ''} ({_some(names)})"
    return [f"{len(below)} nested folders ({_some(below)}) became {became}; --classes-at {level} makes the nested ones classes"]


def _unwrapped(top: Tree) -> tuple[Tree, list[str]]:
    """The folder in which the folders that matter lie: down while one of them alone holds images, and none of its own."""
    base = top
    while len(base.filled) == 1:
        only = base.filled[0]
        if not _is_deep(only) or len(base.images) >= only.count or _blocked(base, only):
            break
        base = only
    moved = base is not top
    return base, [
        f"{_place(top, base)} alone holds images: it was read in place of {printable(top.path, 200)}"
    ] if moved else []


def _blocked(base: Tree, only: Tree) -> bool:
    """Whether a folder without images beside `only` may be a class that lacks them."""
    parts = part_of(only.name) is not None
    return any(
        not (_is_papers(folder) or (parts and part_of(folder.name))) for folder in base.folders if folder not in base.filled
    )


def _is_papers(folder: Tree) -> bool:
    """Whether it holds only lists and descriptions, as labels and annotations do."""
    return bool(folder.files) and all(os.path.splitext(path)[1].lower() in _PAPERS for path in folder.files)


def _is_deep(folder: Tree) -> bool:
    """Whether more of its images lie in folders than beside them."""
    return folder.count > 2 * len(folder.images)


def _part_names(folder: Tree) -> set[str]:
    """The parts that the folders in it are named for, where all are."""
    found = {part_of(inner.name) for inner in folder.filled}
    return {part for part in found if part} if _is_deep(folder) and None not in found else set()


def _shared(folders: Sequence[Tree], least: int = 2) -> bool:
    """Whether the names of the folders in them, at least so many, are mostly the same."""
    counts = Counter(name for folder in folders for name in {inner.name.casefold() for inner in folder.filled})
    return len(counts) >= least and 2 * sum(count > 1 for count in counts.values()) >= len(counts)


# -------------------------------------------------------------------------------------------------------------- what is asked


def _asked(top: Tree, level: int) -> _Plan:
    """Classes at a level that somebody named."""
    deepest = _deepest(top)
    if not 1 <= level <= deepest:
        raise UserError(
            f"--classes-at {level}: folders with images lie 1 to {deepest} deep in {printable(top.path)}; give one of these."
            if deepest
            else f"--classes-at {level}: {printable(top.path)} holds no folders with images."
        )
    plan = _Plan(top, level, 0, {}, [f"classes are the folders at level {level}, as asked for"])
    for place in (*range(1, level), level + 1):
        folders = [folder for folder in _at(top, place) if folder.count]
        kinds = {folder.path: part_of(folder.name) for folder in folders}
        known = {path: part for path, part in kinds.items() if part}
        if "train" in known.values() and len(set(known.values())) > 1 and (place < level or len(known) == len(kinds)):
            plan.parts, plan.used = place, known
            plan.notes.append(f"the folders at level {place} were taken as parts: {_some(sorted(set(_names(folders))))}")
            break
    else:
        plan.notes += _fewer([folder for folder in _at(top, level) if folder.count], level + 1)
        if level > 1:
            plan.notes.append(f"the folders above level {level} were taken as no parts")
    return plan


def _at(folder: Tree, level: int) -> Iterator[Tree]:
    if level == 0:
        yield folder
        return
    for inner in folder.folders:
        yield from _at(inner, level - 1)


def _deepest(folder: Tree) -> int:
    return max((1 + _deepest(inner) for inner in folder.filled), default=0)


def _unlabelled(top: Tree) -> Arranged:
    """Every image; parts where folders are named so, train among them."""
    base, notes = _unwrapped(top)
    parts = [folder for folder in base.filled if part_of(folder.name)]
    kinds = [part_of(folder.name) or "" for folder in parts]
    pictures = set(_images(top))
    found = Arranged([], False, [path for path in top.files if path not in pictures], notes)
    if "train" in kinds and len(set(kinds)) > 1:
        used = {folder.path: part for folder, part in zip(parts, kinds, strict=True)}
        found.split = True
        found.notes += [f"folders taken as parts: {_some(_names(parts))}", *_unused(base, parts, "the parts")]
        for folder in parts:
            found.entries += [Entry(used[folder.path], UNLABELLED, path) for path in _images(folder)]
    else:
        found.entries = [Entry(None, UNLABELLED, path) for path in _images(top)]
    _sort(found)
    return found


# ------------------------------------------------------------------------------------------------------------------ gathering


def _collected(top: Tree, plan: _Plan) -> Arranged:
    found = Arranged([], bool(plan.used), [], plan.notes)
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
                if _is_papers(folder):
                    found.ignored.extend(folder.files)
                else:
                    empty.append(folder.path)
                return
        found.ignored.extend(folder.others)
        if level >= max(plan.classes, plan.parts):
            found.entries.extend(Entry(part, label, path) for path in folder.images)
        else:
            loose.extend(folder.images)
        for inner in folder.folders:
            visit(inner, level + 1, part, label)

    visit(plan.base, 0, None, "")
    if empty:
        raise _empty(top, empty)
    if plan.parts:
        used = [folder for folder in _at(plan.base, plan.parts) if folder.path in plan.used]
        found.notes += (
            _unused(plan.base, used, ", ".join(printable(name, 40) for name in _names(used))) if plan.parts == 1 else []
        )
    if loose:
        shown = printable(os.path.relpath(loose[0], top.path), 80)
        count = "1 image" if len(loose) == 1 else f"{len(loose)} images"
        found.notes.append(f"{count} outside the class folders left out, such as {shown}")
    _sort(found)
    return found


def _sort(found: Arranged) -> None:
    found.entries.sort(key=lambda entry: (PARTS.index(entry.part) if entry.part else 0, entry.path))


def _unused(base: Tree, used: Sequence[Tree], beside: str) -> list[str]:
    """A note on every folder beside the parts."""
    held = {folder.path for folder in used}
    left = [folder for folder in base.folders if folder.path not in held]
    return [f"folder {printable(f.name, 60)} beside {beside} was not used ({f.count} images)" for f in left[:20]]


def _images(folder: Tree) -> list[str]:
    return [*folder.images, *(path for inner in folder.folders for path in _images(inner))]


# ------------------------------------------------------------------------------------------------------------------- refusals


def _ambiguous(top: Tree, base: Tree, why: str, level: int = 1) -> UserError:
    outer, inner = ([folder for folder in _at(base, place) if folder.count] for place in (level, level + 1))
    first = _depth(top, base) + level
    return UserError(
        f"{printable(base.path)} can be read in two ways, as {why}: classes are {_some(sorted(set(_names(outer))))} "
        f"(--classes-at {first}) or {_some(sorted(set(_names(inner))))} (--classes-at {first + 1}). "
        "Say which with --classes-at, or move the folders."
    )


def _without_classes(base: Tree, parts: Sequence[Tree]) -> UserError:
    return UserError(
        f"{printable(base.path)} holds {_some(_names(parts))}, which are named as parts, but no class folders in them; put the "
        f"images of each class into a folder of its name ({printable(parts[0].name, 40)}/CLASS/...), or give a CSV file with "
        "the columns path, label and split. If these names are the classes, say --classes-at 1; without classes, "
        "--task reconstruction."
    )


def _empty(top: Tree, folders: Sequence[str]) -> UserError:
    names = [quoted(os.path.relpath(path, top.path)) for path in folders]
    return UserError(
        f"class folder without an image: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''} "
        f"in {printable(top.path)}; add images to it or remove the folder."
    )


def _depth(top: Tree, base: Tree) -> int:
    return 0 if base is top else os.path.relpath(base.path, top.path).count(os.sep) + 1


def _place(top: Tree, base: Tree) -> str:
    return printable(base.path if base is top else os.path.join(top.name, os.path.relpath(base.path, top.path)), 200)


def _names(folders: Sequence[Tree]) -> list[str]:
    return [folder.name for folder in folders]


def _some(names: Sequence[str]) -> str:
    return ", ".join(quoted(name, 40) for name in names[:4]) + (f", ... {len(names)} in all" if len(names) > 4 else "")
