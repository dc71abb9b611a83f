"""What is asked of a tree of folders with images: which hold more folders, which are named for parts, which share names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

from archsmith.data.listing import part_of
from archsmith.errors import quoted

_PAPERS = (".txt", ".xml", ".json", ".jsonl", ".csv", ".tsv", ".md", ".rst", ".yaml", ".yml", ".mat", ".pdf", ".html", ".npy")


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
    return bool(folder.files) and all(os.path.splitext(path)[1].lower() in _PAPERS for path in folder.files)


def is_deep(folder: Tree) -> bool:
    """Whether more of its images lie in folders than beside them."""
    return folder.count > 2 * len(folder.images)


def part_names(folder: Tree) -> set[str]:
    """The parts that the folders in it are named for, where all are."""
    found = {part_of(inner.name) for inner in folder.filled}
    return {part for part in found if part} if is_deep(folder) and None not in found else set()


def shared(folders: Sequence[Tree], least: int = 2) -> bool:
    """Whether the names of the folders in them, at least so many, are mostly the same."""
    counts = Counter(name for folder in folders for name in {inner.name.casefold() for inner in folder.filled})
    return len(counts) >= least and 2 * sum(count > 1 for count in counts.values()) >= len(counts)


def holders(folders: Sequence[Tree]) -> tuple[list[Tree], int]:
    """Where what tells these apart lies: they themselves, or, while each holds one folder alone, with folders in it, that one.

    The second: how many levels below them.
    """
    held, down = list(folders), 0
    while held and all(len(folder.filled) == 1 and is_deep(folder) and is_deep(folder.filled[0]) for folder in held):
        held, down = [folder.filled[0] for folder in held], down + 1
    return held, down


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
    return ", ".join(quoted(name, 40) for name in names[:4]) + (f", ... {len(names)} in all" if len(names) > 4 else "")
