"""A benchmark in miniature that needs no data: 729 cells of the NAS-Bench-201 network with
accuracies invented by a formula."""

from __future__ import annotations

import math
from os import PathLike
from random import Random

import numpy as np

from archsmith.recorded.benchmark import SIMULATED, Curve, Lookup, Recorded, Rows, optimum, spread
from archsmith.space import Architecture
from archsmith.spaces.catalog.edges import EDGE_NAMES, edges_canonical
from archsmith.spaces.catalog.nasbench201 import NASBENCH201, nasbench201_arch, nasbench201_text

_OPS = ("none", "skip_connect", "nor_conv_3x3")
_EPOCHS = (4.0, 12.0, 36.0, 108.0)
_REPEATS = 3
_CHANCE = 10.0
_NOISE = 0.3  # standard deviation of a run
_ROUTES = [
    ("edge0to3",),
    ("edge0to1", "edge1to3"),
    ("edge0to2", "edge2to3"),
    ("edge0to1", "edge1to2", "edge2to3"),
]


def load(name: str = "toy", data: str | PathLike[str] | None = None) -> Recorded:
    """The invented results; `data` is not read."""
    space = NASBENCH201.restrict(dict.fromkeys(EDGE_NAMES, _OPS))
    archs = list(space.architectures())
    texts = [nasbench201_text(arch) for arch in archs]
    rows = Rows(name, texts, nasbench201_text, texts=texts, read=nasbench201_arch)
    limits, delays, efforts = (
        np.array(column) for column in zip(*map(_figures, archs), strict=True)
    )
    costs = {epochs: {SIMULATED: epochs * efforts} for epochs in _EPOCHS}
    runs = []
    for repeat in range(_REPEATS):
        values = {}
        for epochs in _EPOCHS:
            learned = _CHANCE + (limits - _CHANCE) * (1 - np.exp(-epochs / delays))
            # the same on every machine
            noise = [Random(f"{text} {epochs} {repeat}").gauss(0, _NOISE) for text in texts]
            values[epochs] = np.maximum(learned + np.array(noise), 0)
        runs.append(Curve("accuracy", rows, values, costs))
    facts = {
        "title": "toy",
        "source": "a formula",
        "licence": "that of this package",
        "file": None,
        "sha256": None,
        "score": "invented accuracy after 4, 12, 36 or 108 epochs, one run; three are `repeats`",
        "truth": "invented accuracy in the limit, without noise",
        "unit": "%",
        **optimum(limits, rows),
        "noise": {"validation, one run": spread([run.values[_EPOCHS[-1]] for run in runs])},
        "surrogate": "everything: the numbers are invented and mean nothing",
        "simulated_seconds": "invented",
        "complete": True,
        "count": len(archs),
        "truth_fidelity": _EPOCHS[-1],
    }
    return Recorded(
        name,
        space,
        runs[0],
        truth=Lookup("accuracy", rows, limits),
        facts=facts,
        rows=rows,
        repeats=tuple(runs),
    )


def _figures(arch: Architecture) -> tuple[float, float, float]:
    """The accuracy in the limit, the epochs it takes to learn most of it, the seconds of an epoch.

    Convolutions help with diminishing returns, a skip connection around them helps, deep chains
    learn slowly.
    """
    form = edges_canonical(arch)
    convs = sum(option == "nor_conv_3x3" for option in form.values())
    paths = [route for route in _ROUTES if all(form[name] != "none" for name in route)]
    if not paths:
        return _CHANCE, 1.0, 1.0
    depth = max(sum(form[name] == "nor_conv_3x3" for name in path) for path in paths)
    limit = 58 + 35 * (1 - math.exp(-0.6 * convs)) - 0.9 * max(0, convs - 4)
    limit += 1.2 if form["edge0to3"] == "skip_connect" and convs else 0.0
    limit += 1.5 if form["edge1to2"] == "none" else 0.0
    return limit, 3.0 + 3.0 * depth, 1.0 + convs
