"""How well ZiCo's lower bound, the sum over layers of ln(weights), ranks like ZiCo: over a space,
and at equal depth."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from random import Random


def main() -> None:
    """Random feasible networks, and the front of bounds, scored with two mini-batches of
    CIFAR-10."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=300)
    parser.add_argument("--budget", default="params<=200k, macs<=12M")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    asked = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    began = time.monotonic()
    rows = [one(asked, seed) for seed in asked.seeds]
    print(json.dumps({"rows": rows, "seconds": round(time.monotonic() - began, 1)}, indent=1))


def one(asked: argparse.Namespace, seed: int) -> dict[str, float]:
    """With one draw of networks, weights and images."""
    import numpy as np

    from archsmith.data import batches, load
    from archsmith.elastic.supernet import search_space
    from archsmith.feasibility.sampler import feasible_sample
    from archsmith.metrics.cost import LAYERS, Costs
    from archsmith.metrics.limits import constraints_of
    from archsmith.metrics.proxies.zico import ZiCo
    from archsmith.predictors.ranking import spearman
    from archsmith.problem.budget import parse
    from archsmith.spaces import build

    images = load(asked.data / "images/cifar10_lossless_test.parquet", seed=seed)
    stream = batches(
        images.parts["train"], 64, data=images, seed=seed, augment=None, device="cpu", workers=0
    )
    model = build("mobilenet", 10, 3, 32, device="meta")
    costs, layers = Costs(model, (3, 32, 32), ("params", "macs")), Costs(model, (3, 32, 32), LAYERS)
    score = ZiCo(model, [next(stream), next(stream)], seed=seed)
    archs = feasible_sample(
        search_space(model),
        constraints_of(parse(asked.budget), costs, None),
        Random(seed),
        asked.networks,
    )
    counted = [layers(arch) for arch in archs]
    depth, bound = (
        np.array([row[name] for row in counted], dtype=float) for name in ("depth", "log_sizes")
    )
    zico = np.array([score(arch) for arch in archs])
    line = np.vstack([np.ones(len(depth)), depth]).T
    rest = [
        values - line @ np.linalg.lstsq(line, values, rcond=None)[0] for values in (bound, zico)
    ]
    return {
        "seed": seed,
        "networks": len(archs),
        "spearman": spearman(bound, zico),
        "spearman_depth_removed": spearman(*rest),
        "spearman_of_depth_alone": spearman(depth, zico),
        "below_the_bound": int((zico < bound).sum()),
    }


if __name__ == "__main__":
    main()
