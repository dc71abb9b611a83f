"""A made-up run folder, written through the real store, as far as a test wants it to have got."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from made_runs import payloads, trial

from archsmith.problem import Candidate, Trial
from archsmith.run.request import Request
from archsmith.run.store import STAGES, Run

SECONDS = {
    "look": 1.4,
    "profile": 3.9,
    "screen": 12.2,
    "train": 0.0,
    "search": 27.6,
    "finish": 118.4,
    "ship": 9.7,
}


def make_run(
    folder: Path,
    stages: int = len(STAGES),
    kind: str = "digits",
    *,
    status: str = "",
    trials: int = 300,
    **request: Any,
) -> Run:
    """A run whose first `stages` stages are done."""
    rng = Random(7)
    asked = {
        "data": kind,
        "budget": "params<=20k, macs<=1M",
        "time_s": 180.0,
        "threads": 2,
        **request,
    }
    run = Run.create(folder, Request(**asked))
    run.update(
        created="2025-11-24T21:40:00+00:00",
        status=status or ("done" if stages == len(STAGES) else "running"),
    )
    done = STAGES[:stages]
    finalists = [trial(rng, "search") for _ in range(6)]
    keys = [t.arch.key for t in finalists]
    written = payloads(kind, keys, rng)
    with run.archive as archive:
        if "screen" in done:
            archive.extend(trial(rng, "screen") for _ in range(trials))
        if "search" in done:
            archive.extend(
                [
                    *finalists,
                    *(
                        trial(rng, stage)
                        for stage in ("search", "search-random")
                        for _ in range(trials)
                    ),
                ]
            )
        if "finish" in done:
            for t in finalists:
                net = written["finish"]["networks"][t.arch.key]
                metrics = {**t.metrics, "params": net["params"], "macs": net["macs"]}
                if net["val_measure"] is not None:
                    metrics["val_measure"] = net["val_measure"]
                candidate = Candidate(t.arch, net["progress"], net["origin"])
                archive.extend(
                    [Trial(candidate, metrics, (), 0.0, {}, "finish", True, net["failed"])]
                )
    for name in done:
        run.clock(name, SECONDS[name])
        run.finish_stage(name, json.loads(json.dumps(written[name])))
    return run


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """`make_run` in a fresh folder, with everything but the folder to choose."""
    return lambda *args, **kwargs: make_run(tmp_path / "run", *args, **kwargs)
