"""ZiCo's own search: evolution in the Zen-NAS space under a limit of MACs and layers, from images;
resumable."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LAYERS = {450e6: 14, 600e6: 14, 1000e6: 16}  # what ZiCo's released scripts cap the layers at
SIZE = 224  # MACs are counted at


# ZiCo's own setting, with its images of ImageNet
EXACT = (*"--iterations 100000 --batch 128 --pixels 224".split(),)


def main() -> None:
    """Prints what was found; run it again with the same --out to go on."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    print(json.dumps(found(arguments()), indent=1))


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Of the command line, or `words`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data",
        default=None,
        help="images: folder, file or name [default: CIFAR-10 in ARCHSMITH_DATA]",
    )
    parser.add_argument("--macs", type=float, default=450e6)
    parser.add_argument("--layers", type=int, default=None, help="default: ZiCo's, by the MACs")
    parser.add_argument(
        "--iterations", type=int, default=2000, help="rejected candidates count; ZiCo: 100,000"
    )
    parser.add_argument("--population", type=int, default=512)
    parser.add_argument(
        "--batch", type=int, default=16, help="images in each of two mini-batches; ZiCo: 128"
    )
    parser.add_argument(
        "--pixels", type=int, default=96, help="size of the images that are scored; ZiCo: 224"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/zen-search"))
    return parser.parse_args(words)


def found(asked: argparse.Namespace) -> dict[str, Any]:
    """The search, or what is left of it."""
    import torch

    from archsmith.data import batches, load
    from archsmith.elastic.supernet import search_space
    from archsmith.metrics.proxies.zico import ZiCo
    from archsmith.problem import Problem, at_most, maximize
    from archsmith.searchers.loop import run_searcher
    from archsmith.searchers.sqlite import SqliteArchive
    from archsmith.searchers.steady_state import steady_state
    from archsmith.spaces.catalog.zen import SEED, counts, propose, text
    from archsmith.spaces.zen import zen_scored

    data = asked.data or str(
        Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
        / "images/cifar10_lossless_test.parquet"
    )
    images = load(data, size=asked.pixels, seed=asked.seed)
    stream = batches(
        images.parts["train"],
        asked.batch,
        data=images,
        seed=asked.seed,
        augment=None,
        device=asked.device,
        workers=0,
    )
    pair = [next(stream), next(stream)]
    with torch.device("meta"):
        model = zen_scored(len(images.classes), 3, asked.pixels)
    layers = asked.layers or LAYERS.get(asked.macs, 14)

    def cost(arch: Any) -> dict[str, int]:
        return counts(arch, (3, SIZE, SIZE))

    score = ZiCo(model, pair, seed=asked.seed)
    limits = (at_most(cost, asked.macs, name="macs"), at_most(cost, layers, name="layers"))
    problem = Problem(search_space(model), (maximize(score, name="zico"),), limits)
    asked.out.mkdir(parents=True, exist_ok=True)
    archive = SqliteArchive(asked.out / "trials.sqlite")
    before, began = len(archive), time.monotonic()
    done = before

    def tell(trial: Any) -> None:
        nonlocal done
        done += 1
        if done % 50 == 0:
            print(
                f"{done} of {asked.iterations}, best {-archive.best.losses[0]:.1f}",
                file=sys.stderr,
                flush=True,
            )

    evolving = steady_state(
        problem, asked.seed, start=SEED, propose=propose, population=asked.population
    )
    run_searcher(problem, evolving, trials=asked.iterations, archive=archive, on_trial=tell)
    best, trials = archive.best, list(archive)
    assert best is not None
    first = problem.evaluate([type(best.candidate)(SEED)])[0]
    return {
        "iterations": len(trials),
        "resumed_at": before,
        "scored": sum(bool(t.losses) for t in trials),
        "best": -best.losses[0],
        "start": first.metrics.get("zico"),
        "network": text(best.arch),
        **cost(best.arch),
        "with_squeeze_excite": counts(best.arch, (3, SIZE, SIZE), se=True),
        "seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    main()
