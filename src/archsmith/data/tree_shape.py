"""What is asked of a tree of folders with images: which hold more folders, which are named for
parts, which share names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

from archsmith.data.listing import joined_alike, part_and_rest, part_of
from archsmith.errors import quoted

_PAPERS = (
    ".txt",
    ".xml",
    ".json",
    ".jsonl",
    ".csv",
    ".tsv",
    ".md",
    ".rst",
    ".yaml",
    ".yml",
    ".mat",
    ".pdf",
    ".html",
    ".npy",
)


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


def is_papers(folder: Tree) -> bool:
    """Whether it holds only lists and descriptions, as labels and annotations do."""
    return bool(folder.files) and all(
        os.path.splitext(path)[1].lower() in _PAPERS for path in folder.files
    )


def is_deep(folder: Tree) -> bool:
    """Whether more of its images lie in folders than beside them."""
    return folder.count > 2 * len(folder.images)


def known_parts(folders: Sequence[Tree]) -> dict[str, str]:
    """The part that each of these is named for, by its path. A word that all their names have
    beside it (flowers_train, flowers_test) says nothing."""
    parts = {folder.path: part for folder in folders if (part := part_of(folder.name))}
    if not parts and joined_alike([folder.name for folder in folders]):
        parts = {
            folder.path: split[0] for folder in folders if (split := part_and_rest(folder.name))
        }
    return parts


def part_names(folder: Tree) -> set[str]:
    """The parts that the folders in it are named for, where all are."""
    parts = known_parts(folder.filled)
    return set(parts.values()) if is_deep(folder) and len(parts) == len(folder.filled) else set()


def same_names(folders: Sequence[Tree], least: int = 2) -> bool:
    """Whether the names of the folders in them, at least so many, are mostly the same."""
    counts = Counter(
        name for folder in folders for name in {inner.name.casefold() for inner in folder.filled}
    )
    return len(counts) >= least and 2 * sum(count > 1 for count in counts.values()) >= len(counts)


def holder(folder: Tree) -> tuple[Tree, int]:
    """Where what tells its images apart lies: itself, or, while it holds one folder alone, with
    folders in it, that one; and how many levels below it."""
    down = 0
    while len(folder.filled) == 1 and is_deep(folder) and is_deep(folder.filled[0]):
        folder, down = folder.filled[0], down + 1
    return folder, down


def at(folder: Tree, level: int) -> Iterator[Tree]:
    """The folders so many levels below it, itself at 0."""
    if level == 0:
        yield folder
        return
    for inner in folder.folders:
        yield from at(inner, level - 1)


def depth_of(folder: Tree) -> int:
    """Levels of folders with images below it."""
    return max((1 + depth_of(inner) for inner in folder.filled), default=0)


def images_in(folder: Tree) -> list[str]:
    """All images in and below it."""
    return [*folder.images, *(path for inner in folder.folders for path in images_in(inner))]


def names_of(folders: Sequence[Tree]) -> list[str]:
    """Theirs."""
    return [folder.name for folder in folders]


def some(names: Sequence[str]) -> str:
    """The first few, for a message."""
    return ", ".join(quoted(name, 40) for name in names[:4]) + (
        f", ... {len(names)} in all" if len(names) > 4 else ""
    )
