"""`Scores`: training-free scores of an architecture's fresh network as one metric; those that need
the same pass share it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith._internal.seeding import mix
from archsmith.errors import EvaluationFailed, UserError, did_you_mean
from archsmith.metrics.proxies.initialization import initialized_network
from archsmith.metrics.proxies.reading import Init, Loss, Proxy, Reading
from archsmith.metrics.proxies.surgery import without_shortcuts, without_squeeze_excite
from archsmith.metrics.proxies.untouched import untouched
from archsmith.space import Architecture


def score_network(
    network: nn.Module,
    proxies: Sequence[Proxy],
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    loss: Loss = F.cross_entropy,
    seed: int = 0,
    strict: bool = False,
) -> dict[str, float]:
    """name -> score of one plain network as it stands. Parts of a score are called "name.part". Not
    finite values are kept.

    Weights, modes, buffers, `.grad` and the global RNG are left as they were. A score that cannot
    be had is nan, in each of its parts; with `strict` its EvaluationFailed is raised.
    """
    scores: dict[str, float] = {}
    settings = settings or {}
    for train in (True, False):
        group = [proxy for proxy in proxies if proxy.needs.train is train]
        if not group:
            continue
        keep = frozenset(kept for proxy in group for kept in proxy.needs.keep)
        generator = torch.Generator().manual_seed(mix(seed, "noise"))
        start = generator.get_state()
        with (
            untouched(network, seed),
            torch.set_grad_enabled(any(proxy.needs.gradients for proxy in group)),
        ):
            network.train(train)
            reading = Reading(network, batches, keep, loss, generator=generator)
            for proxy in group:
                generator.set_state(start)  # a score does not depend on which others are asked for
                try:
                    scores.update(
                        _named(proxy, proxy.score(reading, **settings.get(proxy.name, {})))
                    )
                except EvaluationFailed:
                    if strict:
                        raise
                    scores.update(dict.fromkeys(proxy.names, math.nan))
    return scores


def _named(proxy: Proxy, value: Any) -> dict[str, float]:
    if isinstance(value, Mapping):
        return {f"{proxy.name}.{part}": float(number) for part, number in value.items()}
    return {proxy.name: float(value)}


class Scores:
    """Metric: arch -> {name: score} of `extract(model, arch, weights="fresh")`, means over
    `repeats` initialisations.

    `batches`: drawn once and used for every architecture (common random numbers: less noise in the
    ranking). The weights of an architecture depend on (`seed`, repeat, kind of weights, arch.key)
    only, so a score depends neither on the order of asking nor on the other scores. `init`:
    overrides what a score asks for. `drop_shortcuts`, `drop_squeeze_excite`: score without.
    `canonical`: arch -> the one whose network is scored instead, without operations that do
    nothing; saves their passes, and networks that compute the same get the same score, computed
    once where they are asked for in a row. `settings`: proxy name -> its own settings. `strict`:
    raises EvaluationFailed where a score cannot be had or is not finite. With `single`, it is
    strict, and gives the one score as a float.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[tuple[Tensor, Tensor]],
        proxies: Sequence[Proxy],
        *,
        init: Init | None = None,
        repeats: int = 1,
        drop_shortcuts: bool = False,
        drop_squeeze_excite: bool = False,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        canonical: Callable[[Architecture], Architecture] | None = None,
        loss: Loss = F.cross_entropy,
        seed: int = 0,
        memory_format: torch.memory_format = torch.channels_last,
        single: bool = False,
        strict: bool = False,
    ) -> None:
        if repeats < 1:
            raise UserError(f"repeats={repeats!r} must be at least 1")
        names = [proxy.name for proxy in proxies]
        for name in settings or {}:
            if name not in names:
                raise UserError(
                    f"settings for '{name}', which is not among "
                    f"{', '.join(names)}{did_you_mean(name, names)}"
                )
        self.name = names[0] if single else "scores"
        self.model, self.proxies, self.repeats, self.seed, self.init = (
            model,
            tuple(proxies),
            repeats,
            seed,
            init,
        )
        self.drop_shortcuts, self.drop_squeeze_excite = drop_shortcuts, drop_squeeze_excite
        self.settings, self.loss, self.memory_format, self.single = (
            settings,
            loss,
            memory_format,
            single,
        )
        self.strict = strict or single
        self.canonical = canonical
        self._last: tuple[Architecture, dict[str, float]] | None = None
        self.batches = tuple(
            (x.contiguous(memory_format=memory_format) if x.dim() == 4 else x, y)
            for x, y in batches
        )
        wanted = max((proxy.needs.batches for proxy in proxies), default=0)
        if len(self.batches) < wanted:
            raise UserError(
                f"{', '.join(names)}: at least {wanted} batches of images are read, "
                f"got {len(self.batches)}"
            )

    def __call__(self, arch: Architecture) -> dict[str, float] | float:
        """arch -> scores."""
        arch = arch if self.canonical is None else self.canonical(arch)
        if self._last is None or self._last[0] != arch:
            rounds = [self._round(arch, repeat) for repeat in range(self.repeats)]
            self._last = (
                arch,
                {
                    name: math.fsum(each.get(name, math.nan) for each in rounds) / len(rounds)
                    for name in dict.fromkeys(itertools.chain(*rounds))
                },
            )
        scores = dict(self._last[1])
        for name, value in scores.items():
            if self.strict and not math.isfinite(value):
                raise EvaluationFailed(f"{name} is {value}")
        return next(iter(scores.values())) if self.single else scores

    def _round(self, arch: Architecture, repeat: int) -> dict[str, float]:
        scores: dict[str, float] = {}
        by_init: dict[Init, list[Proxy]] = {}
        for proxy in self.proxies:
            by_init.setdefault(self.init or proxy.needs.init, []).append(proxy)
        for init, group in by_init.items():
            seed = mix(self.seed, init, repeat, arch.key)
            network = self._network(arch, init, seed)
            scores |= score_network(
                network,
                group,
                self.batches,
                settings=self.settings,
                loss=self.loss,
                seed=seed,
                strict=self.strict,
            )
        return scores

    def _network(self, arch: Architecture, init: Init, seed: int) -> nn.Module:
        network = initialized_network(self.model, arch, init, seed).to(
            memory_format=self.memory_format
        )  # type: ignore[call-overload]
        network = network.to(self.batches[0][0].device) if self.batches else network
        if self.drop_squeeze_excite:
            network = without_squeeze_excite(network)
        return without_shortcuts(network) if self.drop_shortcuts else network
