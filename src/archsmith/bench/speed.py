"""`archsmith bench speed`: how long training-free scores take beside the bare passes of the same
networks, side by side."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from archsmith._internal.hardware import cpu_name, physical_cores, return_memory
from archsmith.errors import UserError
from archsmith.spaces import described

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass(frozen=True)
class Setting:
    """`networks` random architectures of `space`, each timed `rounds` times, with mini-batches of
    `batch` noise images."""

    space: str = "nasbench201"
    proxies: tuple[str, ...] = ("zico",)
    classes: int = 10
    channels: int = 3
    size: int = 32
    batch: int = 64
    networks: int = 20
    rounds: int = 3
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None

    def __post_init__(self) -> None:
        for what in ("batch", "networks", "rounds"):
            if getattr(self, what) < 1:
                raise UserError(f"--{what} {getattr(self, what)}: give at least 1")


def measure(
    setting: Setting, tell: Callable[[str, float], None] = lambda text, share: None
) -> dict[str, Any]:
    """Per score: median ratio to the bare passes, networks per second with making the network, peak
    memory.

    The bare passes of a network: a forward and a backward pass for each mini-batch that the score
    reads (at least one), eager, weights and images in torch's default layout, nothing left out.
    `ratio_forward`: to one forward pass in channels last. Ratios are taken within a round, network
    by network, so that a noisy machine is noisy for both.
    """
    import torch

    from archsmith.elastic.supernet import search_space
    from archsmith.metrics.proxies import named
    from archsmith.spaces import build
    from archsmith.training.device import set_threads

    set_threads(setting.threads)
    device = torch.device(setting.device)
    model = build(setting.space, setting.classes, setting.channels, setting.size, device="meta")
    space, rng = search_space(model), Random(setting.seed)
    stopwatch = _Stopwatch(model, described(setting.space).form, device, _noise(setting, device))
    proxies = [named(name) for name in setting.proxies]
    taken: dict[str, dict[str, list[float]]] = {proxy.name: {} for proxy in proxies}
    for position in range(setting.networks):
        arch = space.sample(rng)
        for round_ in range(setting.rounds + 1):  # the first warms up
            bare, forward = stopwatch.bare(arch), stopwatch.forward(arch)
            for proxy in proxies:
                making, score = stopwatch.score(arch, proxy)
                if round_:
                    passes = sum(bare[: max(1, proxy.needs.batches)])
                    _note(
                        taken[proxy.name],
                        ratio=score / passes,
                        ratio_forward=score / forward,
                        seconds=score + making,
                    )
        tell(
            f"{position + 1} of {setting.networks} networks timed",
            (position + 1) / setting.networks,
        )
    rows = {name: _row(values) for name, values in taken.items()}
    arch = space.sample(rng)
    for proxy in proxies:
        rows[proxy.name]["peak_mib"] = _peak(stopwatch.scoring(arch, proxy), device)
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return {
        **asdict(setting),
        "machine": machine,
        "cores": physical_cores(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "scores": rows,
    }


def _noise(setting: Setting, device: Any) -> list[tuple[Any, Any]]:
    """Two mini-batches of random images and labels."""
    import torch

    generator = torch.Generator().manual_seed(setting.seed)
    shape = (setting.batch, setting.channels, setting.size, setting.size)
    return [
        (
            torch.randn(*shape, generator=generator).to(device),
            torch.randint(0, setting.classes, (setting.batch,), generator=generator).to(device),
        )
        for _ in range(2)
    ]


class _Stopwatch:
    """Times architectures of one model, each time with a network that is made anew."""

    def __init__(
        self,
        model: Any,
        canonical: Callable[[Any], Any],
        device: Any,
        batches: Sequence[tuple[Any, Any]],
    ) -> None:
        import torch

        self._model, self._canonical, self._device = model, canonical, device
        self._plain = batches
        self._last = [(x.contiguous(memory_format=torch.channels_last), y) for x, y in batches]

    def _made(self, arch: Any, init: Any) -> Any:
        """The network in channels last."""
        import torch

        from archsmith.metrics.proxies.initialization import initialized_network

        network: Any = initialized_network(self._model, arch, init, 0)
        return network.to(device=self._device, memory_format=torch.channels_last)

    def bare(self, arch: Any) -> list[float]:
        """Seconds of a forward and a backward pass, for each mini-batch."""
        from archsmith.metrics.proxies.initialization import initialized_network

        return [
            _bare(
                initialized_network(self._model, arch, "default", 0).to(self._device),
                [one],
                self._device,
            )
            for one in self._plain
        ]

    def forward(self, arch: Any) -> float:
        """Seconds of a forward pass in channels last."""
        import torch

        with torch.no_grad():
            network = self._made(arch, "default")
            return _timed(partial(network, self._last[0][0]), self._device)

    def score(self, arch: Any, proxy: Any) -> tuple[float, float]:
        """Seconds of making the network, and of its score."""
        began = time.perf_counter()
        scoring = self.scoring(arch, proxy)
        return time.perf_counter() - began, _timed(scoring, self._device)

    def scoring(self, arch: Any, proxy: Any) -> Callable[[], Any]:
        """What computes the score, the network being there."""
        from archsmith.metrics.proxies.scores import score_network

        network = self._made(self._canonical(arch), proxy.needs.init)
        return partial(score_network, network, [proxy], self._last)


def text(speeds: Mapping[str, Any]) -> str:
    """For people."""
    lines = [
        f"{speeds['networks']} networks of {speeds['space']}, batch {speeds['batch']}, "
        f"{speeds['size']} pixels; "
        f"{speeds['machine']}, {speeds['threads']} threads",
        f"{'':<18}{'x bare':>9}{'x forward':>11}{'networks/s':>12}{'peak MiB':>10}",
    ]
    for name, row in speeds["scores"].items():
        peak = "" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
        lines.append(
            f"{name:<18}{row['ratio']:>9.2f}{row['ratio_forward']:>11.2f}{row['per_second']:>12.1f}{peak:>10}"
        )
    return "\n".join(lines)


def _bare(network: Any, batches: Sequence[Any], device: Any) -> float:
    """Seconds of a forward and a backward pass per mini-batch."""
    from torch.nn.functional import cross_entropy

    network.train()

    def run() -> None:
        for x, y in batches:
            network.zero_grad(set_to_none=True)
            cross_entropy(network(x), y).backward()

    return _timed(run, device)


def _timed(run: Callable[[], Any], device: Any) -> float:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _note(into: dict[str, list[float]], **values: float) -> None:
    for name, value in values.items():
        into.setdefault(name, []).append(value)


def _row(values: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    low, high = _quartiles(values["ratio"])
    return {
        "ratio": statistics.median(values["ratio"]),
        "ratio_low": low,
        "ratio_high": high,
        "ratio_forward": statistics.median(values["ratio_forward"]),
        "per_second": 1.0 / statistics.mean(values["seconds"]),
    }


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4)
    return low, high


def _peak(run: Callable[[], Any], device: Any) -> float | None:
    """MiB above what was in use before; on a CPU by the kernel's own mark, None where that cannot
    be reset."""
    import torch

    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with suppress(OSError):
        return_memory()  # what lies freed in the process would hide what is taken now
        _CLEAR.write_text("5", encoding="utf-8")
        resident = _kib("VmRSS")
        run()
        peak = _kib("VmHWM")
        if resident is not None and peak is not None and peak >= resident:
            return (peak - resident) / 1024
    return None


def _kib(name: str) -> int | None:
    match = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(encoding="utf-8"), re.M)
    return int(match[1]) if match else None
