"""One DDPNAS search on a mobile chain space, then networks for six budgets, each trained briefly
beside random ones.

CIFAR-10, the ProxylessNAS-like space. The search trains its supernet for `--minutes`; then the
budgets are answered, timed, and counted exactly. Each generated network and `--random` random ones
with 90 to 100 % of its budget in MACs are trained from new weights for the same number of steps and
judged on validation images.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import time
from concurrent.futures import Future
from pathlib import Path
from random import Random
from typing import Any

from archsmith._internal.progress import Silent
from archsmith.bench.pool import processes, results
from archsmith.elastic.supernet import extract, search_space
from archsmith.feasibility.sampler import feasible_sample
from archsmith.metrics.cost import Costs
from archsmith.problem import between
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.space import Architecture
from archsmith.spaces import build
from archsmith.stages.answers import generated
from archsmith.stages.pipeline import carry_on

_held: list[Any] = []  # of a worker process: the images and what to train with


class UntilTrained(Silent):
    """Ends the run when the shared weights are trained."""

    def end(self, stage: str, text: str, seconds: float) -> None:
        """As Ctrl-C would."""
        print(f"{stage}: {text}, {seconds:.0f} s", flush=True)
        if stage == "train":
            raise KeyboardInterrupt


def main() -> None:
    """A row for each budget and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="a folder of CIFAR-10 images")
    parser.add_argument("--out", type=Path, default=Path("runs/budgets"))
    parser.add_argument("--space", default="proxyless")
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--settings", default='{"rounds": 3}', help="of ddpnas, as JSON")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--random", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    began = time.monotonic()
    if not (asked.out / "run.json").exists():
        # two fifths of a run's time are for shared weights
        request = request_from(
            data=str(Path(asked.images).absolute()),
            method="ddpnas",
            space=asked.space,
            size=asked.size,
            seed=asked.seed,
            time_s=60 * asked.minutes / 0.4,
            reference=False,
            settings=json.loads(asked.settings),
        )
        with contextlib.suppress(KeyboardInterrupt):
            carry_on(Run.create(asked.out, request), UntilTrained())
    run = Run.open(asked.out)
    model = build(asked.space, 10, 3, asked.size)
    space, costs = (
        search_space(model),
        Costs(model, (3, asked.size, asked.size), ("params", "macs")),
    )
    largest = costs(space.extreme(-1))["macs"]
    limits = [share / 100 * largest for share in (20, 36, 52, 68, 84, 100)]
    start = time.monotonic()
    rows = generated(run, [f"macs<={limit:.0f}" for limit in limits])
    answered = time.monotonic() - start
    rng = Random(asked.seed)
    jobs: list[tuple[int, str, dict[str, Any]]] = []
    for number, (limit, row) in enumerate(zip(limits, rows, strict=True)):
        arch = space.check(row["networks"][0]["options"])
        row["exact"] = costs.exact(arch)
        assert row["exact"]["macs"] <= limit, "over the budget by exact count"
        jobs.append((number, "generated", dict(arch)))
        near = feasible_sample(
            space, [between(costs, 0.9 * limit, limit, name="macs")], rng, asked.random
        )
        jobs += [(number, "random", dict(other)) for other in near]
    found: dict[int, dict[str, list[float]]] = {
        i: {"generated": [], "random": []} for i in range(len(limits))
    }
    with processes(
        asked.workers, begin, (run.folder, asked.space, asked.size, asked.steps, asked.seed)
    ) as pool:
        futures: dict[Future[Any], Any] = {
            pool.submit(trained, options): (number, kind) for number, kind, options in jobs
        }
        for future, accuracy in results(pool, futures):
            number, kind = futures[future]
            found[number][kind].append(accuracy)
    print(f"six budgets answered in {answered:.1f} s")
    for number, (limit, row) in enumerate(zip(limits, rows, strict=True)):
        own, others = found[number]["generated"][0], found[number]["random"]
        row |= {"limit": limit, "accuracy": own, "random": others}
        print(
            f"{limit / largest:4.0%} of the largest ({limit / 1e6:.1f} M): "
            f"{row['exact']['macs'] / 1e6:.2f} M MACs, "
            f"{100 * own:.1f} %; random {100 * statistics.mean(others):.1f} % "
            f"({', '.join(f'{100 * v:.1f}' for v in others)})"
        )
    print(
        json.dumps(
            {
                "largest": largest,
                "answered_s": answered,
                "rows": rows,
                "seconds": round(time.monotonic() - began),
            }
        )
    )


def begin(job: tuple[Any, ...]) -> None:
    """In each worker: the images as the run split them."""
    from archsmith.stages import look
    from archsmith.stages.pipeline import open_work
    from archsmith.training.device import set_threads

    folder, space, size, steps, seed = job
    run = Run.open(folder)
    work = open_work(run)
    set_threads(1)
    looked = run.looked
    assert looked is not None
    look.restore(work, looked)
    _held[:] = [work, build(space, 10, 3, size, device="meta"), steps, seed]


def trained(options: dict[str, Any]) -> float:
    """Accuracy on the validation images of one network, from new weights."""
    import torch

    from archsmith.stages.finish import class_counts, recipe_for
    from archsmith.training.loop import advance, start

    work, model, steps, seed = _held
    arch = Architecture(options)
    network = extract(model, arch, "fresh", torch.Generator().manual_seed(seed), device="cpu")
    recipe = recipe_for(work)
    state = start(network, recipe, seed=seed, class_counts=class_counts(work))
    advance(state, work.stream(recipe.batch_size), total_steps=steps)
    return float(work.evaluated(state.network.eval(), work.part("val"))["accuracy"])


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
