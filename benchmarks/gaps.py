"""Why some scores differ from their published correlations: other readings of the same score, on the same cells."""

from __future__ import annotations

import argparse
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
    """Prints Kendall with the recorded CIFAR-10 accuracy of each reading, and one JSON object."""
    from archsmith.bench.judge import paired
    from archsmith.bench.proxies import Setting, sampled, truth_of
    from archsmith.benchmarks import load
    from archsmith.cells import nasbench201_canonical
    from archsmith.data import batches
    from archsmith.data import load as images_of
    from archsmith.metrics.proxies import named
    from archsmith.metrics.proxies.reading import Needs, Proxy
    from archsmith.metrics.proxies.scores import Scores
    from archsmith.models.cell import nasbench201

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=200, help="the first of the 1,000 cells of nasbench201_proxies.py")
    parser.add_argument("--images", default=str(DATA / "images/cifar10_lossless_train_0.parquet"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=["grad_norm", "zen", "jacob_cov"], help="scores; ntk is slow")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    recorded = load("nasbench201:cifar10")
    archs = sampled(recorded, Setting("nasbench201:cifar10", ("zico",), 1000))[: asked.networks]
    truth = truth_of(recorded, archs)
    images = images_of(asked.images, size=32)

    def drawn(batch: int) -> list[Any]:
        stream = batches(images.parts["train"], batch, data=images, seed=asked.seed, augment=None, device="cpu", workers=0)
        return [next(stream), next(stream)]

    generator = torch.Generator().manual_seed(asked.seed)
    noise = [(torch.randn(64, 3, 32, 32, generator=generator), torch.randint(0, 10, (64,), generator=generator))] * 2
    usual, large, small = drawn(64), drawn(128), drawn(16)
    jacob, norm, zen, ntk = named("jacob_cov"), named("grad_norm"), named("zen"), named("ntk")
    own = Proxy("grad_norm_all", _grad_norm_of_all, Needs(init="gaussian", labels=True))
    running = Proxy("zen_running", _zen_running, Needs(own=True, init="gaussian"), broken="last")
    kaiming = replace(jacob, needs=replace(jacob.needs, init="kaiming"))
    xavier = replace(jacob, needs=replace(jacob.needs, init="xavier"))
    evaluated = replace(jacob, needs=replace(jacob.needs, train=False))
    readings: dict[str, tuple[Proxy, list[Any], bool]] = {  # name -> (score, mini-batches, operations that do nothing removed)
        "ntk, as here": (ntk, usual, True),
        "ntk, 16 images": (ntk, small, True),
        "ntk, 16 images, dead operations kept": (ntk, small, False),
        "ntk, 16 images, Kaiming weights": (replace(ntk, needs=replace(ntk.needs, init="kaiming")), small, True),
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
    }
    readings = {name: reading for name, reading in readings.items() if name.partition(",")[0] in asked.only}
    with torch.device("meta"):
        wide, narrow = nasbench201(10, 3, 32), nasbench201(10, 3, 32, width=3, cells=1)
    columns, rows = {}, {}
    for name, (proxy, pair, canonical) in readings.items():
        model = narrow if "3 channels" in name else wide
        scores = Scores(model, pair, [proxy], seed=asked.seed, canonical=nasbench201_canonical if canonical else None)
        started = time.monotonic()
        sign = -1.0 if proxy.lower else 1.0
        columns[name] = np.array([sign * float(scores(arch)[proxy.name]) for arch in archs])  # type: ignore[index]
        first = next(other for other in columns if other.partition(",")[0] == name.partition(",")[0])
        rows[name] = _row(columns[name], truth) | {"than_first": paired([columns[name]], [columns[first]], truth)}
        rows[name]["seconds"] = round(time.monotonic() - started, 1)
        print(f"{name:<70}{rows[name]['kendall']:>8.3f}{rows[name]['live']:>8.3f}", file=sys.stderr, flush=True)
    print(json.dumps({"networks": len(archs), "rows": rows, "seconds": round(time.monotonic() - began)}, indent=1))


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


def _grad_norm_of_all(reading: Any) -> float:
    """Square root of the sum over all parameters of squared gradients, as the code of Zen-NAS has it."""
    x, y = reading.batches[0]
    network = reading.network
    wanted = [p for p in network.parameters() if p.requires_grad]
    found = torch.autograd.grad(F.cross_entropy(network(x), y), wanted, allow_unused=True)
    return math.sqrt(sum(float(g.double().square().sum()) for g in found if g is not None))


def _zen_running(reading: Any) -> float:
    """Zen-score whose BatchNorm term is the running variance after both passes, from 1 on with momentum 0.1, as released."""
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
    return math.log(difference) + sum(0.5 * math.log(float(norm.running_var.mean())) for norm in norms)


if __name__ == "__main__":
    main()
