"""Why some scores differ from their published correlations: other readings of the same score, on
the same cells."""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from nasbench201_proxies import DATA  # beside this file
from torch import nn
from torch.nn import functional as F


def main() -> None:
    """Prints Kendall with the recorded CIFAR-10 accuracy of each reading, and one JSON object.

    "counts" are of all 15,625 cells and with all three data sets.
    """
    from archsmith.bench.judge import paired
    from archsmith.bench.proxies import Setting, sampled, truth_of
    from archsmith.data import batches
    from archsmith.data import load as images_of
    from archsmith.metrics.proxies import named
    from archsmith.metrics.proxies.reading import Needs, Proxy
    from archsmith.metrics.proxies.scores import Scores
    from archsmith.recorded import load
    from archsmith.spaces.catalog.edges import edges_canonical
    from archsmith.spaces.nasbench201 import nasbench201

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--networks",
        type=int,
        default=200,
        help="the first of the 1,000 cells of nasbench201_proxies.py",
    )
    parser.add_argument("--images", default=str(DATA / "images/cifar10_lossless_train_0.parquet"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only",
        nargs="*",
        default=["grad_norm", "zen", "jacob_cov"],
        help="scores, or counts; ntk is slow",
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    if "counts" in asked.only:
        print(
            json.dumps({"counts": counts(), "seconds": round(time.monotonic() - began)}, indent=1)
        )
        asked.only.remove("counts")
    if not asked.only:
        return
    recorded = load("nasbench201:cifar10")
    archs = sampled(recorded, Setting("nasbench201:cifar10", ("zico",), 1000))[: asked.networks]
    truth = truth_of(recorded, archs)
    images = images_of(asked.images, size=32)

    def drawn(batch: int) -> list[Any]:
        stream = batches(
            images.parts["train"],
            batch,
            data=images,
            seed=asked.seed,
            augment=None,
            device="cpu",
            workers=0,
        )
        return [next(stream), next(stream)]

    generator = torch.Generator().manual_seed(asked.seed)
    noise = [
        (
            torch.randn(64, 3, 32, 32, generator=generator),
            torch.randint(0, 10, (64,), generator=generator),
        )
    ] * 2
    usual, large, small = drawn(64), drawn(128), drawn(16)
    jacob, norm, zen, ntk = named("jacob_cov"), named("grad_norm"), named("zen"), named("ntk")
    naswot, synflow = named("naswot"), named("synflow")
    own = Proxy("grad_norm_all", _grad_norm_of_all, Needs(init="gaussian", labels=True))
    running = Proxy("zen_running", _zen_running, Needs(own=True, init="gaussian"), broken="last")
    kaiming = replace(jacob, needs=replace(jacob.needs, init="kaiming"))
    xavier = replace(jacob, needs=replace(jacob.needs, init="xavier"))
    evaluated = replace(jacob, needs=replace(jacob.needs, train=False))
    # name -> (score, mini-batches, operations that do nothing removed)
    readings: dict[str, tuple[Proxy, list[Any], bool]] = {
        "ntk, as here": (ntk, usual, True),
        "ntk, 16 images": (ntk, small, True),
        "ntk, 16 images, dead operations kept": (ntk, small, False),
        "ntk, 16 images, Kaiming weights": (
            replace(ntk, needs=replace(ntk.needs, init="kaiming")),
            small,
            True,
        ),
        "ntk, 3 channels, one cell a stage": (ntk, usual, True),
        "ntk, 3 channels, one cell a stage, Kaiming weights": (
            replace(ntk, needs=replace(ntk.needs, init="kaiming")),
            usual,
            True,
        ),
        "grad_norm, as here": (norm, usual, True),
        "grad_norm, normal weights, all parameters, one norm, noise images": (own, noise, False),
        "zen, as here": (zen, usual, True),
        "zen, dead operations kept": (zen, usual, False),
        "zen, running variances, dead operations kept": (running, usual, False),
        "jacob_cov, as here": (jacob, usual, True),
        "jacob_cov, 128 images": (jacob, large, True),
        "jacob_cov, 16 images": (jacob, small, True),
        "jacob_cov, noise images": (jacob, noise, True),
        "jacob_cov, Kaiming weights": (kaiming, usual, True),
        "jacob_cov, Xavier weights": (xavier, usual, True),
        "jacob_cov, running statistics of BatchNorm as they begin": (evaluated, usual, True),
        "jacob_cov, dead operations kept": (jacob, usual, False),
        "naswot, as here": (naswot, usual, True),
        "naswot, dead operations kept": (naswot, usual, False),
        "naswot, 128 images": (naswot, large, True),
        "naswot, 128 images, dead operations kept": (naswot, large, False),
        "naswot, 16 images": (naswot, small, True),
        "naswot, noise images": (naswot, noise, True),
        "naswot, Kaiming weights": (
            replace(naswot, needs=replace(naswot.needs, init="kaiming")),
            usual,
            True,
        ),
        "naswot, running statistics of BatchNorm as they begin": (
            replace(naswot, needs=replace(naswot.needs, train=False)),
            usual,
            True,
        ),
        "synflow, as here": (synflow, usual, True),
        "synflow, dead operations kept": (synflow, usual, False),
        "synflow, BatchNorm kept in the reductions": (
            Proxy("synflow_kept", _synflow_kept, Needs(own=True)),
            usual,
            True,
        ),
        "synflow, BatchNorm kept everywhere": (
            Proxy("synflow_all", _synflow_all, Needs(own=True)),
            usual,
            True,
        ),
    }
    readings = {
        name: reading for name, reading in readings.items() if name.partition(",")[0] in asked.only
    }
    with torch.device("meta"):
        wide, narrow = nasbench201(10, 3, 32), nasbench201(10, 3, 32, width=3, cells=1)
    columns, rows = {}, {}
    for name, (proxy, pair, canonical) in readings.items():
        model = narrow if "3 channels" in name else wide
        scores = Scores(
            model, pair, [proxy], seed=asked.seed, canonical=edges_canonical if canonical else None
        )
        started = time.monotonic()
        sign = -1.0 if proxy.lower else 1.0
        columns[name] = np.array([sign * float(scores(arch)[proxy.name]) for arch in archs])  # type: ignore[index]
        first = next(
            other for other in columns if other.partition(",")[0] == name.partition(",")[0]
        )
        rows[name] = _row(columns[name], truth) | {
            "than_first": paired([columns[name]], [columns[first]], truth)
        }
        rows[name]["seconds"] = round(time.monotonic() - started, 1)
        print(
            f"{name:<70}{rows[name]['kendall']:>8.3f}{rows[name]['live']:>8.3f}",
            file=sys.stderr,
            flush=True,
        )
    print(
        json.dumps(
            {"networks": len(archs), "rows": rows, "seconds": round(time.monotonic() - began)},
            indent=1,
        )
    )


def counts() -> dict[str, dict[str, list[float]]]:
    """Part of the cells -> what is counted in a cell -> Kendall with the accuracies on the three
    data sets.

    Networks differ in their cell alone, so the parameters and MACs of one rank as those of the
    other. `pooling a little`: average pooling breaks ties, as where a counter sees its few
    operations.
    """
    from nasbench201_proxies import TRUTHS

    from archsmith.bench.proxies import truth_of
    from archsmith.predictors.ranking import kendall
    from archsmith.recorded import load
    from archsmith.space import Architecture
    from archsmith.spaces.catalog.edges import EDGE_NAMES, edges_canonical, live_edges

    space = load(TRUTHS[0]).space
    archs = [
        Architecture(dict(zip(space, options, strict=True)))
        for options in itertools.product(*space.values())
    ]
    truths = [truth_of(load(name), archs) for name in TRUTHS]
    weights = {"nor_conv_1x1": 1.0, "nor_conv_3x3": 9.0}
    parameters = np.array([sum(weights.get(arch[e], 0.0) for e in EDGE_NAMES) for arch in archs])
    pooling = np.array([sum(arch[e] == "avg_pool_3x3" for e in EDGE_NAMES) for arch in archs])
    alive = np.array([arch == edges_canonical(arch) for arch in archs])
    counted = {
        "parameters or MACs": parameters,
        "MACs, pooling a little": parameters + 1e-3 * pooling,
        "parameters or MACs, not dead": np.array(
            [sum(weights.get(arch[e], 0.0) for e in live_edges(arch)) for arch in archs]
        ),
        "convolutions": np.array([sum(arch[e] in weights for e in EDGE_NAMES) for arch in archs]),
        "convolutions, not dead": np.array(
            [sum(arch[e] in weights for e in live_edges(arch)) for arch in archs]
        ),
    }
    return {
        f"{part}: {mask.sum()}": {
            what: [round(kendall(column[mask], truth[mask]), 3) for truth in truths]
            for what, column in counted.items()
        }
        for part, mask in (
            ("all cells", np.ones(len(archs), bool)),
            ("cells with nothing dead", alive),
        )
    }


def _row(column: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Kendall over all, those that cannot be scored last; "live": over those that can be."""
    from archsmith.bench.judge import ranked_last
    from archsmith.predictors.ranking import kendall

    live = np.isfinite(column)
    return {
        "kendall": kendall(ranked_last(column), truth),
        "live": kendall(column[live], truth[live]),
        "scored": int(live.sum()),
    }


def _synflow_kept(reading: Any, everywhere: bool = False) -> float:
    """Synflow whose BatchNorm stays in the two reduction blocks, as zero-cost-nas has it; batch
    statistics of one image."""
    twin = copy.deepcopy(reading.network).double().train()
    for path, module in list(twin.named_modules()):
        if isinstance(module, nn.BatchNorm2d) and not everywhere and "reduction" not in path:
            parent, _, name = path.rpartition(".")
            setattr(twin.get_submodule(parent), name, nn.Identity())
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.abs_()
    layers = [m.weight for m in twin.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    logits = twin(torch.ones_like(reading.batches[0][0][:1], dtype=torch.float64))
    found = torch.autograd.grad(logits.sum(), layers, allow_unused=True)
    total = math.fsum(
        float((w.detach() * g).abs().sum())
        for w, g in zip(layers, found, strict=True)
        if g is not None
    )
    return math.log(total) if total > 0 else -math.inf


def _synflow_all(reading: Any) -> float:
    return _synflow_kept(reading, everywhere=True)


def _grad_norm_of_all(reading: Any) -> float:
    """Square root of the sum over all parameters of squared gradients, as the code of Zen-NAS has
    it."""
    x, y = reading.batches[0]
    network = reading.network
    wanted = [p for p in network.parameters() if p.requires_grad]
    found = torch.autograd.grad(F.cross_entropy(network(x), y), wanted, allow_unused=True)
    return math.sqrt(sum(float(g.double().square().sum()) for g in found if g is not None))


def _zen_running(reading: Any) -> float:
    """Zen-score whose BatchNorm term is the running variance after both passes, from 1 on with
    momentum 0.1, as released."""
    network, count = reading.network, len(reading.batches[0][0])
    pool = [m for m in network.modules() if isinstance(m, nn.AdaptiveAvgPool2d)][-1]
    kept: list[Any] = []
    handle = pool.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].detach()))
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    x = reading.noise(count)
    with torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
        network(x)
        network(x + 1e-2 * reading.noise(count))
    handle.remove()
    difference = float((kept[0] - kept[1]).double().abs().flatten(1).sum(1).mean())
    if difference <= 0:
        return -math.inf
    return math.log(difference) + sum(
        0.5 * math.log(float(norm.running_var.mean())) for norm in norms
    )


if __name__ == "__main__":
    main()
