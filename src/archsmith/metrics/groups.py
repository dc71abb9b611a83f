"""Modules of a model in groups whose counts rest on the same decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from torch import nn

from archsmith.elastic.layer import is_elastic, shapes
from archsmith.elastic.structure import Place, Structure
from archsmith.space import Architecture, SearchSpace, choices_of, resolve


@dataclass
class Group:
    """Modules whose costs rest on the same decisions, and what they cost under each combination
    met."""

    names: tuple[str, ...]
    places: list[Place]
    table: dict[tuple, tuple[int, int, tuple[float, ...]]] = field(default_factory=dict)


def sizes_of(place: Place, values: Mapping[Any, Any]) -> tuple:
    """The sizes that a module takes under these values of its choices."""
    return tuple(repr(resolve(value, values)) for _, value in place.sizes)


def parameter_shapes(place: Place, values: Mapping[Any, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes of a module's own parameters under these values of its choices."""
    if is_elastic(place.module):
        return shapes(place.module, values)
    return {name: tuple(p.shape) for name, p in place.module._parameters.items() if p is not None}


def channels(place: Place, weight: tuple[int, ...], values: Mapping[Any, Any]) -> int:
    """How many channels or features a layer with such a weight gives."""
    if not isinstance(place.module, nn.ConvTranspose2d):
        return weight[0]
    return weight[1] * int(
        resolve(getattr(place.module, "group_count", place.module.groups), values)
    )


def grouped(reading: Structure, always: Sequence[str]) -> list[Group]:
    """Modules by what their sizes and existence rest on, and `always` these decisions; a group
    within a larger one joins it."""
    by_names: dict[frozenset[str], list[Place]] = {}
    for place in reading.places:
        clause = reading.along[place.path]
        if clause is None:
            continue
        choices = (c for _, value in place.sizes for c in choices_of(value))
        names = frozenset(
            [
                *always,
                *(reading.names[c] for c in choices),
                *(n for gate in clause for n in gate.names),
            ]
        )
        by_names.setdefault(names, []).append(place)
    groups: dict[frozenset[str], list[Place]] = {}
    for names, places in sorted(by_names.items(), key=lambda item: -len(item[0])):
        home = next((larger for larger in groups if names <= larger), names)
        groups.setdefault(home, []).extend(places)
    return [
        Group(tuple(n for n in reading.space if n in names), places)
        for names, places in groups.items()
    ]


def covering(space: SearchSpace, draws: int = 4) -> Iterator[Architecture]:
    """The two extremes, random architectures, and more of them until every option was there (or
    cannot be)."""
    rng = Random(0)
    missing = {name: set(options) for name, options in space.items()}
    for arch in dict.fromkeys(
        (space.extreme(-1), space.extreme(0), *(space.sample(rng) for _ in range(draws)))
    ):
        for name, option in arch.items():
            missing[name].discard(option)
        yield arch
    for _ in range(max(map(len, missing.values()), default=0) + 4):
        wanted = {
            name: next(o for o in space[name] if o in options)
            for name, options in missing.items()
            if options
        }
        if not wanted:
            return
        arch = space.complete(wanted, rng)
        for name, option in arch.items():
            missing[name].discard(option)
        yield arch
