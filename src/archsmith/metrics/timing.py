"""Milliseconds of one call with ONNX Runtime: of a file, and of a plain network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from archsmith._internal.hardware import machine_name
from archsmith.graph.writer import Deployment, write

_WARM_UP_S = 0.05
_QUANTILE = 0.2  # of the calls: what a quiet machine takes, even when others use it too


def open_session(model: str | Path | bytes, threads: int) -> Any:
    """An ONNX Runtime session on the CPU with `threads` threads for one operator and no parallel
    operators."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        options,
        providers=["CPUExecutionProvider"],
    )


def random_input(session: Any, shape: tuple[int, ...], batch: int) -> dict[str, np.ndarray]:
    """Random pixels for the session's one input: bytes or standard normal numbers, as it asks."""
    wanted = session.get_inputs()[0]
    rng = np.random.default_rng(0)
    if wanted.type == "tensor(uint8)":
        return {wanted.name: rng.integers(0, 256, (batch, *shape), np.uint8)}
    return {wanted.name: rng.standard_normal((batch, *shape), np.float32)}


def time_onnx(
    model: str | Path | bytes,
    shape: tuple[int, ...],
    *,
    threads: int = 1,
    batch: int = 1,
    runs: int = 200,
    limit_s: float = 3.0,
) -> dict[str, Any]:
    """Wall-clock time of one call, ms: median, 10th and 90th percentile of `runs` calls, fewer (but
    10) where `limit_s` ends.

    shape: of one input, (C, H, W). Recorded with it: what else such a number depends on.
    """
    import onnxruntime

    session = open_session(model, threads)
    feed = random_input(session, tuple(shape), batch)
    began = time.perf_counter()
    for _ in range(3):
        session.run(None, feed)
    while time.perf_counter() - began < _WARM_UP_S:
        session.run(None, feed)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < runs and (len(times) < 10 or time.perf_counter() - began < limit_s):
        start = time.perf_counter()
        session.run(None, feed)
        times.append(1e3 * (time.perf_counter() - start))
    p10, median, p90 = (float(v) for v in np.percentile(times, (10, 50, 90)))
    return {
        "median_ms": median,
        "p10_ms": p10,
        "p90_ms": p90,
        "runs": len(times),
        "threads": threads,
        "batch": batch,
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "provider": session.get_providers()[0],
        "machine": machine_name(),
    }


def whole_ms(network: nn.Module, shape: tuple[int, ...], *, threads: int = 1) -> float:
    """Milliseconds of one image through a plain network (weights are made up: it may be on `meta`),
    as it would be shipped.

    The least of two sessions' low quantiles: what a quiet machine takes. Raises Unwritten where the
    network cannot be written as ONNX without torch's exporter.
    """
    data = write(
        network, shape, batch=1, deployment=Deployment((0.5,) * shape[0], (0.25,) * shape[0])
    )
    sessions = (open_session(data, threads) for _ in range(2))
    return min(quick(session, random_input(session, shape, 1)) for session in sessions)


def quick(session: Any, feed: dict[str, np.ndarray]) -> float:
    """Milliseconds of one call: a low quantile of 6 to 20 calls, about 6 ms of them, after two to
    warm up."""
    times: list[float] = []
    runs = 20
    while len(times) < runs + 2:
        start = time.perf_counter()
        session.run(None, feed)
        times.append(1e3 * (time.perf_counter() - start))
        if len(times) == 2:
            runs = int(min(20, max(6, 6 / times[1])))
    return sorted(times[2:])[int(_QUANTILE * runs)]
