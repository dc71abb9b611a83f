"""Which folders of a tree are classes and which are parts of the data (train, val, test): decided
from the whole tree.

Levels count folders below the top: in photos/train/cat/1.jpg the part stands at level 1, the class
at level 2. The rules, where nobody says --classes-at:

- a folder that alone holds images, all in sub-folders, is a wrapper: what counts is what lies in
  it;
- folders named train, val, test in any spelling are parts where they hold class folders of the same
  names;
- folders of such names below every class folder (cat/train, dog/train) are parts too, also where
  one folder lies between (cat/images/train);
- a folder is a class whatever its name where it holds images and the folders beside it do as well;
- folders that hold equal sub-folders may be parts or classes, and parts without classes say
  nothing: that is asked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from archsmith.data.gathering import (
    Arranged,
    Entry,
    NoImages,
    Plan,
    asked,
    collected,
    depth_below,
    empty_classes,
    fewer,
    place_of,
    sort,
    unused,
)
from archsmith.data.leftovers import copies, is_bin, is_clearly_bin
from archsmith.data.listing import PARTS, UNLABELLED, joined_parts, part_of
from archsmith.data.refusals import INTO, ambiguous, without_classes
from archsmith.data.tree_shape import (
    Tree,
    at,
    holder,
    images_in,
    is_deep,
    is_papers,
    known_parts,
    names_of,
    part_names,
    same_names,
    some,
)
from archsmith.errors import UserError, printable, quoted

_MOSTLY = 0.95


def arrange(top: Tree, labelled: bool, classes_at: int | None) -> Arranged:
    """Part and class of every image below `top`; UserError where it can be read in several ways or
    holds nothing."""
    if not top.count:
        empty = [folder.path for folder in top.folders]
        if labelled and empty:
            raise NoImages(str(empty_classes(top, empty)))
        expected = "one sub-folder per class with files" if labelled else "files"
        raise NoImages(
            f"{printable(top.path)} holds no images; expected {expected} such as .jpg or .png."
        )
    if not labelled:
        return _unlabelled(top)
    plan = asked(top, classes_at) if classes_at is not None else _understood(top)
    plan.notes[:0] = _doubtful(top, plan)
    arranged = collected(top, plan)
    if not arranged.entries:
        raise UserError(
            f"{printable(top.path)} holds no images {plan.classes} folders below it; give another "
            f"--classes-at, "
            "the level of the class folders."
        )
    return arranged


def _doubtful(top: Tree, plan: Plan) -> list[str]:
    """Remarks on class folders that may be bins. UserError for one that hardly anybody means as a
    class: a copy of another one, a bin that is set apart; unless somebody named the level of the
    classes."""
    notes: list[str] = []
    level = depth_below(top, plan.base) + plan.classes
    keep = f"if it is a class of its own, say --classes-at {level}"
    for parent in at(plan.base, plan.classes - 1):
        if plan.parts and plan.parts < plan.classes and not _lies_in(parent, plan.used):
            continue
        held = [folder for folder in parent.folders if folder.count]
        originals = copies(names_of(held))
        for folder in held:
            where = quoted(os.path.relpath(folder.path, top.path), 100)
            original = originals.get(folder.name)
            if original is not None and not plan.asked:
                raise UserError(
                    f"folder {where} ({folder.count} images) is named as a copy of "
                    f"{quoted(original)} beside it; put its "
                    f"images into {quoted(original)} or move it out of {printable(top.path, 200)}; "
                    f"{keep}."
                )
            if is_clearly_bin(folder.name) and not plan.asked:
                raise UserError(
                    f"folder {where} ({folder.count} images) looks like a bin, not like a class; "
                    f"move it out of "
                    f"{printable(top.path, 200)}; {keep}."
                )
            if original is not None or is_bin(folder.name):
                like = "a bin" if original is None else f"a copy of {quoted(original)}"
                notes.append(
                    f"folder {where} ({folder.count} images) counted as a class, though "
                    f"it is named like {like}"
                )
    return notes


def _lies_in(folder: Tree, used: Mapping[str, str]) -> bool:
    """Whether it is one of the folders used as parts, or lies in one."""
    return any(folder.path == path or folder.path.startswith(path + os.sep) for path in used)


# ----------------------------------------------------------------------------- what the tree says


def _understood(top: Tree) -> Plan:
    base, notes = _unwrapped(top)
    tops = base.filled
    if not tops:
        raise UserError(
            f"{printable(base.path)} holds images but no class sub-folders; put the images of each "
            f"class into a sub-folder of "
            "that name, or give a CSV file with the columns path and label."
        )
    known = known_parts(tops)
    named = [folder for folder in tops if folder.path in known]
    kinds = set(known.values())
    deep = [folder for folder in named if is_deep(folder)]
    trains = [folder for folder in deep if known[folder.path] == "train"]
    others = [folder for folder in tops if folder not in named]
    if len(kinds) > 1 and not deep and not others:
        raise without_classes(base, named)
    if len(kinds) > 1 and len(deep) > 1 and trains and same_names(deep, 1):
        return _split(top, base, deep, notes, known=known)
    if len(kinds) > 1 and trains and len(deep) == 1:  # the other parts hold images without classes
        return _split(top, base, deep, notes, known=known)
    if named and not others and deep and len(kinds) > 1:
        if not trains and "train" in kinds:
            raise without_classes(base, named)
        raise ambiguous(top, base, "their names are those of parts")
    if trains and others and (len(others) == 1 or not any(is_deep(folder) for folder in others)):
        raise ambiguous(top, base, f"{quoted(trains[0].name)} is the name of a part")
    if pair := joined_parts(names_of(tops)):
        raise ambiguous(
            top,
            base,
            f"names such as {quoted(pair[0], 40)} and {quoted(pair[1], 40)} join a part "
            f"and something else",
            INTO,
        )
    return _classes(top, base, notes, bool(named))


def _classes(top: Tree, base: Tree, notes: list[str], named: bool) -> Plan:
    """The folders of `base` are classes, where nothing in them says otherwise."""
    tops = base.filled
    holders = (
        [holder(folder) for folder in tops] if len(tops) > 1 else [(folder, 0) for folder in tops]
    )
    held, downs = [folder for folder, _ in holders], {down for _, down in holders}
    down = min(downs)
    inner = [part_names(folder) for folder in held]
    kinds = set().union(*inner)
    split = "train" in kinds and len(kinds) > 1
    if len(tops) > 1 and all(inner) and split and len(downs) == 1:
        below = [part for folder in held for part in folder.filled]
        if same_names(below):
            raise ambiguous(top, base, "every one holds parts with equal folders in them")
        used = {path: part for folder in held for path, part in known_parts(folder.filled).items()}
        text = ", ".join(part for part in PARTS if part in used.values())
        where = f" in {some(sorted(set(names_of(held))))}" if down else ""
        notes = [*notes, f"classes are the {len(tops)} folders in {place_of(top, base)}"]
        return Plan(
            base,
            1,
            down + 2,
            used=used,
            notes=[*notes, f"{text}{where} below each class were taken as parts"],
        )
    if any(len(parts) > 1 and "train" in parts for parts in inner):
        why = (
            "they hold parts such as train at different levels"
            if all(inner)
            else ("some of them hold parts such as train")
        )
        raise ambiguous(top, base, why, INTO)
    inside = [folder for folder, depth in holders if depth]
    if inside and same_names(held):
        raise ambiguous(
            top, base, f"they hold {quoted(inside[0].name)} with folders of equal names in it"
        )
    if inside and all(len(parts) > 1 for parts in inner):
        raise ambiguous(
            top, base, f"they hold {quoted(inside[0].name)} with folders named for parts in it"
        )
    total = sum(folder.count for folder in tops)
    nested = [folder for folder in tops if is_deep(folder)]
    if (
        len(nested) > 1
        and sum(folder.count for folder in nested) >= _MOSTLY * total
        and same_names(nested)
    ):
        raise ambiguous(top, base, "they hold folders of equal names")
    notes = [
        *notes,
        f"classes are the {len(tops)} folders in {place_of(top, base)}",
        *fewer(tops, depth_below(top, base) + 2),
    ]
    if named:
        taken = some([folder.name for folder in tops if part_of(folder.name)])
        notes.append(f"{taken} counted as a class, like the folders beside it, not as a part")
    return Plan(base, 1, 0, used={}, notes=notes)


def _split(
    top: Tree, base: Tree, parts: Sequence[Tree], notes: list[str], *, known: Mapping[str, str]
) -> Plan:
    """The folders `parts` of `base` are parts, with classes in them."""
    used: dict[str, str] = {}
    by_part: dict[str, Tree] = {}
    for folder in sorted(parts, key=lambda folder: "eval" in folder.name.lower()):
        part = known[folder.path]
        if part in by_part and "eval" in folder.name.lower() and "test" not in by_part:
            part = "test"  # beside train and dev
        if part in by_part:
            raise UserError(
                f"{printable(base.path)} holds two folders for {part}: "
                f"{printable(by_part[part].name)} and "
                f"{printable(folder.name)}; keep one."
            )
        by_part[part], used[folder.path] = folder, part
    level = 2
    inner = [folder.filled for folder in parts]
    while (
        all(len(folders) == 1 for folders in inner)
        and len({folders[0].name for folders in inner}) == 1
    ):
        if not all(is_deep(folders[0]) for folders in inner):
            break
        inner, level = [folders[0].filled for folders in inner], level + 1
    train = inner[list(parts).index(by_part["train"])]
    if len(train) == 1 and len(parts) > 1:
        raise without_classes(base, parts)
    if len(train) > 1 and all(is_deep(folder) for folder in train) and same_names(train):
        raise ambiguous(top, base, "the folders in train hold folders of equal names")
    text = ", ".join(
        f"{printable(by_part[part].name)} as {part}" for part in PARTS if part in by_part
    )
    notes = [*notes, f"folders taken as parts: {text}; classes are the folders in them"]
    notes += fewer(train, depth_below(top, base) + level + 1)
    return Plan(base, level, 1, used=used, notes=notes)


def _unwrapped(top: Tree) -> tuple[Tree, list[str]]:
    """The folder in which the folders that matter lie: down while one of them alone holds images,
    and none of its own."""
    base = top
    while len(base.filled) == 1:
        only = base.filled[0]
        if not is_deep(only) or len(base.images) >= only.count or _blocked(base, only):
            break
        base = only
    moved = base is not top
    return base, [
        f"{place_of(top, base)} alone holds images: it was read in place of "
        f"{printable(top.path, 200)}"
    ] if moved else []


def _blocked(base: Tree, only: Tree) -> bool:
    """Whether a folder without images beside `only` may be a class that lacks them."""
    parts = part_of(only.name) is not None
    return any(
        not (is_papers(folder) or (parts and part_of(folder.name)))
        for folder in base.folders
        if folder not in base.filled
    )


def _unlabelled(top: Tree) -> Arranged:
    """Every image; parts where folders are named so, train among them."""
    base, notes = _unwrapped(top)
    parts = [folder for folder in base.filled if part_of(folder.name)]
    kinds = [part_of(folder.name) or "" for folder in parts]
    pictures = set(images_in(top))
    arranged = Arranged([], False, [path for path in top.files if path not in pictures], notes)
    if "train" in kinds and len(set(kinds)) > 1:
        used = {folder.path: part for folder, part in zip(parts, kinds, strict=True)}
        arranged.split = True
        arranged.notes += [
            f"folders taken as parts: {some(names_of(parts))}",
            *unused(base, parts, "the parts"),
        ]
        for folder in parts:
            arranged.entries += [
                Entry(used[folder.path], UNLABELLED, path) for path in images_in(folder)
            ]
    else:
        arranged.entries = [Entry(None, UNLABELLED, path) for path in images_in(top)]
    sort(arranged)
    return arranged
