"""Containers that decide which children exist: OneOf, Repeat, Parallel; one's own does the same by
declaring `gates`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from archsmith.errors import UserError
from archsmith.space import Choice, Derived, largest

# child -> (what decides, the values under which the child exists)
Gates = dict[str, tuple[Choice | Derived, tuple[Any, ...]]]


def _options(decision: Any) -> tuple[Any, ...]:
    return decision.options if isinstance(decision, Choice | Derived) else (decision,)


def _named(
    container: str, modules: Iterable[nn.Module | Mapping[Any, nn.Module]]
) -> dict[Any, nn.Module]:
    """Modules under the names of the mappings they came in, or their positions; UserError where two
    share one."""
    named: dict[Any, nn.Module] = {}
    taken: set[str] = set()
    for position, given in enumerate(modules):
        for key, module in given.items() if isinstance(given, Mapping) else ((position, given),):
            if not isinstance(module, nn.Module):
                raise UserError(
                    f"{container}: {key!r} is a {type(module).__name__}; give modules, or mappings "
                    f"of names to them"
                )
            if str(key) in taken:
                raise UserError(
                    f"{container}: two modules are called '{key}'; give each a name of its own"
                )
            taken.add(str(key))
            named[key] = module
    return named


def _add(container: nn.Module, named: Mapping[Any, nn.Module]) -> None:
    for key, module in named.items():
        try:
            container.add_module(str(key), module)
        except KeyError as error:  # a point in it, or the name of a method
            raise UserError(
                f"{type(container).__name__}: no module of it can be called {str(key)!r}: "
                f"{error.args[0]}; take another name"
            ) from error


def _decision(container: str, what: str, decision: Any) -> Choice | Derived:
    if not isinstance(decision, Choice | Derived):
        raise UserError(f"{container}({what}={decision!r}): give a Choice or a Derived")
    return decision


def _check_depth(container: str, depth: Any, count: int) -> None:
    if any(not isinstance(d, int) or not 0 <= d <= count for d in _options(depth)):
        raise UserError(
            f"{container}: depth {_options(depth)} for {count} modules; use whole numbers up to "
            "that"
        )


def _first(names: Iterable[str], depth: Any) -> Gates:
    """The gates of modules of which the first `depth` exist."""
    values = _options(depth)
    return {name: (depth, tuple(d for d in values if d > i)) for i, name in enumerate(names)}


@dataclass(frozen=True, eq=False)
class Mixture:
    """Several options of a `OneOf` at once: the sum of what they make of the input, by `weights`
    (n,).

    `live`: positions of the options that are computed, None: all. An option that gives None adds
    nothing.
    """

    options: tuple[Any, ...]
    weights: Tensor
    live: tuple[int, ...] | None = None

    def forward(self, children: Mapping[str, nn.Module | None], inputs: tuple[Any, ...]) -> Any:
        """The weighted sum; None where every option gives None."""
        total = None
        for position in range(len(self.options)) if self.live is None else self.live:
            child = children[str(self.options[position])]
            assert child is not None
            made = child(*inputs)
            if made is not None:
                part = self.weights[position] * made
                total = part if total is None else total + part
        return total


class OneOf(nn.Module):
    """Exactly one of several modules: `OneOf({"skip": nn.Identity(), "conv": ...})`, or `OneOf(a,
    b)` with options 0 and 1."""

    def __init__(
        self, *modules: nn.Module | Mapping[Any, nn.Module], choice: Choice | Derived | None = None
    ) -> None:
        super().__init__()
        named = _named("OneOf", modules)
        if not named:
            raise UserError("OneOf has no modules; give at least one")
        self.choice = Choice(*named) if choice is None else _decision("OneOf", "choice", choice)
        if unknown := set(self.choice.options) - set(named):
            raise UserError(
                f"OneOf: options {sorted(unknown, key=str)} of its choice name none of "
                f"its modules {list(named)}"
            )
        _add(self, named)

    @property
    def gates(self) -> Gates:
        """Each child exists under its own option."""
        keys = {str(option): option for option in _options(self.choice)}
        return {
            name: (self.choice, (keys[name],) if name in keys else ()) for name in self._modules
        }

    def plain(self, children: dict[str, nn.Module]) -> nn.Module:
        """The chosen child itself."""
        return children[str(self.choice)]

    def forward(self, *inputs: Any) -> Any:
        """What the chosen child makes of the inputs; outside `active`, the last option's; within
        `relax`, the mixture's."""
        if isinstance(self.choice, Mixture):
            return self.choice.forward(self._modules, inputs)
        chosen = (
            self.choice.options[-1] if isinstance(self.choice, Choice | Derived) else self.choice
        )
        child = self._modules[str(chosen)]
        assert child is not None
        return child(*inputs)


class Repeat(nn.Module):
    """The first `depth` of several modules in sequence: `Repeat(a, b)` or `Repeat({"first": a})`;
    `depth=None` keeps all."""

    def __init__(
        self,
        *modules: nn.Module | Mapping[str, nn.Module],
        depth: int | Choice | Derived | None = None,
    ) -> None:
        super().__init__()
        named = _named("Repeat", modules)
        self.depth: Any = len(named) if depth is None else depth
        _check_depth("Repeat", self.depth, len(named))
        _add(self, named)

    @property
    def gates(self) -> Gates:
        """Child i exists where depth > i."""
        return _first(self._modules, self.depth)

    def plain(self, children: dict[str, nn.Module]) -> nn.Module:
        """The kept children as a Sequential, under their names."""
        return nn.Sequential(OrderedDict(children))

    def forward(self, x: Any) -> Any:
        """The input through the first `depth` children."""
        for child in list(self._modules.values())[: largest(self.depth)]:
            assert child is not None
            x = child(x)
        return x


class Chain(nn.Module):
    """Modules in sequence, some of which may be left out: `Chain({"0": a, "1": b, "2": c}, {("1",
    "2"): Choice(0, 1, 2)})`; of the modules of a run the first so many exist."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        runs: Mapping[tuple[str, ...], Choice | Derived],
    ) -> None:
        super().__init__()
        named = _named("Chain", (modules,))
        inside = [name for run in runs for name in run]
        if len(set(inside)) < len(inside) or not set(inside) <= set(named):
            raise UserError(
                f"Chain: runs {list(runs)} of modules {list(named)}; each name stands in one run "
                f"at "
                "most, and is a module's"
            )
        for run, depth in runs.items():
            _check_depth("Chain", depth, len(run))
        self.runs: dict[tuple[str, ...], Any] = dict(runs)
        _add(self, named)

    @property
    def gates(self) -> Gates:
        """Module i of a run exists where its depth > i."""
        return {
            name: gate
            for run, depth in self.runs.items()
            for name, gate in _first(run, depth).items()
        }

    def plain(self, children: dict[str, nn.Module]) -> nn.Module:
        """The kept children as a Sequential, under their names."""
        return nn.Sequential(OrderedDict(children))

    def _kept(self) -> list[nn.Module]:
        left = {name for run, depth in self.runs.items() for name in run[largest(depth) :]}
        return [child for name, child in self.named_children() if name not in left]

    def __len__(self) -> int:
        """How many children exist, as of the Sequential that it becomes."""
        return len(self._kept())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._kept())

    def __getitem__(self, index: int | slice) -> nn.Module:
        """One of the children that exist, or some of them as a Sequential."""
        kept = self._kept()[index]
        return nn.Sequential(*kept) if isinstance(kept, list) else kept

    def forward(self, x: Any) -> Any:
        """The input through the children that exist."""
        for child in self._kept():
            x = child(x)
        return x


class Sum(nn.Module):
    """The sum of what several branches make of one input."""

    def __init__(self, branches: Iterable[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """The input through each branch, added."""
        total = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        return total


class Parallel(nn.Module):
    """The sum of a subset of branches. `mask`: a decision among tuples of the positions kept, e.g.
    Choice((0,), (0, 2)).

    Default: any non-empty subset.
    """

    def __init__(self, *branches: nn.Module, mask: Choice | Derived | None = None) -> None:
        super().__init__()
        count = len(branches)
        subsets = [tuple(i for i in range(count) if bits >> i & 1) for bits in range(1, 1 << count)]
        self.mask: Any = Choice(*subsets) if mask is None else mask
        for option in _options(self.mask):
            if (
                not isinstance(option, tuple)
                or not option
                or any(i not in range(count) for i in option)
            ):
                raise UserError(
                    f"Parallel: mask option {option!r} is not a non-empty tuple of "
                    f"positions below {count}"
                )
            if list(option) != sorted(set(option)):
                raise UserError(
                    f"Parallel: mask option {option!r} names a branch twice or out of order"
                )
        _add(self, _named("Parallel", branches))

    @property
    def gates(self) -> Gates:
        """Branch i exists under the masks that hold i."""
        masks = _options(self.mask)
        return {
            str(i): (self.mask, tuple(m for m in masks if i in m))
            for i in range(len(self._modules))
        }

    def plain(self, children: dict[str, nn.Module]) -> nn.Module:
        """The branch itself where it is alone."""
        return next(iter(children.values())) if len(children) == 1 else Sum(children.values())

    def forward(self, x: Tensor) -> Tensor:
        """The input through each kept branch, added; outside `active`, through all."""
        kept = self.mask if isinstance(self.mask, tuple) else range(len(self._modules))
        outputs = [self._modules[str(i)](x) for i in kept]  # type: ignore[misc]
        total = outputs[0]
        for output in outputs[1:]:
            total = total + output
        return total
