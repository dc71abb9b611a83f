"""Publishers' files into the small ones that benchmarks read: `python -m archsmith.recorded.convert
KIND SOURCE OUT`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archsmith.errors import ArchsmithError, UserError, did_you_mean
from archsmith.recorded import columns, publishers, tfrecords
from archsmith.recorded.columns import KINDS, Kind
from archsmith.recorded.pickles import read_pickle

_PICKLES = (".pickle", ".pkl", ".p", ".pth", ".pt", ".pbz2", ".bz2", ".gz")
_LAYOUTS: dict[str, Callable[[Any], publishers.Table]] = {
    "nasbench201": publishers.nasbench201_columns,
    "transnas": publishers.transnas_columns,
}
_TFRECORDS = {"nasbench1shot1": tfrecords.nasbench1shot1_columns, "ecnas": tfrecords.ecnas_columns}


def convert(kind: str, source: Path, out: Path) -> dict[str, Any]:
    """Writes the results in `source` as the .npz file `out`; gives what was written.

    `source`: a CSV table or JSON (a list of rows or a dictionary of columns, named as the table's),
    a pickle of either or of the publishers' own layout (NAS-Bench-201, NATS-Bench,
    TransNAS-Bench-101; also in bzip2, gzip and torch files), the folder of NATS-Bench, a .tfrecord
    file of NAS-Bench-101 (for `nasbench1shot1`) or EC-NAS, or an .npz file of plain arrays. Nothing
    in a source can run code.
    """
    if kind not in KINDS:
        raise UserError(
            f"no results of kind '{kind}' among {', '.join(KINDS)}{did_you_mean(kind, KINDS)}"
        )
    if not source.exists():
        raise UserError(f"there is no {source}; give the publishers' file")
    if out.suffix != ".npz":
        raise UserError(f"{out} does not end in .npz; write to {out.with_suffix('.npz')}")
    arrays = _arrays(KINDS[kind], source)
    digest = columns.write(
        out, KINDS[kind], arrays, source=source.name, source_sha256=_sha256(source)
    )
    rows = max((len(array) for array in arrays.values() if array.ndim), default=0)
    return {
        "kind": kind,
        "rows": rows,
        "columns": len(arrays),
        "file": str(out),
        "bytes": out.stat().st_size,
        "sha256": digest,
    }


def _arrays(kind: Kind, source: Path) -> dict[str, np.ndarray]:
    where, suffix = str(source), source.suffix.lower()
    if source.is_dir():
        if kind.name != "nasbench201":
            raise UserError(
                f"{source} is a folder; only results of kind 'nasbench201' come as one. Give a file"
            )
        return columns.typed(kind, publishers.nasbench201_folder(source), where)
    if suffix == ".csv":
        return columns.from_csv(kind, source.read_bytes(), where)
    if suffix == ".json":
        try:
            content = json.loads(source.read_bytes())
        except ValueError as error:
            raise UserError(f"{source} is no JSON: {error}") from error
    elif suffix == ".tfrecord":
        if kind.name not in _TFRECORDS:
            raise UserError(
                f"{source}: results of kind '{kind.name}' do not come as .tfrecord; "
                f"{', '.join(_TFRECORDS)} do"
            )
        return columns.typed(kind, _TFRECORDS[kind.name](source), where)
    elif suffix == ".npz":
        return _plain_npz(source)
    elif suffix in _PICKLES:
        content = read_pickle(source)
    else:
        raise UserError(
            f"{source}: a source ends in .csv, .json, .npz, .tfrecord or {', '.join(_PICKLES)}; "
            f"rename it by what it is"
        )
    try:
        table = _table(content)
        if table is None:
            if kind.name not in _LAYOUTS:
                raise UserError(
                    "neither a list of rows nor a dictionary of columns; save it as one of these"
                )
            table = _LAYOUTS[kind.name](content)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(
            f"{source} has not the layout of '{kind.name}': {type(error).__name__}: {error}"
        ) from error
    return columns.typed(kind, table, where)


def _table(content: Any) -> publishers.Table | None:
    """Columns of a list of rows or of a dictionary of columns; None of anything else."""
    if isinstance(content, list) and content and all(isinstance(row, Mapping) for row in content):
        names = list(dict.fromkeys(str(name) for row in content for name in row))
        return {name: [_flat(row.get(name)) for row in content] for name in names}
    if (
        isinstance(content, Mapping)
        and content
        and all(isinstance(column, list) for column in content.values())
    ):
        lengths = {len(column) for column in content.values()}
        if len(lengths) == 1 and "meta_archs" not in content:
            return {
                str(name): [_flat(value) for value in column] for name, column in content.items()
            }
    return None


def _flat(value: Any) -> Any:
    """Matrices and lists as the JSON text that the tables hold."""
    return (
        json.dumps(value, separators=(",", ":"))
        if isinstance(value, list | tuple | dict)
        else value
    )


def _plain_npz(source: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(source, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if name != "about"}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{source} is no .npz file of plain arrays: {error}") from error


def _sha256(source: Path) -> str:
    """Of the file, or of names and hashes of a folder's files."""
    if source.is_dir():
        lines = [
            f"{_sha256(path)}  {path.name}\n" for path in sorted(source.iterdir()) if path.is_file()
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    total = hashlib.sha256()
    with source.open("rb") as file:
        while chunk := file.read(1 << 20):
            total.update(chunk)
    return total.hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 where the request cannot be met."""
    parser = argparse.ArgumentParser("python -m archsmith.recorded.convert", description=__doc__)
    parser.add_argument("kind", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument(
        "source", metavar="SOURCE", type=Path, help="the publishers' file or folder"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the file to write, ending in .npz")
    asked = parser.parse_args(arguments)
    try:
        written = convert(asked.kind, asked.source, asked.out)
    except ArchsmithError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(json.dumps(written) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
