"""A folder of images on disk: what lies in it, without what systems leave there, and the listing of
its images."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from PIL import Image

from archsmith.data.decode import open_picture
from archsmith.data.layout import arrange
from archsmith.data.leftovers import is_system, is_system_file
from archsmith.data.listing import Listing
from archsmith.errors import UserError, printable, quoted

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".ico", ".avif", ".pcx", ".sgi"),
)
_DEEPEST = 100  # folders inside one another
_SMALL = re.compile(r"[_\-. ]*(thumb(nail)?s?|previews?)[_\-. ]*", re.IGNORECASE)


@dataclass(frozen=True)
class Folder:
    """`images` and `others`: the paths of the files that lie directly in it; `folders`: those in
    it, in order."""

    name: str
    path: str
    images: tuple[str, ...]
    others: tuple[str, ...]
    folders: tuple[Folder, ...]

    @cached_property
    def count(self) -> int:
        """Images in and below it."""
        return len(self.images) + sum(folder.count for folder in self.folders)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """All files in and below it."""
        return (
            *self.images,
            *self.others,
            *(path for folder in self.folders for path in folder.files),
        )

    @cached_property
    def filled(self) -> tuple[Folder, ...]:
        """The folders in it that hold images."""
        return tuple(folder for folder in self.folders if folder.count)


def list_folder(root: Path, labelled: bool = True, classes_at: int | None = None) -> Listing:
    """Every image below the class folders of `root`; hidden and system folders are passed over,
    links are followed but never in a circle. Which folders are classes and which parts of the data
    is decided by `layout.arrange`.

    Not `labelled`: every image below `root`, or below its train, val and test.
    """
    notes: list[str] = []
    system: list[str] = []
    tree = _read(str(root), (), notes, system)
    arranged = arrange(tree, labelled, classes_at)
    if system:
        names = sorted(
            {os.path.basename(path) for path in system},
            key=lambda name: (name.startswith("."), name.lower()),
        )
        notes.append(
            f"hidden, system and thumbnail folders were passed over: "
            f"{', '.join(printable(name, 40) for name in names[:5])}"
        )
    notes += arranged.notes
    if arranged.ignored:
        shown = ", ".join(
            printable(os.path.relpath(path, tree.path), 60) for path in sorted(arranged.ignored)[:3]
        )
        notes.append(
            f"{len(arranged.ignored)} files that are no images of a class were passed over "
            f"({shown}{' ...' if len(arranged.ignored) > 3 else ''})"
        )
    paths = [entry.path for entry in arranged.entries]
    ids = [printable(os.path.relpath(path, tree.path)).replace(os.sep, "/") for path in paths]
    if len(set(ids)) < len(ids):
        raise UserError(
            f"two files are both shown as {quoted(Counter(ids).most_common(1)[0][0])}; "
            f"rename one of them."
        )
    return Listing(
        kind="folder",
        ids=ids,
        labels=[entry.label for entry in arranged.entries],
        open=partial(_open, paths),
        pins=(),
        declared=[entry.part or "train" for entry in arranged.entries] if arranged.split else None,
        paths=paths,
        notes=notes,
    )


def _open(paths: list[str], index: int) -> Image.Image:
    return open_picture(paths[index])


def _is_image(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in SUFFIXES


def _read(
    path: str, above: tuple[tuple[int, int], ...], notes: list[str], system: list[str]
) -> Folder:
    """The tree below a folder; `above`: the folders it lies in, `system`: receives the system
    folders passed over."""
    if len(above) > _DEEPEST:
        raise UserError(
            f"{quoted(path)}: more than {_DEEPEST} folders inside one another; give "
            f"the folder of classes itself."
        )
    names, files = _entries(path, system)
    above = (*above, _inode(path))
    below = []
    for name in names:
        inner = os.path.join(path, name)
        if not _leads_back(inner, above, notes):
            below.append(_read(inner, above, notes, system))
    images = tuple(file for file in files if _is_image(file))
    small = [folder for folder in below if _is_copy(folder, images, below)]
    system += [folder.path for folder in small]
    return Folder(
        name=os.path.basename(path),
        path=path,
        images=images,
        others=tuple(file for file in files if not _is_image(file)),
        folders=tuple(folder for folder in below if folder not in small),
    )


def _entries(folder: str, system: list[str]) -> tuple[list[str], list[str]]:
    """Names of the visible sub-folders and paths of the visible files, sorted."""
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_folder(entry):
                    (
                        system.append(entry.path)
                        if is_system(entry.name)
                        else folders.append(entry.name)
                    )
                elif not is_system_file(entry.name) and _is_file(entry):
                    files.append(entry.path)
    except PermissionError as error:
        raise UserError(
            f"no permission to read the folder {quoted(folder)}; change its mode or run as another "
            f"user."
        ) from error
    return sorted(folders), sorted(files)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A folder or a link to one; os.path answers False for a link that points to itself, where the
    entry raises."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path))


def _is_file(entry: os.DirEntry[str]) -> bool:
    """A file, a link to one, or a broken link (opening it will say so); no pipe, socket or
    device."""
    if entry.is_symlink():
        return os.path.isfile(entry.path) or not os.path.exists(entry.path)
    return entry.is_file()


def _inode(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _leads_back(folder: str, above: tuple[tuple[int, int], ...], notes: list[str]) -> bool:
    """Whether a link leads back to a folder above it, which is noted."""
    back = _inode(folder) in above
    if back:
        notes.append(
            f"{printable(folder, 200)} is a link back to a folder above it and was not followed"
        )
    return back


def _is_copy(folder: Folder, images: Sequence[str], beside: Sequence[Folder]) -> bool:
    """Whether a folder named as thumbnails holds small copies: of images that lie beside it or in
    its sister folders."""
    if not _SMALL.fullmatch(folder.name) or not folder.count:
        return False
    originals = {
        *images,
        *(path for other in beside if other is not folder for path in other.files),
    }
    known = {_stem(path) for path in originals}
    held = [_stem(path) for path in folder.files if _is_image(path)]
    return 2 * sum(name in known for name in held) >= len(held)


def _stem(path: str) -> str:
    return _SMALL.sub("", os.path.splitext(os.path.basename(path))[0].lower())
