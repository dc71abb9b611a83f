"""The search space: decisions, their options and conditions; drawing, restricting, encoding,
counting."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any

from archsmith.errors import OutOfSpace, UserError, did_you_mean, shown
from archsmith.space.architecture import Architecture, copied
from archsmith.space.conditions import Condition
from archsmith.space.counting import Lattice
from archsmith.space.moves import redraw
from archsmith.space.options import frozen, options_of, short

INACTIVE = -1  # the vector entry of a decision that an architecture does not have
_DRAWS = 100_000  # tries of rejection sampling under `where` before giving up


@dataclass(frozen=True)
class SearchSpace(Mapping[str, tuple]):
    """A set of architectures: decision names -> options, with conditions. Closed under `restrict`,
    `where` and `split`.

    What a restricted space draws is in its parent, with the same key and vector. Mostly made by
    `archsmith.search_space` from a model, or by hand from a mapping. A mapping itself:
    `space["width"]` are the options of a decision.

    `options`: name -> options. `conditions[name]`: the decision exists where any clause holds (a
    clause is a tuple of `archsmith.space.Gate`, all of which must be open); default: always.
    `universe` holds the options of the space this one was restricted from; vectors count in it.
    `predicates` are arbitrary further filters (`where`).

    Raises UserError where a decision has no options or depends on one that is not there.

    >>> from random import Random
    >>> space = archsmith.SearchSpace({"width": (16, 24, 32), "kernel": (3, 5)})
    >>> narrow = space.where(lambda arch: arch["width"] < 32)
    >>> space.size, space.restrict({"width": (16, 24)}).size, narrow.size
    (6, 4, 4)
    >>> arch = space.sample(Random(0))
    >>> space.decode(space.encode(arch)) == arch
    True
    """

    options: Mapping[str, tuple]
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    universe: Mapping[str, tuple] = field(default_factory=dict)
    predicates: tuple[Callable[[Architecture], bool], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.options, Mapping):
            raise UserError(
                f"SearchSpace({short(self.options)}): give a mapping of names to options: "
                f"{{'width': (16, 24, 32)}}"
            )
        object.__setattr__(
            self,
            "options",
            {name: options_of(name, options) for name, options in self.options.items()},
        )
        object.__setattr__(self, "universe", dict(self.universe) or dict(self.options))
        for name, options in self.options.items():
            if not options:
                raise UserError(f"decision '{name}' has no options; give at least one")
        for name, condition in self.conditions.items():
            for gate in (g for clause in condition for g in clause):
                for other in gate.names:
                    if other not in self.options:
                        raise UserError(
                            f"decision '{name}' depends on '{other}', which the space does not hold"
                        )

    # -- mapping ----------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> tuple:
        return self.options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.options)

    def __len__(self) -> int:
        return len(self.options)

    def __hash__(self) -> int:
        return hash((tuple(self.options.items()), self.fingerprint))

    # -- what is active ---------------------------------------------------------------------------

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names with what they depend on first, otherwise as declared. A circle is an error."""
        done: dict[str, None] = {}
        path: list[str] = []

        def visit(name: str) -> None:
            if name in done:
                return
            if name in path:
                raise UserError(
                    f"decisions depend on each other in a circle: {' -> '.join([*path, name])}"
                )
            path.append(name)
            for clause in self.conditions.get(name, ()):
                for gate in clause:
                    for other in gate.names:
                        visit(other)
            path.pop()
            done[name] = None

        for name in self.options:
            visit(name)
        return tuple(done)

    @cached_property
    def _plan(self) -> tuple[tuple[str, tuple, Condition | None], ...]:
        return tuple((name, self.options[name], self.conditions.get(name)) for name in self.order)

    def is_active(self, name: str, known: Mapping[str, Any]) -> bool:
        """Whether the decision exists, given the decisions before it in `order`."""
        condition = self.conditions.get(name)
        return condition is None or any(
            all(gate.open(known) for gate in clause) for clause in condition
        )

    def _fill(self, pick: Callable[[str, tuple], Any]) -> Architecture:
        known: dict[str, Any] = {}
        for name, options, condition in self._plan:
            if condition is None or any(
                all(gate.open(known) for gate in clause) for clause in condition
            ):
                known[name] = pick(name, options)
        return Architecture({name: known[name] for name in self.options if name in known})

    def _fill_around(self, known: Mapping[str, Any], rng: Random) -> Architecture:
        """What is known and allowed stays, the rest is uniform, top-down."""

        def pick(name: str, options: tuple) -> Any:
            if name in known and known[name] in options:
                return known[name]
            return options[int(rng.random() * len(options))]

        return self._fill(pick)

    # -- drawing ----------------------------------------------------------------------------------

    def sample(self, rng: Random, *, uniform: bool = False) -> Architecture:
        """Each active decision uniform, top-down; `uniform=True`: every architecture equally
        likely."""
        for _ in range(_DRAWS if self.predicates else 1):
            arch = (
                self._uniform(rng)
                if uniform
                else self._fill(lambda _, options: options[int(rng.random() * len(options))])
            )
            if self._allowed(arch):
                return arch
        raise UserError(
            f"none of {_DRAWS:,} architectures passed the `where` predicate; loosen it or restrict "
            f"the space instead"
        )

    def complete(self, partial: Mapping[str, Any], rng: Random) -> Architecture:
        """An architecture that keeps every given decision that is active, the others uniform,
        top-down."""
        given = {name: self._own(name, option) for name, option in partial.items()}
        for _ in range(_DRAWS if self.predicates else 1):
            arch = self._fill_around(given, rng)
            if self._allowed(arch):
                return arch
        raise UserError(
            f"no completion of {dict(partial)} passed the `where` predicate in {_DRAWS:,} tries"
        )

    def architectures(self) -> Iterator[Architecture]:
        """Every architecture, once."""

        def extend(index: int, known: dict[str, Any]) -> Iterator[dict[str, Any]]:
            while index < len(self._plan):
                name, options, _ = self._plan[index]
                if self.is_active(name, known):
                    for option in options:
                        yield from extend(index + 1, {**known, name: option})
                    return
                index += 1
            yield known

        for known in extend(0, {}):
            arch = Architecture({name: known[name] for name in self.options if name in known})
            if self._allowed(arch):
                yield arch

    def extreme(self, which: int = -1) -> Architecture:
        """The architecture of every last (-1) or first (0) option: the largest and smallest where
        options are ascending.

        `where` predicates are not asked.
        """
        return self._fill(lambda _, options: options[which])

    def neighbors(
        self, arch: Architecture, names: Collection[str] | None = None
    ) -> Iterator[Architecture]:
        """All architectures one decision away (one of `names`, where they are given); decisions
        that this brings into being take their last option."""
        known = copied(arch)
        for name, own in known.items():
            if names is not None and name not in names:
                continue
            for option in self.options[name]:
                if option != own:
                    changed = {**known, name: option}
                    if name in self._gating:
                        neighbor = self._fill(
                            lambda n, options, known=changed: known.get(n, options[-1])  # type: ignore[misc]
                        )
                    else:
                        neighbor = Architecture(changed)
                    if self._allowed(neighbor):
                        yield neighbor

    @cached_property
    def _gating(self) -> frozenset[str]:
        """The decisions on which the existence of others depends."""
        gates = (
            gate
            for condition in self.conditions.values()
            for clause in condition
            for gate in clause
        )
        return frozenset(name for gate in gates for name in gate.names)

    def _allowed(self, arch: Architecture) -> bool:
        return all(predicate(arch) for predicate in self.predicates)

    # -- counting ---------------------------------------------------------------------------------

    @cached_property
    def _components(self) -> list[list[str]]:
        """Groups of decisions that no condition links, in order: their counts multiply."""
        group = {name: {name} for name in self.order}
        for name in self.order:
            for other in {
                n for clause in self.conditions.get(name, ()) for gate in clause for n in gate.names
            }:
                if group[other] is not group[name]:
                    group[name] |= group[other]
                    for member in group[other]:
                        group[member] = group[name]
        position = {name: i for i, name in enumerate(self.order)}
        unique = {id(g): g for g in group.values()}
        return [sorted(g, key=position.__getitem__) for g in unique.values()]

    @cached_property
    def _lattices(self) -> list[Lattice]:
        return [Lattice(self, names) for names in self._components]

    @cached_property
    def size(self) -> int:
        """How many architectures there are, exactly; with a predicate by enumeration of at most a
        million."""
        total = math.prod(lattice.total for lattice in self._lattices)
        if self.predicates:
            if total > 1_000_000:
                raise UserError(
                    f"the size under a `where` predicate is found by enumeration, and {total:.3g} "
                    f"are too many for it"
                )
            return sum(1 for _ in self.architectures())
        return total

    def _uniform(self, rng: Random) -> Architecture:
        known: dict[str, Any] = {}
        for lattice in self._lattices:
            known.update(lattice.draw(rng))
        return Architecture({name: known[name] for name in self.options if name in known})

    # -- subsets ----------------------------------------------------------------------------------

    def restrict(self, options: Mapping[str, Sequence[Any]]) -> SearchSpace:
        """The same space with fewer options for the named decisions; twice is once with what both
        name."""
        kept = dict(self.options)
        for name, wanted in options.items():
            self._check_name(name)
            allowed = {frozen(option) for option in wanted}
            for option in allowed - set(self.universe[name]):
                self._own(name, option)  # says what is wrong
            kept[name] = tuple(o for o in self.options[name] if o in allowed)
            if not kept[name]:
                raise UserError(f"no option left for '{name}'; allowed are {self.options[name]}")
        return SearchSpace(kept, self.conditions, self.universe, self.predicates)

    def where(self, predicate: Callable[[Architecture], bool]) -> SearchSpace:
        """The architectures that pass; found by rejection, so `restrict` is the better tool where
        it can say the same."""
        return SearchSpace(
            self.options, self.conditions, self.universe, (*self.predicates, predicate)
        )

    def split(self, name: str, groups: Sequence[Sequence[Any]] | None = None) -> list[SearchSpace]:
        """One space per option of a decision that every architecture has, or per group of its
        options: a partition.

        UserError unless the groups hold every option once.
        """
        self._check_name(name)
        lattice = next(
            lattice
            for lattice, names in zip(self._lattices, self._components, strict=True)
            if name in names
        )
        if lattice.can_lack(name):
            raise UserError(
                f"'{name}' does not exist in every architecture, so its options do not partition "
                f"the space; "
                f"split on what it depends on, or restrict that first: "
                f"{sorted(set(self._parents(name)))}"
            )
        if groups is None:
            groups = [(option,) for option in self.options[name]]
        held = [self._own(name, option) for group in groups for option in group]
        if (
            len(held) != len(self.options[name])
            or set(held) != set(self.options[name])
            or not all(map(len, groups))
        ):
            raise UserError(
                f"'{name}' in groups {groups}: each of its options "
                f"{self.options[name]} must be in exactly one"
            )
        return [self.restrict({name: group}) for group in groups]

    def _parents(self, name: str) -> Iterator[str]:
        return (
            n for clause in self.conditions.get(name, ()) for gate in clause for n in gate.names
        )

    # -- membership -------------------------------------------------------------------------------

    def contains(self, arch: Mapping[str, Any]) -> bool:
        """Whether the space holds exactly this architecture."""
        try:
            self.check(arch)
        except OutOfSpace:
            return False
        return True

    def check(self, arch: Mapping[str, Any]) -> Architecture:
        """The architecture itself, or OutOfSpace saying what is wrong with it."""
        own = {name: self._own(name, option) for name, option in arch.items()}
        for name in self.order:
            if self.is_active(name, own) != (name in own):
                if name in own:
                    raise OutOfSpace(
                        f"'{name}' does not exist under the other decisions of this "
                        f"architecture; leave it out"
                    )
                raise OutOfSpace(
                    f"the architecture does not decide '{name}'; options are {self.options[name]}"
                )
        if not isinstance(arch, Architecture) or any(
            own[name] is not option for name, option in arch.items()
        ):
            arch = Architecture({name: own[name] for name in self.options if name in own})
        if not self._allowed(arch):
            raise OutOfSpace("the architecture does not pass the space's `where` predicate")
        return arch

    def _check_name(self, name: str) -> None:
        if name not in self.options:
            raise OutOfSpace(
                f"no decision named '{shown(name)}' among "
                f"{len(self)}{did_you_mean(name, self.options)}"
            )

    def _own(self, name: str, option: Any) -> Any:
        """The space's own option that equals the given one (3 for 3.0), so that one architecture
        never has two keys."""
        self._check_name(name)
        options = self.options[name]
        option = frozen(option)
        if option not in options:
            raise OutOfSpace(f"{name}={shown(repr(option))} is not one of {options}")
        return options[options.index(option)]

    # -- vectors ----------------------------------------------------------------------------------

    def encode(self, arch: Mapping[str, Any]) -> list[int]:
        """The index of each decision's option in the universe, INACTIVE (-1) where it does not
        exist."""
        known = copied(arch)
        try:
            indices = [
                places[known.pop(name)] if name in known else INACTIVE
                for name, places in self._places.items()
            ]
        except (KeyError, TypeError):  # an option that is not there, or none that could be
            indices, known = [], dict(arch)
        for name, option in known.items():
            if name not in self.universe or option not in self.universe[name]:
                self._own(name, option)  # says what is wrong
        return indices

    @cached_property
    def _places(self) -> dict[str, dict[Any, int]]:
        return {
            name: {option: i for i, option in enumerate(options)}
            for name, options in self.universe.items()
        }

    def decode(self, vector: Sequence[float]) -> Architecture:
        """Total: any vector of the right length becomes an architecture (rounded, clipped, the
        nearest allowed option).

        Under a `where` predicate: the nearest architecture that passes, by a search outwards that
        is the same every time.
        """
        if len(vector) != len(self.universe):
            raise UserError(
                f"a vector of {len(vector)} entries for a space of {len(self.universe)} decisions"
            )
        wanted = dict(zip(self.universe, vector, strict=True))

        def nearest(name: str, options: tuple) -> Any:
            everything, x = self.universe[name], float(wanted[name])
            index = min(max(round(x), 0), len(everything) - 1) if math.isfinite(x) else 0
            if everything[index] in options:
                return everything[index]
            return min(options, key=lambda o: abs(everything.index(o) - index))

        arch = self._fill(nearest)
        return arch if self._allowed(arch) else self._nearest_allowed(arch)

    def _nearest_allowed(self, arch: Architecture) -> Architecture:
        rng = Random(arch.key)
        for distance in range(1, len(arch) + 1):
            for _ in range(64):
                moved = redraw(self, arch, rng, rng.sample(list(arch), distance))
                if self._allowed(moved):
                    return moved
        return self.sample(rng)

    # -- identity ---------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Options and conditions as plain JSON; predicates cannot be written."""
        conditions = {
            name: [
                [
                    {"names": g.names, "accepted": sorted(map(list, g.accepted), key=repr)}
                    for g in clause
                ]
                for clause in condition
            ]
            for name, condition in self.conditions.items()
        }
        return {
            "options": {name: list(o) for name, o in self.options.items()},
            "conditions": conditions,
        }

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the universe and its conditions: archives of a space and of its restrictions
        go together."""
        whole = SearchSpace(self.universe, self.conditions).to_json()
        return hashlib.blake2b(
            json.dumps(whole, sort_keys=True).encode(), digest_size=8
        ).hexdigest()
