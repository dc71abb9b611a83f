"""Moves from one architecture to another: mutation and crossover."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from archsmith.space.architecture import Architecture

if TYPE_CHECKING:
    from archsmith.space.space import SearchSpace

_MOVES = 1_000  # tries of a mutation or a crossover under `where` before it gives its parent back


def mutate(
    space: SearchSpace,
    arch: Architecture,
    rng: Random,
    *,
    count: int = 1,
    probability: float | None = None,
) -> Architecture:
    """Re-draws `count` decisions (or each with `probability`, at least one) to another option; the
    rest stays.

    Under a `where` predicate: the first of a thousand such draws that passes, else the architecture
    itself.
    """
    free = [name for name in arch if len(space.options[name]) > 1]
    for _ in range(_MOVES if space.predicates and free else bool(free)):
        if probability is None:
            chosen = rng.sample(free, min(count, len(free)))
        else:
            chosen = [name for name in free if rng.random() < probability] or [rng.choice(free)]
        moved = redraw(space, arch, rng, chosen)
        if space._allowed(moved):
            return moved
    return arch


def redraw(
    space: SearchSpace, arch: Architecture, rng: Random, names: Sequence[str]
) -> Architecture:
    """The named decisions to another option where they have one, what that brings into being
    uniform; predicates not asked."""
    others = {name: [o for o in space.options[name] if o != arch[name]] for name in names}
    known = {**arch, **{name: rng.choice(options) for name, options in others.items() if options}}
    return space._fill_around(known, rng)


def crossover(
    space: SearchSpace, first: Architecture, second: Architecture, rng: Random
) -> Architecture:
    """Uniform crossover: each decision from either parent that has it; under a `where` predicate as
    `mutate`, else `first`."""
    pool = {
        name: [parent[name] for parent in (first, second) if name in parent]
        for name in space.options
    }
    pool = {name: options for name, options in pool.items() if options}
    for _ in range(_MOVES if space.predicates else 1):
        child = space._fill_around(
            {name: rng.choice(options) for name, options in pool.items()}, rng
        )
        if space._allowed(child):
            return child
    return first
