"""What one would have picked by hand: networks of one block throughout, dense or depthwise, scaled
to the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Any

import torch
from torch import nn

from archsmith._internal.seeding import mix
from archsmith.elastic.supernet import extract
from archsmith.elastic.views import NAME as VIEWS
from archsmith.errors import UserError
from archsmith.metrics.cost import MacsOfOneForm, macs, params, peak_memory
from archsmith.metrics.memory import on_meta
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces.convnet import BARE, by_hand, decided_by_hand, head_by_hand, nearest
from archsmith.spaces.thinning import Thinned

HAND_MADE = "hand-made"  # in the place of a space's name
# block -> what networks of it are called
KINDS = {
    "inverted": "mobilenet",
    "basic": "resnet",
    "conv": "plain",
    "pooled": "pooled",
    "fused": "fused",
}
_BLOCKS = {
    "inverted": "inverted residuals",
    "basic": "residual blocks",
    "conv": "convolutions",
    "fused": "fused residuals",
    "pooled": "convolutions and pooling",
}
# (block, blocks a stage, at the stem's resolution), what is worth trying first where time is short
# (result hand-made-kinds)
BY_HAND = (("pooled", 2, 0), ("conv", 2, 0), ("basic", 1, 0), ("inverted", 3, 1))
_DENSE = ("pooled", "conv", "basic")
_FINEST = 0.01  # steps of the width multiplier
_ONE = 100  # ... so many of them are a width of 1
_HEAD_STEP = 64
_HEAD_BESIDE = 128  # channels of one, beside a network without, by some factor
_WIDEST = 16.0
# what is counted of a network for images of a shape
COUNTS = {"params": lambda network, shape: params(network), "macs": macs, "memory": peak_memory}
# which an elastic network without decisions has as the plain one does
COUNTED_AS_WRITTEN = ("params", "macs")
BOUNDING = (*COUNTS, "latency")  # what it is scaled to; its depth is what it is
Headed = Callable[[nn.Module], nn.Module]


def _as_it_is(model: nn.Module) -> nn.Module:
    return model


@dataclass(frozen=True)
class Reference:
    """A hand-made network for so many `classes`, or other outputs: `depth` blocks in each stage and
    `first` at the stem's resolution, all widths times `width`, `head` channels before pooling, 0
    for those of the last block.
    """

    name: str
    classes: int
    channels: int
    size: int
    depth: int
    width: float
    head: int
    kind: str = "inverted"
    first: int = 1

    @property
    def form(self) -> dict[str, Any]:
        """What `convnet.by_hand` asks for."""
        return {
            "kind": self.kind,
            "depth": self.depth,
            "first": self.first,
            "width": self.width,
            "head": self.head,
        }

    @property
    def text(self) -> str:
        """For people."""
        return (
            f"{self.depth} {_BLOCKS[self.kind]} a stage, width x {self.width:.2f}, kernel 3, "
            f"{f'head {self.head}' if self.head else 'without a 1 x 1 head'}"
        )

    def scaled(self, width: float) -> Reference:
        """The same with all widths times `width`, and the head that goes with that."""
        return replace(self, width=width, head=head_by_hand(self.kind, width))

    def written(self, headed: Headed = _as_it_is) -> nn.Module:
        """As the family writes it, on `meta`: nothing is left to decide, but its layers are elastic
        ones. As large as the plain network, and made in a third of the time."""
        with torch.device("meta"):
            return headed(by_hand(self.classes, self.channels, self.size, **self.form))

    def make(self, seed: int | None, headed: Headed = _as_it_is) -> nn.Module:
        """The plain network, freshly initialised; None: on `meta`, for counting. `headed` appends
        what must follow it."""
        model = self.written(headed)
        if seed is None:
            return extract(model, {}, "fresh", device="meta")
        return extract(model, {}, "fresh", torch.Generator().manual_seed(mix(seed, self.name)))


def by_description(values: Mapping[str, Any]) -> Reference | Thinned:
    """The hand-made network that a run recorded."""
    return Thinned(**values) if "options" in values else Reference(**values)


def in_space(
    space: SearchSpace, one: Reference, keeps: Callable[[Architecture], bool], views: int = 1
) -> Architecture | None:
    """The architecture of the family's space that comes nearest to a hand-made network and keeps
    the budget; None for none.

    `views`: how often it looks at an image, where the space decides that (`elastic.views`); twice
    makes it narrower.
    """
    return _fitted(
        space,
        {**decided_by_hand(one.channels, one.size, **one.form), VIEWS: views},
        keeps,
        most=1.0,
    )


def beside(
    space: SearchSpace,
    one: Reference,
    keeps: Callable[[Architecture], bool],
    rng: Random,
    *,
    views: int = 1,
) -> Iterator[Architecture]:
    """Architectures a change away from a hand-made network, as wide as the budget allows; without
    end, with repetitions.

    None where the network itself does not fit, however narrow. A change: a stage's width by a
    factor, its depth by one, its block another dense one; the width of stem or head, or how it
    begins or ends. `views`: as in `in_space`.
    """
    decided = {**decided_by_hand(one.channels, one.size, **one.form), VIEWS: views}
    if _fitted(space, decided, keeps, most=1.0) is None:
        return
    blocks = sorted(
        name for name in decided if name.startswith("stage") and name.endswith(".block")
    )
    # all but the one at the stem's resolution
    stages = [name.partition(".")[0] for name in blocks][1:]
    while True:
        changed, stage = dict(decided), rng.choice(stages)
        what = rng.choice(
            (
                "width",
                "width",
                "depth",
                "block",
                "stem.width",
                "head.width",
                "stem.block",
                "head.pool",
            )
        )
        factor = rng.choice((0.5, 0.7, 1.4, 2.0))
        if what == "width":
            changed[f"{stage}.width"] *= factor
        elif what == "depth":
            changed[f"{stage}.depth"] = max(1, changed[f"{stage}.depth"] + rng.choice((-1, 1)))
        elif what == "block":
            name = f"{stage}.block"
            others = [kind for kind in space[name] if kind in _DENSE and kind != changed[name]]
            changed[name] = rng.choice(others) if others else changed[name]
        elif what == "head.width" and what not in changed:
            changed |= {"head.pool": "max", what: factor * _HEAD_BESIDE}
        elif what.endswith(".width"):
            changed[what] *= factor
        else:
            changed[what] = rng.choice(
                [option for option in space.get(what, ()) if option != changed[what]]
                or [changed[what]]
            )
        if changed["head.pool"] != BARE:
            changed.setdefault("head.width", _HEAD_BESIDE)
        arch = _fitted(space, changed, keeps, most=2.0)
        if arch is not None:
            yield arch


def _fitted(
    space: SearchSpace,
    decided: Mapping[str, Any],
    keeps: Callable[[Architecture], bool],
    most: float,
) -> Architecture | None:
    """What comes nearest to these decisions with all widths times the largest factor up to `most`
    that keeps the budget.

    Widths are few in the space, so what is left of the budget goes to those that had to be rounded
    down most. Patches are as many as they are.
    """
    kept = ("stem.width",) if decided["stem.block"] == "patches" else ()
    wide = [name for name, options in space.items() if name.endswith(".width") and len(options) > 1]
    widths = [name for name in wide if name in decided and name not in kept]
    scaled = lambda factor: {**decided, **{name: decided[name] * factor for name in widths}}  # noqa: E731
    for percent in range(round(100 * most), 20, -2):
        arch = nearest(space, scaled(percent / 100))
        if keeps(arch):
            wanted = scaled(max(1.0, percent / 100))
            there = {name: wanted[name] for name in widths if name in arch}
            return _widest(space, arch, there, keeps)
    return None


def _widest(
    space: SearchSpace,
    arch: Architecture,
    wanted: Mapping[str, float],
    keeps: Callable[[Architecture], bool],
) -> Architecture:
    """Widened step by step, what is narrowest beside what is `wanted` first, as long as the budget
    is kept."""
    while True:
        for name in sorted(wanted, key=lambda name: arch[name] / wanted[name]):
            wider = [option for option in space[name] if option > arch[name]]
            more = (
                space.check({**arch, name: min(wider)})
                if wider and arch[name] < wanted[name]
                else None
            )
            if more is not None and keeps(more):
                arch = more
                break
        else:
            return arch


def costs(network: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """params, macs, memory."""
    network = on_meta(network)  # once for all of them
    return {name: count(network, shape) for name, count in COUNTS.items()}


def reference(
    classes: int,
    channels: int,
    size: int,
    limits: Mapping[str, float],
    latency_ms: Callable[[nn.Module], float] | None = None,
    headed: Headed = _as_it_is,
    *,
    shapes: Sequence[tuple[str, int, int]] = BY_HAND,
    stop: Callable[[], bool] = lambda: False,
) -> list[Reference]:
    """For each of `shapes` (kind of block, blocks a stage, at the stem's resolution) the widest
    network that keeps every limit: upper ones, of params, macs, memory, latency.

    The width multiplier is found by halving, then the head is widened, channel by channel, up to
    the limit that binds, so that it is used to 95 % or more (of a latency limit as near as timing
    allows). Shapes of which even the narrowest network is too large are left out. UserError where
    none fits. `latency_ms`: times a network that is on `meta`; needed for a latency limit. Once
    `stop()` is true, what is found is as wide as is known to fit by then.
    """
    known = BOUNDING if latency_ms is not None else tuple(COUNTS)
    unknown = sorted(set(limits) - set(known))
    if unknown or not limits:
        raise UserError(f"reference: limits {sorted(limits)} must be some of {', '.join(known)}")
    networks: list[Reference] = []
    for kind, depth, first in shapes:
        if networks and stop():
            break
        one = Reference(
            _name(kind, depth, first),
            classes,
            channels,
            size,
            depth=depth,
            width=1.0,
            head=1,
            kind=kind,
            first=first,
        )
        fit = Fit(limits, (channels, size, size), latency_ms, headed)
        grown = _grown(one, fit, stop)
        if grown is not None:
            networks.append(grown)
    if not networks:
        text = ", ".join(f"{name}<={limit:,.0f}" for name, limit in limits.items())
        raise UserError(
            f"no hand-made network of 2 to 4 blocks a stage fits {text}; relax it, or "
            f"give --no-reference"
        )
    return networks


@dataclass(frozen=True)
class Fit:
    """How much of each limit a candidate takes; all candidates are of one form."""

    limits: Mapping[str, float]
    shape: tuple[int, int, int]
    latency_ms: Callable[[nn.Module], float] | None = None
    headed: Headed = _as_it_is

    @cached_property
    def macs(self) -> MacsOfOneForm:
        """As the first of them spends."""
        return MacsOfOneForm(self.shape)

    def used(self, candidate: Reference) -> float:
        """The largest part that it takes of a limit; of latency only where it keeps the others."""
        cheap = self.limits.keys() <= set(COUNTED_AS_WRITTEN)
        network = candidate.written(self.headed) if cheap else candidate.make(None, self.headed)
        parts = {
            name: _part(self._count(name, network), limit)
            for name, limit in self.limits.items()
            if name != "latency"
        }
        if "latency" in self.limits and all(part <= 1 for part in parts.values()):
            assert self.latency_ms is not None
            parts["latency"] = _part(self.latency_ms(network), self.limits["latency"])
        return max(parts.values(), default=0.0)

    def _count(self, name: str, network: nn.Module) -> float:
        return self.macs(network) if name == "macs" else COUNTS[name](network, self.shape)

    def __call__(self, candidate: Reference) -> bool:
        return self.used(candidate) <= 1


def _grown(one: Reference, fit: Fit, stop: Callable[[], bool]) -> Reference | None:
    """The widest network of a shape that keeps every limit, its head widened by what is left; None
    where none does."""
    steps = _largest(
        lambda n: fit(_scaled(one, n)),
        int(_WIDEST / _FINEST),
        int(_ONE / fit.used(_scaled(one, _ONE)) ** 0.5),
        stop,
    )
    if steps == 0:
        return None
    best = _scaled(one, steps)
    if not best.head:
        return best
    now, more = fit.used(best), fit.used(_widened(best, _HEAD_STEP))
    guess = int(_HEAD_STEP * (1 - now) / (more - now)) if more > now else 0
    return _widened(best, _largest(lambda n: fit(_widened(best, n)), 4096, guess, stop))


def _part(value: float, limit: float) -> float:
    return value / limit if limit > 0 else math.inf


def _name(kind: str, depth: int, first: int) -> str:
    return f"{KINDS[kind]}-d{depth}{'' if first else '-early'}"  # the map is made smaller early


def _scaled(one: Reference, steps: int) -> Reference:
    return one.scaled(steps * _FINEST)


def _widened(best: Reference, more: int) -> Reference:
    return replace(best, head=best.head + more)


def _largest(fits: Callable[[int], bool], most: int, guess: int, stop: Callable[[], bool]) -> int:
    """The largest n in 0..most for which `fits(n)`, monotone, fits(0) taken for granted: out from a
    guess, then by halving.

    Once `stop()` is true, the largest that is known to fit.
    """
    low, high, step = 0, most + 1, max(1, guess // 64)
    probe = min(max(1, guess), most)
    while high - low > 1 and not stop():
        if fits(probe):
            low = probe
            probe = probe + step if high > most else (low + high) // 2
        else:
            high = probe
            probe = probe - step if low == 0 else (low + high) // 2
        step *= 2
        if not low < probe < high:
            probe = (low + high) // 2
    return low
