"""Chooses a training-free ensemble on benchmarks other than NAS-Bench-201: members on screen, and one JSON object."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from nasbench201_proxies import DATA, FAST  # beside this file

BENCHMARKS = ("transnas:class_object",)  # nasbench1shot1:1 and :2 have networks of 1 to 2 billion MACs: hours on two cores
TASKS = ("class_object", "class_scene", "jigsaw")  # of TransNAS, those that classify, as the images here are classified


def main() -> None:
    """Goes on where it was stopped."""
    from archsmith.bench import page
    from archsmith.bench.proxies import Setting, beside, columns_of, compare, sampled, text, truth_of
    from archsmith.benchmarks import load
    from archsmith.metrics.proxies.ensembles import ENSEMBLES, Judged, selected

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", default=str(DATA / "images/cifar10_lossless_train_0.parquet"))
    parser.add_argument("--benchmarks", nargs="*", default=BENCHMARKS)
    parser.add_argument("--proxies", default=",".join(FAST))
    parser.add_argument("--out", type=Path, default=Path("runs/choose-ensemble"))
    asked = parser.parse_args()
    began = time.monotonic()

    def tell(what: str, share: float) -> None:
        print(f"{what} ({share:.0%})", file=sys.stderr, flush=True)

    judged: list[Judged] = []
    candidates: set[str] | None = None
    for name in asked.benchmarks:
        setting = Setting(
            name, tuple(asked.proxies.split(",")), asked.sample, asked.images, asked.batch, tuple(range(asked.seeds))
        )
        out = asked.out / name.replace(":", "-")
        found = compare(setting, out, tell=tell)
        page.write_proxies(found, out / "page.html")
        print(text(found))
        recorded = load(name)
        archs = sampled(recorded, setting)
        columns = columns_of(out, [arch.key for arch in archs], setting.seeds)
        mean = {score: np.mean(values, axis=0) for score, values in columns.items()}
        others = beside(name, recorded, None)
        asked_for = {other: one for other, one in others.items() if "transnas" not in other or other.partition(":")[2] in TASKS}
        truths = [truth_of(one, archs) for one in asked_for.values()]
        judged.append(Judged(mean, truths))
        usable = {score for score, values in mean.items() if np.isfinite(values).mean() > 0.5}
        candidates = usable if candidates is None else candidates & usable
    ensemble, qualities = selected("default", judged, sorted(candidates or ()))
    alone = {name: float(np.mean([one.quality(other) for one in judged])) for name, other in ENSEMBLES.items()}
    print("\nchosen:", ", ".join(f"{name} x {weight:g}" for name, weight in ensemble.members))
    for step, quality in enumerate(qualities, start=1):
        print(f"  {step} members: mean Kendall {quality:.3f}")
    print(json.dumps({"members": ensemble.members, "qualities": qualities, "others": alone,
                      "seconds": round(time.monotonic() - began)}))  # fmt: skip


if __name__ == "__main__":
    main()
