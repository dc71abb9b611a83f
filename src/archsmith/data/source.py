"""From what a user names as data to its listing: a folder, a CSV, parquet or npz file, files of a
pattern, a built-in set."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from archsmith.data.arrays import list_digits, list_npz
from archsmith.data.folder import list_folder
from archsmith.data.gathering import NoImages
from archsmith.data.listing import Listing, printable
from archsmith.data.parquet import list_parquet, parquet_files
from archsmith.data.table import list_csv
from archsmith.errors import UserError, did_you_mean, quoted

BUILT_IN = ("digits",)


def shown(source: str | Path) -> str:
    return printable(str(source), 300)


def listing_of(
    source: str | Path,
    group: str | None,
    memory_limit_bytes: int,
    task: str,
    *,
    classes_at: int | None,
) -> Listing:
    """What the source holds, by its kind. UserError where there is nothing, or what is there is of
    no known kind."""
    text, labelled = str(source), task != "reconstruction"
    path = _path(text)

    def of_parquet(files: Sequence[Path]) -> Listing:
        return _by_folders(list_parquet(files, group, memory_limit_bytes, labelled), classes_at)

    try:
        if not path.exists():
            if text in BUILT_IN:
                return _by_folders(_ungrouped(list_digits(), group), classes_at)
            if "," in text or glob.has_magic(text):
                return of_parquet(parquet_files(text))
            raise _nowhere(text, path)
        if not path.is_dir() and not path.is_file():
            raise UserError(
                f"{shown(text)} is a pipe, a device or a socket; give a folder or a regular file."
            )
        if path.is_dir():
            if any(path.glob("*.parquet")) or any(path.glob("data/*.parquet")):
                return of_parquet(parquet_files(text))
            try:
                listing = _ungrouped(list_folder(path, labelled, classes_at), group)
            except NoImages:
                if not any(path.glob("*/*.parquet")) and not any(path.glob("*/*/*.parquet")):
                    raise
                return of_parquet(parquet_files(text))
            if text in BUILT_IN:
                listing.notes.append(
                    f"the folder {quoted(text)} was read, not the built-in data set of that name"
                )
            return listing
        kind = path.suffix.lower()
        if kind in (".csv", ".tsv"):
            return _by_folders(list_csv(path, group, labelled), classes_at)
        if kind == ".parquet":
            return of_parquet([path])
        if kind == ".npz":
            return _by_folders(list_npz(path, group, task), classes_at)
    except OSError as error:
        raise UserError(
            f"{shown(text)} cannot be read: {error.strerror or error}; check the path, its mode "
            f"and the disk."
        ) from error
    raise UserError(
        f"{shown(text)}: files ending in {quoted(kind or 'nothing')} are not known; "
        "give a folder of images or a file ending in .csv, .tsv, .parquet or .npz."
    )


def _nowhere(text: str, path: Path) -> UserError:
    """What is said of a name that nothing has."""
    near = did_you_mean(text, [*BUILT_IN, *_siblings(path)])
    return UserError(
        f"{shown(text)}: no such file, folder or built-in data set{near}. Give a folder "
        f"with one sub-folder of images "
        f"per class, a CSV (path,label), a parquet or npz file, or {', '.join(BUILT_IN)}."
    )


def _path(text: str) -> Path:
    """The path that somebody wrote; UserError where it is none."""
    if not text.strip():
        raise UserError(
            "DATA is empty; give a folder of images, a CSV, parquet or npz file, or `digits`."
        )
    try:
        path = Path(text).expanduser()
        path.exists()
    except (RuntimeError, ValueError) as error:  # ~nobody; a NUL in it
        raise UserError(f"{shown(text)} is no path ({error}); give a folder or a file.") from error
    except OSError:
        return Path(text)  # what is wrong is said by whoever opens it
    return path


def _by_folders(listing: Listing, classes_at: int | None) -> Listing:
    if classes_at is not None:
        raise UserError(
            f"--classes-at {classes_at}: a {listing.kind} source has no class folders; "
            f"leave it out."
        )
    return listing


def _siblings(path: Path) -> list[str]:
    try:
        return [str(path.parent / entry.name) for entry in path.parent.iterdir()][:1000]
    except OSError:
        return []


def _ungrouped(listing: Listing, group: str | None) -> Listing:
    if group is not None:
        raise UserError(
            f"group {quoted(group)}: a {listing.kind} source has no columns to group by; "
            f"give a CSV with the columns path, label and {group}."
        )
    return listing
