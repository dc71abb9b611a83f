"""Reading pickles of strangers without running their code: containers, numbers and texts only,
everything else is refused."""

from __future__ import annotations

import bz2
import gzip
import pickle
import re
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from archsmith.errors import UserError

_TORCH_MAGIC = (
    # the first object of a torch file before version 1.6; three more stand before the content
    0x1950A86A20F9469CFC6C
)
_DTYPE = re.compile(r"[<>=|]?[?biufSU]\d{0,5}")


class _Dtype:
    """Stands in for numpy.dtype: a real one would take flags from the file that make it read
    numbers as addresses."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __setstate__(self, state: tuple) -> None:
        if (
            not isinstance(state, tuple)
            or len(state) < 5
            or any(part is not None for part in state[2:5])
        ):
            raise ValueError("an array of records")
        self._code = {"<": "<", ">": ">"}.get(state[1], "|") + self._code.lstrip("<>=|")

    def values(self, raw: bytes, shape: tuple[int, ...], order: Literal["C", "F"]) -> Any:
        """The numbers or texts in the bytes, as Python's own."""
        if not isinstance(raw, bytes):
            raise ValueError("an array of objects")
        flat = np.frombuffer(raw, dtype=np.dtype(self._code))
        if shape and not flat.size:
            return []  # whatever sizes the file claims
        return flat.reshape(shape, order=order).tolist()


class _Array(list):
    """Stands in for numpy.ndarray: becomes the nested list of its values."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _Dtype):
            raise ValueError("an array of unknown type")
        values = dtype.values(raw, tuple(int(size) for size in shape), "F" if fortran else "C")
        self[:] = values if isinstance(values, list) else [values]


def _dtype(code: str, align: bool = False, copy: bool = False) -> _Dtype:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise ValueError(f"numbers of type {code!r:.40}")
    return _Dtype(code)


def _scalar(dtype: _Dtype, raw: bytes) -> Any:
    return dtype.values(raw, (), "C")


def _ndarray(*_: Any) -> _Array:
    """numpy.ndarray itself is only ever named as what to make; called, it makes an empty one."""
    return _Array()


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _frombuffer(raw: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str, *_: Any) -> _Array:
    if not isinstance(raw, bytes | bytearray) or order not in ("C", "F"):
        raise ValueError("an array that is not contiguous")
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", bytes(raw)))
    return array


def _encode(text: str, encoding: str) -> bytes:
    """How bytes are written by old pickle protocols."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"text in encoding {encoding!r:.40}")
    return text.encode("latin-1")


def _bytes(*arguments: Any) -> bytes:
    """Old protocols write empty bytes as a call without arguments; with one it could ask for all
    memory."""
    if arguments:
        raise _refused("bytes of something")
    return b""


def _refused(what: str) -> UserError:
    return UserError(
        f"the file asks for {what}; only containers, numbers and texts are read, so that no file "
        f"can run code. "
        "Save it again as plain dictionaries and lists, or as JSON or CSV"
    )


_PLAIN = (dict, list, tuple, set, frozenset, str, int, float, bool, complex)
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    **{(module, kind.__name__): kind for kind in _PLAIN for module in ("builtins", "__builtin__")},
    **{(module, "bytes"): _bytes for module in ("builtins", "__builtin__")},
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    """An unpickler for which a name outside the list is an error, not something to import."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            raise _refused(f"{module}.{name}")
        return allowed

    def persistent_load(self, pid: Any) -> Any:
        raise UserError(
            "the file holds tensors; results are numbers: save it again without network weights"
        )


def read_pickle(path: Path) -> Any:
    """What a pickle holds: plain, in bzip2 or gzip, or written by torch.save without tensors; numpy
    values become Python's.

    UserError for anything but containers, numbers and texts, and for a file that is no pickle.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(0)
            if head[:2] == b"PK":
                return _from_torch(path)
            opened: Any = file
            if head[:3] == b"BZh":
                opened = bz2.BZ2File(file)
            elif head[:2] == b"\x1f\x8b":
                opened = gzip.GzipFile(fileobj=file)
            return _read(opened)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # a pickle can be wrong in every way there is
        raise UserError(
            f"{path} cannot be read as a pickle of plain values: {type(error).__name__}: {error}"
        ) from error


def _from_torch(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        inside = [
            name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")
        ]
        if len(inside) != 1:
            raise UserError(
                "a zip archive, but not one that torch.save writes; unpack it and pass "
                "the file inside"
            )
        with archive.open(inside[0]) as file:
            return _Reader(file).load()


def _read(file: IO[bytes]) -> Any:
    content = _Reader(file).load()
    if type(content) is int and content == _TORCH_MAGIC:
        for _ in range(3):  # protocol version, byte order, then the content
            content = _Reader(file).load()
    return content
