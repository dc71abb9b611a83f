"""Recorded results of whole search spaces: a table of names, and `load`, which makes one a space
with look-up metrics."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from archsmith._internal.registry import load_named
from archsmith._internal.user_code import answered
from archsmith.errors import UserError

if TYPE_CHECKING:
    from archsmith.recorded.benchmark import Recorded

_HERE = "archsmith.recorded"
_TRANSNAS = {
    "class_scene": "scene classification, top-1 %",
    "class_object": "object classification, top-1 %",
    "jigsaw": "jigsaw puzzles, top-1 %",
    "room_layout": "room layout, negative loss",
    "segmentsemantic": "semantic segmentation, pixel accuracy %",
    "autoencoder": "autoencoding, SSIM",
    "normal": "surface normals, SSIM",
}
# name -> (module:attribute, what it is); the part after the colon is the variant
BENCHMARKS: dict[str, tuple[str, str]] = {
    "toy": (f"{_HERE}.toy:load", "729 invented cells by a formula: needs no data, means nothing"),
    "nasbench201:cifar10": (
        f"{_HERE}.nasbench201:load",
        "15,625 cells on CIFAR-10, 12 and 200 epochs (Dong and Yang, ICLR 2020)",
    ),
    "nasbench201:cifar100": (f"{_HERE}.nasbench201:load", "the same cells on CIFAR-100"),
    "nasbench201:imagenet16": (f"{_HERE}.nasbench201:load", "the same cells on ImageNet16-120"),
    "nasbench1shot1:1": (
        f"{_HERE}.nasbench101:load_1shot1",
        "2,127 NAS-Bench-101 cells, 108 epochs x 3 (Zela et al., ICLR 2020)",
    ),
    "nasbench1shot1:2": (
        f"{_HERE}.nasbench101:load_1shot1",
        "3,258 NAS-Bench-101 cells, 108 epochs x 3",
    ),
    "ecnas": (
        f"{_HERE}.nasbench101:load_ecnas",
        "91 cells measured at 4, 12, 36, 108 epochs x 3, seconds and energy (Bakhtiarifard et al.)",
    ),
    "ecnas:5": (
        f"{_HERE}.nasbench101:load_ecnas",
        "2,532 cells of up to five nodes, 4 epochs only, seconds and energy",
    ),
    **{
        f"transnas:{t}": (f"{_HERE}.transnas:load", f"4,096 cells, {w} (Duan et al., CVPR 2021)")
        for t, w in _TRANSNAS.items()
    },
    "darts:surrogate": (
        f"{_HERE}.darts:load",
        "1,218 DARTS cells with NAS-Bench-301's predicted accuracy: not trained",
    ),
    "ofa": (
        f"{_HERE}.ofa:load",
        "Once-For-All at 224 pixels: 2.2e19 networks, predicted accuracy, recorded latencies",
    ),
    **{
        f"ofa:{r}": (f"{_HERE}.ofa:load", f"Once-For-All at {r} pixels")
        for r in (208, 192, 176, 160, 144, 128)
    },
}


def load(name: str, data: str | PathLike[str] | None = None) -> Recorded:
    """The benchmark `name` of BENCHMARKS, of a plug-in, or of a user's own file ("my.py:table"; see
    `tabulated`).

    `data`: its converted file, or a folder with converted files or the CSV tables; default: the
    folder that the environment variable ARCHSMITH_DATA names. Raises UserError for an unknown name,
    for missing results (with how to convert them) and for a damaged file.
    """
    from archsmith.recorded.benchmark import Recorded

    maker = load_named("benchmark", name, BENCHMARKS)
    if name not in BENCHMARKS:  # a plug-in's, or of the user's own file: it, or what makes it
        with answered(f"benchmark '{name}': making it failed"):
            benchmark = (
                maker
                if isinstance(maker, Recorded)
                else maker(**_taken(maker, {"name": name, "data": data}))
            )
        if not isinstance(benchmark, Recorded):
            raise UserError(
                f"benchmark '{name}' gives a {type(benchmark).__name__}; it must be, or "
                f"return, what `tabulated` makes"
            )
        return benchmark
    recorded: Recorded = maker(name, data)
    return recorded


def _taken(make: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that it has."""
    known = inspect.signature(make).parameters
    return {name: value for name, value in given.items() if name in known}
