"""Training-free scores on random NAS-Bench-201 cells with real CIFAR-10 images, beside what was published."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

DATA = Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
TRUTHS = ("nasbench201:cifar10", "nasbench201:cifar100", "nasbench201:imagenet16")
SLOW = ("ntk", "gradsign")  # a pass for every image
FAST = (
    "zico", "zico_bc", "l2_norm", "grad_norm", "plain", "snip", "grasp", "fisher", "synflow", "effective_params", "jacob_cov",
    "epe_nas", "naswot", "swap", "zen", "meco", "wrcor", "az_nas", "vkdnw", "params", "macs", "depth",
)  # fmt: skip
# Kendall's tau on CIFAR-10, CIFAR-100, ImageNet16-120, all 15,625 cells. ZiCo: table 2 of its paper; the others: table 1 of
# VKDNW (CVPR 2025), the AZ-NAS sums: table 5 of AZ-NAS (CVPR 2024)
PUBLISHED = {
    "zico": (0.61, 0.61, 0.60), "grad_norm": (0.328, 0.341, 0.310), "grasp": (0.352, 0.349, 0.359),
    "snip": (0.431, 0.440, 0.389), "synflow": (0.561, 0.553, 0.531), "jacob_cov": (0.616, 0.639, 0.602),
    "naswot": (0.571, 0.607, 0.605), "zen": (0.102, 0.072, 0.091), "vkdnw": (0.618, 0.634, 0.622),
    "macs": (0.623, 0.586, 0.545), "depth": (0.626, 0.646, 0.623), "fisher": (0.40, 0.41, 0.37),
    "gradsign": (0.58, 0.59, 0.58), "ntk": (0.33, 0.33, 0.46), "params": (0.57, 0.55, 0.52),
    "az-nas": (0.741, 0.723, 0.710), "az-nas+synflow": (0.776, 0.758, 0.747), "az-nas+zico": (0.773, 0.757, 0.747),
    "vkdnw-aggregate": (0.750, 0.753, 0.743),
}  # fmt: skip


def main() -> None:
    """Goes on where it was stopped; prints a table and one line of JSON with the seconds."""
    from archsmith.bench import page
    from archsmith.bench.proxies import Setting, compare, text

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", default=str(DATA / "images/cifar10_lossless_train_0.parquet"))
    parser.add_argument("--proxies", default=",".join(FAST))
    parser.add_argument("--slow", type=int, default=200, help="cells for the scores with a pass for every image; 0: none")
    parser.add_argument("--out", type=Path, default=Path("runs/nasbench201-proxies"))
    asked = parser.parse_args()
    began = time.monotonic()

    def tell(what: str, share: float) -> None:
        print(f"{what} ({share:.0%})", file=sys.stderr, flush=True)

    setting = Setting(
        TRUTHS[0], tuple(asked.proxies.split(",")), asked.sample, asked.images, asked.batch, tuple(range(asked.seeds))
    )
    found = compare(setting, asked.out, tell=tell)
    page.write_proxies(found, asked.out / "page.html")
    print(text(found))
    rows = {truth: dict(found["truths"][truth]["scores"]) for truth in TRUTHS}
    if asked.slow:
        few = compare(replace(setting, proxies=SLOW, sample=asked.slow, seeds=(0,)), asked.out / "slow", tell=tell)
        print(text(few))
        for truth in TRUTHS:
            rows[truth] |= few["truths"][truth]["scores"]
    print("\nKendall here (published)\n" + " " * 20 + "".join(f"{t.partition(':')[2]:>20}" for t in TRUTHS))
    for name, published in PUBLISHED.items():
        if name in rows[TRUTHS[0]]:
            cells = (f"{rows[t][name]['kendall_all']:.3f} ({p:.3f})" for t, p in zip(TRUTHS, published, strict=True))
            print(f"{name:<20}" + "".join(f"{cell:>20}" for cell in cells))
    print(json.dumps({"seconds": round(time.monotonic() - began, 1), "scoring_seconds": found["costs"]["seconds"]}))


if __name__ == "__main__":
    main()
