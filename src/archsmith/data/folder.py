"""A folder of images: one sub-folder per class, or train/, val/, test/ of such."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from PIL import Image

from archsmith.data.decode import open_picture
from archsmith.data.listing import PART_NAMES, PARTS, UNLABELLED, Listing, printable
from archsmith.errors import UserError

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".ico", ".avif", ".pcx", ".sgi"),
)
_HIDDEN = ("__MACOSX",)


def list_folder(root: Path, labelled: bool = True) -> Listing:
    """Every image below the class folders of `root`; hidden ones are passed over, links are followed but never in a circle.

    Not `labelled`: every image below `root`, or below its train, val and test.
    """
    top = str(root)
    folders, files = _entries(top)
    ignored: list[str] = []
    notes: list[str] = []
    found: list[tuple[str | None, str, str]] = []  # part, class, path
    empty: list[str] = []
    layout = _layout(top, folders, labelled)
    for part, base in layout.items():
        inner, loose = _entries(base)
        if not labelled:
            images = _walk(base, notes, ignored, (_inode(top),) if base != top else ())
            found += [(part or None, UNLABELLED, image) for image in images]
            continue
        ignored += loose
        for name in inner:
            path = os.path.join(base, name)
            if _leads_back(path, (_inode(top), _inode(base)), notes):
                continue
            images = _walk(path, notes, ignored, (_inode(top), _inode(base)))
            found += [(part or None, printable(name), image) for image in images]
            if not images:
                empty.append(printable(os.path.relpath(path, top)))
    if not found and not empty and any(_is_image(path) for path in files):
        raise UserError(
            f"{printable(top)} holds images but no class sub-folders; put the images of each class into a sub-folder of "
            "that name, or give a CSV file with the columns path and label."
        )
    if empty:
        raise UserError(
            f"class folder without an image: {', '.join(map(repr, empty[:5]))}{' ...' if len(empty) > 5 else ''} "
            f"in {printable(top)}; add images to it or remove the folder."
        )
    if not found:
        expected = "one sub-folder per class with files" if labelled else "files"
        raise UserError(f"{printable(top)} holds no images; expected {expected} such as .jpg or .png.")
    if layout.keys() != {""}:
        others = sorted(set(_entries(top)[0]) - {os.path.basename(base) for base in layout.values()})
        notes += [f"folder {printable(name)} beside {', '.join(layout)} was not used" for name in others]
    if ignored:
        shown = ", ".join(printable(os.path.relpath(path, top)) for path in sorted(ignored)[:3])
        notes.append(
            f"{len(ignored)} files that are no images of a class were passed over ({shown}{' ...' if len(ignored) > 3 else ''})"
        )
    found.sort(key=lambda entry: (PARTS.index(entry[0]) if entry[0] else 0, entry[2]))
    paths = [path for _, _, path in found]
    return Listing(
        kind="folder",
        ids=[printable(os.path.relpath(path, top)).replace(os.sep, "/") for path in paths],
        labels=[name for _, name, _ in found],
        open=partial(_open, paths),
        pins=[_bytes(path) for path in paths],
        declared=None if layout.keys() == {""} else [part or "train" for part, _, _ in found],
        paths=paths,
        notes=notes,
    )


def _open(paths: list[str], index: int) -> Image.Image:
    return open_picture(paths[index])


def _bytes(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1  # a broken link; opening it will say so


def _is_image(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in SUFFIXES


def _entries(folder: str) -> tuple[list[str], list[str]]:
    """Names of the visible sub-folders and paths of the visible files, sorted."""
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _HIDDEN:
                    continue
                if _is_folder(entry):
                    folders.append(entry.name)
                elif _is_file(entry):
                    files.append(entry.path)
    except PermissionError as error:
        raise UserError(
            f"no permission to read the folder {printable(folder)}; change its mode or run as another user."
        ) from error
    return sorted(folders), sorted(files)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A folder or a link to one; os.path answers False for a link that points to itself, where the entry raises."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path))


def _is_file(entry: os.DirEntry[str]) -> bool:
    """A file, a link to one, or a broken link (opening it will say so); no pipe, socket or device."""
    if entry.is_symlink():
        return os.path.isfile(entry.path) or not os.path.exists(entry.path)
    return entry.is_file()


def _layout(top: str, folders: list[str], labelled: bool) -> dict[str, str]:
    """Part -> folder for train/val/test layouts, {"": top} for class folders.

    A class may be called train: it counts as a part only when it holds sub-folders and no images of its own.
    """
    parts: dict[str, str] = {}
    for name in folders:
        part = PART_NAMES.get(name.lower())
        if part is None:
            continue
        base = os.path.join(top, name)
        inner, files = _entries(base)
        if labelled and (not inner or any(_is_image(path) for path in files)):
            continue
        if part in parts:
            raise UserError(
                f"{printable(top)} holds two folders for {part}: {os.path.basename(parts[part])} and {name}; keep one."
            )
        parts[part] = base
    if "train" not in parts:
        return {"": top}
    return {part: parts[part] for part in PARTS if part in parts}


def _inode(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _leads_back(folder: str, above: tuple[tuple[int, int], ...], notes: list[str]) -> bool:
    """Whether a link leads back to a folder above it, which is noted."""
    back = _inode(folder) in above
    if back:
        notes.append(f"{printable(folder)} is a link back to a folder above it and was not followed")
    return back


def _walk(folder: str, notes: list[str], ignored: list[str], above: tuple[tuple[int, int], ...]) -> list[str]:
    """The image files in and below `folder`."""
    folders, files = _entries(folder)
    images = [path for path in files if _is_image(path)]
    ignored += [path for path in files if not _is_image(path)]
    above = (*above, _inode(folder))
    for name in folders:
        path = os.path.join(folder, name)
        if not _leads_back(path, above, notes):
            images += _walk(path, notes, ignored, above)
    return images
