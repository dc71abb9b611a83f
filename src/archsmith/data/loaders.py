"""Images that a program holds - DataLoaders, data sets, lists of batches - read once through into a
file of arrays."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from archsmith._internal.files import replace_file
from archsmith.errors import UserError, shown

_PARTS = ("train", "val", "test")
_ALL = "images"  # the part of data that is not divided
_SHARE = 0.4  # of the memory that is free: they are held twice while they are written


def gather(
    data: Any, path: Path, *, task: str = "classification", most_bytes: int | None = None
) -> None:
    """Reads loaders once and writes what they gave to `path`, an npz file that a run reads as any
    other.

    data: a mapping with "train" and, where there are such parts, "val" and "test", or one loader of
    all images. A loader: an iterable of pairs (images, labels), batches (B, C, H, W) with (B,) or
    single images (C, H, W) with one label, as tensors or arrays; (H, W) for grey ones. Floats of
    any range are kept as they are: a run reads all parts in one scale, which stands in the
    `preprocess.json` of what it ships. task: labels are whole numbers for "classification", any
    numbers for others. most_bytes: of pixels, by default what fits into the free memory. UserError
    for whatever is wrong with them.
    """
    loaders = _loaders(data)
    limit = int(_SHARE * psutil.virtual_memory().available) if most_bytes is None else most_bytes
    arrays: dict[str, np.ndarray] = {}
    for part, loader in loaders.items():
        images, labels = _read(loader, f"data[{part!r}]" if part != _ALL else "data", limit)
        limit -= images.nbytes
        if task == "classification":
            _whole(labels, part if part != _ALL else "")
        name = "" if part == _ALL else f"{part}_"
        arrays |= {f"{name}images": images, f"{name}labels": labels}
    sides = {name: array.shape[1:] for name, array in arrays.items() if name.endswith("images")}
    if len({len(side) for side in sides.values()}) > 1:
        text = ", ".join(f"{name} {side}" for name, side in sides.items())
        raise UserError(f"the parts hold images of different kinds: {text}; make them alike")
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    replace_file(path, stream.getbuffer())  # type: ignore[arg-type]


def _loaders(data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        return {_ALL: data}
    strange = [name for name in data if name not in _PARTS]
    if strange or "train" not in data:
        names = ", ".join(map(repr, data)) or "nothing"
        raise UserError(
            f'data holds {shown(names)}; give {{"train": loader}}, and "val" and "test" where '
            f"there are such parts"
        )
    return {part: data[part] for part in _PARTS if data.get(part) is not None}


def _read(loader: Any, where: str, limit: int) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
        raise UserError(
            f"{where} is a {type(loader).__name__}; give a path, a DataLoader or another iterable "
            f"of (images, labels), or a mapping of them by part"
        )
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    taken = 0
    for number, item in enumerate(loader):
        if not isinstance(item, tuple | list) or len(item) != 2:
            form = f"{len(item)} things" if isinstance(item, tuple | list) else type(item).__name__
            raise UserError(f"{where} gives {form} at place {number}; expected (images, labels)")
        x, y = _array(item[0], f"{where}[{number}] images"), _array(item[1], f"{where} labels")
        if x.ndim < 4 and (y.ndim == 0 or (x.ndim == 3 and y.shape == (1,))):  # a single image
            x, y = x[None], y.reshape(1)
        _checked(x, y, images, f"{where}: the batch at place {number}")
        x = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
        images.append(x[..., 0] if x.ndim == 4 and x.shape[-1] == 1 else x)
        labels.append(y)
        taken += x.nbytes
        if taken > limit:
            raise UserError(
                f"{where} gives more than {limit / 2**20:.0f} MiB of images, which do not fit into "
                f"memory, or it has no end; write the images into a folder of classes and give that"
            )
    if not images:
        raise UserError(f"{where} gives no images; a generator that was read before is empty")
    return np.concatenate(images), np.concatenate(labels)


def _whole(labels: np.ndarray, part: str) -> None:
    if labels.dtype.kind == "f" and not (labels == np.rint(labels)).all():
        where = f"data[{part!r}]" if part else "data"
        strange = labels[labels != np.rint(labels)][0]
        raise UserError(
            f"{where} gives the label {strange:g}; classes are whole numbers: number them from 0, "
            f"or predict the values with task='regression'"
        )


def _array(value: Any, where: str) -> np.ndarray:
    """Of a tensor on any device, an array or a number."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
        value = value.numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "buif":
        raise UserError(f"{where} are {array.dtype} of shape {array.shape}; expected numbers")
    return array


def _checked(x: np.ndarray, y: np.ndarray, before: list[np.ndarray], where: str) -> None:
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[1] not in (1, 3)):
        raise UserError(
            f"{where} holds images of shape {x.shape}; expected (B, C, H, W) with 1 or 3 channels "
            f"(a fourth would be read as transparency: let the loader leave it out)"
        )
    if len(x) != len(y):
        raise UserError(f"{where} holds {len(x)} images and {len(y)} labels")
    side = x.shape[-2:]
    if before and before[0].shape[1:3] != side:
        raise UserError(
            f"{where} holds images of {side[0]} x {side[1]}, the first ones have "
            f"{before[0].shape[1]} x {before[0].shape[2]}; let the loader make them alike"
        )
