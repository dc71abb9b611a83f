"""Latency with ONNX Runtime: of a file, and of any architecture by a table of block times."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from torch import nn

from archsmith._internal.files import append_line
from archsmith._internal.fitting import fitted
from archsmith._internal.hardware import machine_name
from archsmith.elastic.resize import inputs_of, without_resize
from archsmith.elastic.supernet import extract, read
from archsmith.elastic.views import decisions, once
from archsmith.errors import UserError
from archsmith.graph.export import onnx_bytes
from archsmith.graph.trace import Untraceable
from archsmith.graph.writer import Deployment, Unwritten, write
from archsmith.metrics.chain import (
    Block,
    blocks_in,
    chain_of,
    computes,
    every_block,
    holds_blocks,
    kind_of,
)
from archsmith.metrics.timing import open_session, quick, random_input
from archsmith.predictors.ranking import spearman
from archsmith.problem import Term
from archsmith.space import Architecture

Shape = tuple[int, ...]
_FEW = 1500  # blocks, timed in a minute
_COUNTED = (
    "depth",
    "outputs",
    "macs",
    "params",
)  # what a network is reckoned from where there is no time to measure its blocks
_TRIED = 6  # whole networks, at least, before their error says anything
_AGREE = 1.03  # two times within 3 % of each other are believed


# -- a table of blocks ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fit:
    """latency = scale x sum of entries + block x number of blocks + value x numbers passed between
    blocks + constant, ms."""

    scale: float = 1.0
    block: float = 0.0  # what one call costs by itself, which a network pays once (so: below zero)
    # reading and writing a block's input and output in the plain layout, likewise
    value: float = 0.0
    constant: float = 0.0  # bytes to numbers, normalisation, softmax


class LatencyTable:
    """Metric: architecture -> predicted ms of one call with ONNX Runtime, from the times of its
    blocks, each measured once.

    Blocks are the members of the model's sequence (nested nn.Sequential and Repeat); any other
    model is one block, that is, every architecture is timed whole. Measured when first met, with
    made-up weights; equal blocks for inputs of equal shape share an entry. Networks that begin with
    a `Resize` are timed as they are shipped, without it, for images of its side. `calibrate` fits
    on whole networks, as they are shipped (bytes in, probabilities out), how blocks add up, and
    measures the error on others. Where time is short (`allow`), a network with blocks that were not
    met is reckoned at once from what its layers do (`counts`), by the networks that were timed
    whole. With `path` everything measured is appended to that file (a JSON object a line) and read
    back, if machine, runtime, threads and batch are the same.
    """

    name = "latency"

    def __init__(
        self,
        model: nn.Module,
        shape: Shape,
        *,
        threads: int = 1,
        batch: int = 1,
        path: str | Path | None = None,
        counts: Callable[[Architecture], Mapping[str, float]] | None = None,
    ) -> None:
        import onnxruntime

        if threads < 1 or batch < 1:
            raise UserError(f"latency: threads={threads} and batch={batch} must be at least 1")
        self.model, self.shape, self.threads, self.batch = model, tuple(shape), threads, batch
        self._reading = read(model)
        self._inputs = inputs_of(self._reading, self.shape)
        self._chain, self._views = (
            chain_of(model, self._reading, apart=holds_blocks),
            decisions(self._reading),
        )
        # by a block's path
        self._tables: dict[str, dict[tuple, tuple[str, Shape]]] = defaultdict(dict)
        self._entries: dict[str, tuple[float, Shape]] = {}  # what the block is -> ms, output shape
        self._counts, self._rough = counts, dict[str, float]()
        self._allowed, self._measuring = math.inf, 0.0
        self._now: Callable[[], float] = time.monotonic
        # bytes in, probabilities out
        self._shipped = Deployment((0.5,) * self.shape[0], (0.25,) * self.shape[0])
        self._fit = _Fit()
        self._errors: dict[str, Any] = {}
        runtime = f"onnxruntime {onnxruntime.__version__}"
        self._header = {
            "machine": machine_name(),
            "runtime": runtime,
            "threads": threads,
            "batch": batch,
        }
        # what a fit holds for
        self._whole = {"space": self._reading.space.fingerprint, "shape": list(self.shape)}
        self._path = None if path is None else Path(path)
        self._load()

    def __call__(self, arch: Architecture) -> float:
        """Milliseconds for `batch` inputs."""
        if (
            self._rough
            and self._counts is not None
            and self._measuring >= self._allowed
            and self._met(arch) is None
        ):
            return self._roughly(self._counts(arch))
        total, blocks, values = self._sums(arch)
        predicted = (
            self._fit.scale * total
            + self._fit.block * blocks
            + self._fit.value * values
            + self._fit.constant
        )
        return max(predicted, total / 10)  # a fit must not make a network free

    @property
    def terms(self) -> list[Term] | None:
        """What adds up to it, a term for each block; None where so many blocks differ that timing
        them all takes long."""
        if not math.isinf(self._allowed):
            return None  # there is no time for all that would have to be measured
        space, sides = self._reading.space, self._inputs.names
        blocks = [(block, names.union(sides)) for block, names in every_block(self._chain)]
        if sum(math.prod(len(space[name]) for name in names) for _, names in blocks) > _FEW:
            return None
        terms = [Term((), lambda arch: {self.name: self._fit.constant})]
        for block, names in blocks:
            asked = dict.fromkeys((*(name for name in space if name in names), *self._views))
            terms.append(Term(tuple(asked), partial(self._term, block)))
        return terms

    def _term(self, block: Block, arch: Architecture) -> dict[str, float]:
        self._sums(arch)  # times what was not met yet
        times, blocks, met = self._times(arch), list(blocks_in(self._chain, arch)), self._met(arch)
        if block not in blocks or met is None:
            return {self.name: 0.0}
        place = blocks.index(block)
        kind, shape = met[place]
        passed = math.prod(shape) * self.batch if place + 1 < len(blocks) else 0
        entry = self._fit.scale * self._entries[kind][0] + self._fit.value * passed
        return {self.name: times * entry + self._fit.block}

    def errors(self) -> dict[str, Any]:
        """What `calibrate` found on held-out networks: mape and max_error (shares of the measured
        time), spearman, counts."""
        return {"entries": len(self._entries), **self._header, **self._errors}

    def allow(self, seconds: float) -> None:
        """From now on measuring may take so many seconds in all; networks with new blocks are
        reckoned after that."""
        self._allowed, self._measuring = seconds, 0.0

    @property
    def fit(self) -> dict[str, float]:
        """How entries add up to a network's time: scale, ms for each block, ms a block, ms a number
        passed on, constant."""
        return asdict(self._fit)

    def calibrate(self, rng: Random, fit: int = 24, held_out: int = 20) -> dict[str, Any]:
        """Times random whole networks, fits on the first `fit`, returns the `errors` on the
        `held_out` others; only once."""
        if self._errors:
            return self.errors()
        archs = _distinct(self._reading.space.sample, rng, fit + held_out)
        if math.isinf(self._allowed):
            sums = np.array([(*self._sums(arch), 1) for arch in archs])
            measured = np.array(self._time_whole(archs))
        else:
            sums, measured = self._in_turn(archs)
            archs = archs[: len(measured)]
        # a small space or little time; with very few networks nothing is fitted at all
        if len(archs) < fit + held_out:
            fit = len(archs) // 2 if len(archs) >= 8 else 0
        if fit:
            relative = sums[:fit] / measured[:fit, None]
            self._fit = _Fit(*map(float, np.linalg.lstsq(relative, np.ones(fit), rcond=1e-8)[0]))
        predicted, right = np.array([self(arch) for arch in archs[fit:]]), measured[fit:]
        rough: dict[str, float] = {}
        if self._counts is not None and fit:
            self._rough = fitted(
                [self._counts(arch) for arch in archs[:fit]], measured[:fit].tolist(), _COUNTED
            )
            reckoned = np.array([self._roughly(self._counts(arch)) for arch in archs[fit:]])
            rough = {"rough_mape": float((np.abs(reckoned - right) / right).mean())}
        misses = np.abs(predicted - right) / right
        self._errors = {
            "held_out": len(right),
            "fitted_on": fit,
            "mape": float(misses.mean()),
            "max_error": float(misses.max()),
            "spearman": _rank_correlation(predicted, right),
            **rough,
            "measured_ms": {
                "min": float(right.min()),
                "median": float(np.median(right)),
                "max": float(right.max()),
            },
        }
        self._append(
            {
                "fit": asdict(self._fit),
                "rough": self._rough,
                "errors": self._errors,
                "of": self._whole,
            }
        )
        return self.errors()

    def _in_turn(self, archs: Sequence[Architecture]) -> tuple[np.ndarray, np.ndarray]:
        """Sums of blocks and measured times, network by network, as far as the time that measuring
        may take allows."""
        sums: list[tuple[float, int, int, int]] = []
        measured: list[float] = []
        began = self._now()
        for arch in archs:
            # some for blocks that only others have
            if len(measured) >= _TRIED and self._now() - began > 0.8 * self._allowed:
                break
            sums.append((*self._sums(arch), 1))
            before = self._now()
            measured += self._time_whole([arch])
            self._measuring += self._now() - before
        return np.array(sums), np.array(measured)

    def _sums(self, arch: Architecture) -> tuple[float, int, int]:
        """Sum of the entries in ms, number of blocks, numbers that pass between them."""
        met = self._met(arch)
        if met is None:
            self._measure(arch)
            met = self._met(arch)
            assert met is not None
        between = sum(math.prod(shape) for _, shape in met[:-1])
        times = self._times(arch)
        return (
            times * sum(self._entries[kind][0] for kind, _ in met),
            len(met),
            times * between * self.batch,
        )

    def _times(self, arch: Architecture) -> int:
        """How often its blocks are computed for an image."""
        return math.prod(arch[name] for name in self._views)

    def _met(self, arch: Architecture) -> list[tuple[str, Shape]] | None:
        """What each block of the architecture is and its output shape; None where a block was not
        met yet."""
        arch = once(arch, self._views)
        met, shape = [], self._inputs(arch)
        for block in blocks_in(self._chain, arch):
            entry = self._tables[block.path].get((shape, block.key(arch)))
            if entry is None:
                return None
            met.append(entry)
            shape = entry[1]
        return met

    def _measure(self, arch: Architecture) -> None:
        """Times the architecture's blocks that have no entry yet, in rounds over all of them."""
        arch = once(arch, self._views)
        (plain, shape), began = self._as_shipped(arch), self._now()
        new: list[tuple[str, dict[str, Any], bytes]] = []
        for block in blocks_in(self._chain, arch):
            module = plain.get_submodule(block.path)
            kind, known = kind_of(module, shape), dict(new_entry[:2] for new_entry in new)
            if kind in self._entries:
                output = self._entries[kind][1]
            elif kind in known:
                output = tuple(known[kind]["out"])
            elif computes(module):
                data = self._file(module, shape, arch, path=block.path)
                output = tuple(open_session(data, 1).get_outputs()[0].shape[1:])
                new.append(
                    (kind, {"met_at": block.path, "in": list(shape), "out": list(output)}, data)
                )
            else:
                self._entries[kind], output = (0.0, shape), shape
            self._tables[block.path][shape, block.key(arch)] = (kind, output)
            shape = output
        times = self._time([(data, tuple(entry["in"])) for _, entry, data in new], rounds=3)
        for (kind, entry, _), milliseconds in zip(new, times, strict=True):
            self._append({"block": kind, **entry, "ms": milliseconds})
            self._entries[kind] = (milliseconds, tuple(entry["out"]))
        self._measuring += self._now() - began

    def _as_shipped(self, arch: Architecture, device: str = "meta") -> tuple[nn.Module, Shape]:
        """A network with made-up weights, and the shape of its images."""
        plain = extract(self.model, arch, "fresh", device=device).eval()
        return without_resize(plain, self.shape)

    def _roughly(self, counts: Mapping[str, float]) -> float:
        """Milliseconds by what the layers of a network do."""
        return max(sum(weight * counts[name] for name, weight in self._rough.items()), 1e-6)

    def _time(self, files: Sequence[tuple[bytes, Shape]], rounds: int) -> list[float]:
        """Each file's time: the least of some rounds over all of them, each with a new session.

        So neither a busy moment nor an unlucky layout of memory decides. The third round on is for
        those that disagree.
        """
        times: list[list[float]] = [[] for _ in files]
        for number in range(rounds):
            for (data, shape), samples in zip(files, times, strict=True):
                if number < 2 or max(samples) > _AGREE * min(samples):
                    session = open_session(data, self.threads)
                    samples.append(quick(session, random_input(session, shape, self.batch)))
        return [min(samples) for samples in times]

    def _file(
        self,
        block: nn.Module,
        shape: Shape,
        arch: Architecture,
        *,
        path: str = "",
        deployment: Deployment | None = None,
    ) -> bytes:
        try:
            return write(block, shape, batch=self.batch, deployment=deployment)
        except (Unwritten, Untraceable):  # torch's exporter needs real weights
            real, _ = self._as_shipped(arch, "cpu")
            return onnx_bytes(real.get_submodule(path), shape, deployment)

    def _time_whole(self, archs: Sequence[Architecture]) -> list[float]:
        times: list[float] = []
        for start in range(0, len(archs), 8):  # a few at a time, for the memory
            few = archs[start : start + 8]
            plain = [(*self._as_shipped(arch), arch) for arch in few]
            files = [
                (self._file(network, shape, arch, deployment=self._shipped), shape)
                for network, shape, arch in plain
            ]
            times += self._time(files, rounds=5)
        return times

    # -- the file

    def _load(self) -> None:
        if self._path is None:
            return
        ours, torn = False, False
        try:
            text = (
                self._path.read_text(encoding="utf-8", errors="replace")
                if self._path.exists()
                else ""
            )
        except OSError as error:
            raise UserError(
                f"cannot read the latency table {self._path}: {error.strerror}"
            ) from error
        for line in text.splitlines():
            try:
                record = _checked(json.loads(line))
                if "machine" in record:
                    ours = record == self._header
                elif ours and "block" in record:
                    self._entries[record["block"]] = (float(record["ms"]), tuple(record["out"]))
                elif ours and "fit" in record and record["of"] == self._whole:
                    self._fit, self._errors = _Fit(**record["fit"]), record["errors"]
                    self._rough = (
                        {name: float(record["rough"][name]) for name in _COUNTED}
                        if record["rough"]
                        else {}
                    )
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                torn = True  # written when the process died, or changed: measured again
        if not ours or torn or not text.endswith("\n"):
            self._append(self._header)

    def _append(self, record: dict[str, Any]) -> None:
        if self._path is None:
            return
        append_line(self._path, json.dumps({**record, "sum": _sum(record)}))


def _sum(record: Mapping[str, Any]) -> str:
    """What tells whether a line is as it was written."""
    return hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=8).hexdigest()


def _checked(line: dict[str, Any]) -> dict[str, Any]:
    """The record of a line; ValueError where it was changed."""
    if line.pop("sum") != _sum(line):
        raise ValueError("changed")
    return line


def _distinct(
    draw: Callable[[Random], Architecture], rng: Random, count: int
) -> list[Architecture]:
    archs: dict[Architecture, None] = {}
    for _ in range(20 * count):
        archs.setdefault(draw(rng))
        if len(archs) == count:
            break
    return list(archs)


def _rank_correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Spearman's; 1 of one network, 0 where all are predicted alike."""
    if len(left) < 2:
        return 1.0
    correlation = spearman(left, right)
    return correlation if math.isfinite(correlation) else 0.0
