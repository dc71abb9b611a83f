"""What an elastic model declares, read in one pass: its decisions, their names and conditions, and
where each is used."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from archsmith.errors import UserError
from archsmith.space import (
    Architecture,
    Choice,
    Clause,
    Concat,
    Derived,
    Gate,
    SearchSpace,
    choices_of,
    resolve,
    simplify,
)

# most attributes are of these: not looked into for sizes
_ATOMS = (int, float, str, bytes, type(None), Tensor)
_PLAIN = frozenset({int, float, str, bytes, bool, type(None)})
# attribute of a network that was made elastic: path of a layer -> why its width is no decision
FIXED = "fixed_widths"
TORCH_INTERNAL = frozenset(vars(nn.Module())) | {"gates", "_active_architecture"}


def _holds_choice(value: Any) -> bool:
    if isinstance(value, _ATOMS):
        return False
    if isinstance(value, Choice | Derived | Concat):
        return True
    if isinstance(value, dict):
        return _any_holds(value.values())
    return isinstance(value, list | tuple) and _any_holds(value)


def _any_holds(values: Iterable[Any]) -> bool:
    return any(type(value) not in _PLAIN and _holds_choice(value) for value in values)


def _sizes_in(value: Any, path: str) -> Iterator[tuple[str, Choice | Derived | Concat]]:
    """Every size in an attribute, with its path; attributes may be lists, tuples and dicts of
    sizes."""
    if isinstance(value, Choice | Derived | Concat):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _sizes_in(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _sizes_in(item, f"{path}.{position}")


def _resolved(value: Any, values: Mapping[Choice, Any]) -> Any:
    if isinstance(value, Choice | Derived | Concat):
        return resolve(value, values) if all(c in values for c in choices_of(value)) else value
    if isinstance(value, dict):
        return {key: _resolved(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_resolved(item, values) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


@dataclass(frozen=True)
class Place:
    """A module at one of its paths: its attributes that hold sizes, and its gates."""

    path: str
    module: nn.Module
    sizes: tuple[tuple[str, Any], ...]
    gates: Mapping[str, tuple[Any, tuple[Any, ...]]]

    def below(self, name: str) -> str:
        """The path of a child or attribute."""
        return f"{self.path}.{name}" if self.path else name


def _places(model: nn.Module) -> list[Place]:
    """Every path of every module, parents first."""
    places: list[Place] = []
    for path, module in model.named_modules(remove_duplicate=False):
        # told first without a call: plain values, what each module has, pairs of plain values
        own = [
            (n, v)
            for n, v in vars(module).items()
            if (kind := type(v)) not in _PLAIN
            and n not in TORCH_INTERNAL
            and not (kind is tuple and _PLAIN.issuperset(map(type, v)))
            and _holds_choice(v)
        ]
        places.append(Place(path, module, tuple(own), getattr(module, "gates", None) or {}))
    return places


def _names(places: Iterable[Place]) -> dict[Choice, str]:
    """Each Choice's name: its own, or the first path at which it is found."""
    first: dict[Choice, str] = {}
    for place in places:
        sizes = [
            pair
            for attribute, value in place.sizes
            for pair in _sizes_in(value, place.below(attribute))
        ]
        sizes += [(place.below(f"gates.{child}"), gate[0]) for child, gate in place.gates.items()]
        # a Choice standing there itself is named by the place; one in a formula gets a number too
        for where, size in sizes:
            for position, choice in enumerate(choices_of(size)):
                first.setdefault(
                    choice, where if isinstance(size, Choice) else f"{where}.{position}"
                )
    names = {choice: choice.name or path for choice, path in first.items()}
    taken: dict[str, Choice] = {}
    for choice, name in names.items():
        if name in taken:
            raise UserError(
                f"two decisions are called '{name}': {taken[name]!r} and {choice!r}; "
                "use the same Choice object for one decision, or give them different names"
            )
        taken[name] = choice
    return names


@dataclass(frozen=True)
class Structure:
    """A model's decisions: the space, each Choice's name, where they are used, and which gates lie
    on the way to each path.

    `along[path]` is None where some gate on the way is never open.
    """

    space: SearchSpace
    names: dict[Choice, str]
    places: list[Place]
    along: dict[str, Clause | None]


def _gate(decision: Any, accepted: Iterable[Any], names: Mapping[Choice, str]) -> Gate | bool:
    """The decision's accepted values as combinations of options; a plain value is simply in or
    out."""
    accepted = tuple(accepted)
    choices = choices_of(decision)
    if not choices:
        return decision in accepted
    combinations = list(itertools.product(*(c.options for c in choices)))
    passing = frozenset(
        v for v in combinations if resolve(decision, dict(zip(choices, v, strict=True))) in accepted
    )
    if not passing:
        return False
    return len(passing) == len(combinations) or Gate(tuple(names[c] for c in choices), passing)


def require_inactive(model: nn.Module) -> None:
    """Raises UserError where the model is switched to an architecture."""
    if "_active_architecture" in vars(model):
        raise UserError(
            "the model is inside `active`; leave that first: one architecture at a time"
        )


def read(model: nn.Module) -> Structure:
    """What the functions below go by; metrics that follow a model's structure read it too."""
    require_inactive(model)
    places = _places(model)
    declared = tuple(map(_declared, places))
    known = _READ.get(model)
    if known is None or known[0] != declared:
        known = _READ[model] = (declared, *_decisions(places))
    _, space, names, along = known
    return Structure(space, names, places, along)


# by model: what it declared when it was read last, and what follows from that. Without its modules,
# which would keep it alive
_READ: WeakKeyDictionary[nn.Module, tuple[Any, SearchSpace, dict, dict]] = WeakKeyDictionary()


def _declared(place: Place) -> Any:
    """All that decisions rest on at one place; sizes are compared by identity."""
    if not place.sizes and not place.gates:
        return place.path
    sizes = [pair for name, value in place.sizes for pair in _sizes_in(value, name)]
    gates = [(child, decision, tuple(among)) for child, (decision, among) in place.gates.items()]
    return place.path, sizes, gates


def _decisions(
    places: Sequence[Place],
) -> tuple[SearchSpace, dict[Choice, str], dict[str, Clause | None]]:
    """The space, the names of its Choices, and the gates on the way to each path."""
    names = _names(places)
    clauses: dict[str, list[Clause]] = {name: [] for name in names.values()}
    # the gates on the way to each path; None where one is never open
    along: dict[str, Clause | None] = {}
    own: dict[str, Gate | bool] = {}  # the gate of a path in its parent
    # by decision: cells ask the same again and again
    gates: dict[tuple[int, tuple[Any, ...]], Gate | bool] = {}
    for place in places:
        above = along.get(place.path.rpartition(".")[0], ()) if place.path else ()
        gate = own.get(place.path, True)
        clause = (
            None
            if above is None or gate is False
            else (*above, gate)
            if isinstance(gate, Gate)
            else above
        )
        along[place.path] = clause
        for child, (decision, accepted) in place.gates.items():
            asked = (id(decision), tuple(accepted))
            if asked not in gates:
                gates[asked] = _gate(decision, accepted, names)
            own[place.below(child)] = gates[asked]
        if clause is None:
            continue
        used = [size for attribute, value in place.sizes for _, size in _sizes_in(value, attribute)]
        for size in (*used, *(decision for decision, _ in place.gates.values())):
            for choice in choices_of(size):
                clauses[names[choice]].append(clause)
    conditions = {name: simplify(any_of) for name, any_of in clauses.items() if any_of}
    options = {name: choice.options for choice, name in names.items() if clauses[name]}
    space = SearchSpace(options, {name: c for name, c in conditions.items() if c is not None})
    return space, names, along


def check_stock(reading: Structure) -> None:
    """UserError where a layer of torch.nn with tensors of its own was built with a Choice, which it
    cannot follow later."""
    for place in reading.places:
        kind = type(place.module)
        if (
            hasattr(kind, "axes")
            or not kind.__module__.startswith("torch.nn")
            or not (place.module._parameters or place.module._buffers)
        ):
            continue
        given = [name for name, _ in place.sizes if name in inspect.signature(kind).parameters]
        if given:
            name, size = given[0], dict(place.sizes)[given[0]]
            raise UserError(
                f"'{place.path or kind.__name__}' is a torch.nn.{kind.__name__} built with "
                f"{name}={size!r}, read only then: "
                "take the layer of archsmith.elastic for a width, or decide between whole layers "
                "by OneOf"
            )


def options_of(decision: Any, options: Mapping[Choice, Sequence[Any]]) -> Iterator[Any]:
    """What a Choice, Derived or plain value can be, under these options of its choices (of those
    not there: all)."""
    choices = choices_of(decision)
    for combination in itertools.product(
        *(options.get(choice, choice.options) for choice in choices)
    ):
        yield resolve(decision, dict(zip(choices, combination, strict=True)))


@contextmanager
def written(
    model: nn.Module, reading: Structure, arch: Architecture
) -> Iterator[dict[Choice, Any]]:
    """Within it the model's sizes are those of one architecture; gives the option of each
    Choice."""
    values = {choice: arch[name] for choice, name in reading.names.items() if name in arch}
    originals = {id(place.module): place for place in reading.places}.values()
    try:
        for place in originals:
            for name, value in place.sizes:
                vars(place.module)[name] = _resolved(value, values)
        vars(model)["_active_architecture"] = arch
        yield values
    finally:
        vars(model).pop("_active_architecture", None)
        for place in originals:
            vars(place.module).update(place.sizes)


def dead_paths(places: Iterable[Place], values: Mapping[Choice, Any]) -> frozenset[str]:
    """Paths of the modules that do not exist: children that are gated off, and what lies below
    them."""
    return gated_off(places, lambda decision, accepted: _resolved(decision, values) in accepted)


def gated_off(
    places: Iterable[Place], exists: Callable[[Any, tuple[Any, ...]], bool]
) -> frozenset[str]:
    """Paths of the children for whose gate, (decision, accepted values), `exists` is false, and of
    what lies below them."""
    dead: set[str] = set()
    for place in places:
        if place.path.rpartition(".")[0] in dead:
            dead.add(place.path)
        for child, (decision, accepted) in place.gates.items():
            if not exists(decision, accepted):
                dead.add(place.below(child))
    return frozenset(dead)
