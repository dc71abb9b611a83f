"""What can be decided and what was decided: Choice, Derived, Concat, SearchSpace, Architecture; mutate and crossover."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any

from archsmith.errors import OutOfSpace, UserError, did_you_mean
from archsmith.options import checked, frozen, options_of, short

Option = int | float | str | bool | tuple | None  # anything hashable that JSON can hold; a list becomes a tuple
INACTIVE = -1  # the vector entry of a decision that an architecture does not have
_TABULATED = 1 << 16  # a Derived over at most so many combinations is kept as a table and pickles without its function
_DRAWS = 100_000  # tries of rejection sampling under `where` before giving up
_MOVES = 1_000  # tries of a mutation or a crossover under `where` before it gives its parent back


class Choice:
    """One decision. The same object in two places is one decision; immutable, compared by identity."""

    __slots__ = ("name", "options")

    def __init__(self, *options: Option, name: str | None = None) -> None:
        if not options:
            raise UserError(f"Choice {name or ''} has no options; give at least one: Choice(16, 24, 32)")
        if name is not None and not isinstance(name, str):
            raise UserError(f"Choice{options!r}: its name is {name!r}; give a text")
        self.options: tuple[Any, ...] = checked(f"Choice {name or ''}{short(options)}", options)
        self.name = name

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.options))}{f', name={self.name!r}' if self.name else ''})"


class Derived:
    """A value computed from choices, other Derived values and constants: `Derived(make_divisible, Derived(mul, width, ratio))`.

    `choices` are the Choices it rests on, `options` the values it can take. Small ones are tabulated, so that any function, a
    lambda too, survives pickling.
    """

    __slots__ = ("_arguments", "_fn", "_table", "choices")

    def __init__(self, fn: Callable[..., Any], *arguments: Any) -> None:
        self._fn: Callable[..., Any] | None = fn
        self._arguments = arguments
        self.choices: tuple[Choice, ...] = tuple(dict.fromkeys(c for a in arguments for c in choices_of(a)))
        self._table: dict[tuple, Any] | None = None
        if math.prod(len(c.options) for c in self.choices) <= _TABULATED:
            combinations = itertools.product(*(c.options for c in self.choices))
            self._table = {values: self._compute(dict(zip(self.choices, values, strict=True))) for values in combinations}

    def _compute(self, values: Mapping[Choice, Any]) -> Any:
        assert self._fn is not None
        return self._fn(*(resolve(a, values) for a in self._arguments))

    def value(self, values: Mapping[Choice, Any]) -> Any:
        """The value under the given option of each Choice."""
        if self._table is not None:
            return self._table[tuple(values[c] for c in self.choices)]
        return self._compute(values)

    @property
    def options(self) -> tuple[Any, ...]:
        """The distinct values it takes over all combinations of its choices."""
        if self._table is not None:
            return tuple(dict.fromkeys(self._table.values()))
        combinations = itertools.product(*(c.options for c in self.choices))
        return tuple(dict.fromkeys(self._compute(dict(zip(self.choices, v, strict=True))) for v in combinations))

    def __getstate__(self) -> dict[str, Any]:
        tabulated = self._table is not None
        return {
            "choices": self.choices,
            "table": self._table,
            "fn": None if tabulated else self._fn,
            "arguments": () if tabulated else self._arguments,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.choices, self._table = state["choices"], state["table"]
        self._fn, self._arguments = state["fn"], state["arguments"]

    def __repr__(self) -> str:
        return f"Derived({', '.join(map(repr, self.options[:6]))}{', ...' if len(self.options) > 6 else ''})"


class Segments(int):
    """The width of a concatenation, remembering how wide each part is and how wide it may become."""

    widths: tuple[int, ...]
    capacities: tuple[int, ...]

    def __new__(cls, widths: tuple[int, ...], capacities: tuple[int, ...]) -> Segments:
        self = super().__new__(cls, sum(widths))
        self.widths, self.capacities = widths, capacities
        return self

    def __getnewargs__(self) -> tuple[tuple[int, ...], tuple[int, ...]]:  # type: ignore[override]
        return self.widths, self.capacities


class Concat:
    """The width of a concatenation of elastic parts: what reads it takes a prefix of each part, not of the whole."""

    __slots__ = ("capacities", "choices", "parts")

    def __init__(self, *parts: Size) -> None:
        self.parts = parts
        self.choices: tuple[Choice, ...] = tuple(dict.fromkeys(c for part in parts for c in choices_of(part)))
        self.capacities = tuple(int(largest(part)) for part in parts)

    def value(self, values: Mapping[Choice, Any]) -> Segments:
        """The parts' widths under the given option of each Choice."""
        return Segments(tuple(int(resolve(part, values)) for part in self.parts), self.capacities)

    def __repr__(self) -> str:
        return f"Concat({', '.join(map(repr, self.parts))})"


Size = int | Choice | Derived | Concat
Elastic = Choice | Derived | Concat


def choices_of(value: Any) -> tuple[Choice, ...]:
    """The Choices a size rests on: none for a plain value."""
    if isinstance(value, Choice):
        return (value,)
    return value.choices if isinstance(value, Derived | Concat) else ()


def largest(value: Any) -> Any:
    """The largest value a size can take."""
    if isinstance(value, Concat):
        return Segments(value.capacities, value.capacities)
    return max(value.options) if isinstance(value, Choice | Derived) else value


def resolve(value: Any, values: Mapping[Choice, Any]) -> Any:
    """A plain value from a value, Choice, Derived or Concat."""
    if isinstance(value, Choice):
        return values[value]
    return value.value(values) if isinstance(value, Derived | Concat) else value


def make_divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value`, at least one, and never below 0.9 times it (the MobileNet rounding)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _no_number(size: Any, *_: Any, **__: Any) -> Any:
    """Told where a size that is still open is used as a number: to a layer of torch.nn, in arithmetic, as a shape."""
    raise UserError(
        f"{short(size)} is decided network by network, so it is no number yet: give it to the layers of archsmith.elastic "
        "(elastic.Linear, elastic.Conv2d, ...; torch.nn's take none), write Derived(lambda w: 2 * w, width) for a size that "
        "follows from it, or OneOf for a decision between whole layers"
    )


def _no_tensor_size(kind: type, _: Any, __: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
    """The same where it is an argument of a function of torch, which asks by `__torch_function__`."""
    held = [*args, *(kwargs or {}).values()]
    held += [item for value in held if isinstance(value, list | tuple) for item in value]
    return _no_number(next((value for value in held if isinstance(value, kind)), kind.__name__))


for _kind in (Choice, Derived, Concat):
    setattr(_kind, "__torch_function__", classmethod(_no_tensor_size))  # noqa: B010
    for _operation in (
        *("index", "int", "float", "iter", "neg", "abs", "round", "lt", "le", "gt", "ge"),
        *(f"{side}{name}" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow") for side in ("", "r")),
    ):
        setattr(_kind, f"__{_operation}__", _no_number)


class Architecture(Mapping[str, Any]):
    """A frozen, hashable mapping from the name of each active decision to its option; `key` identifies it for good."""

    __slots__ = ("__dict__", "_hash", "_options")

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._hash: int | None = None

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._options.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self._options == other._options

    def __repr__(self) -> str:
        return f"Architecture({self._options})"

    def __reduce__(self) -> tuple[type[Architecture], tuple[dict[str, Any]]]:
        return Architecture, (self._options,)  # made anew: hashes of texts differ from process to process

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits of the canonical JSON: the same on every machine and in every restricted space."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()

    def to_json(self) -> str:
        """Canonical JSON: names sorted, no spaces."""
        return json.dumps(self._options, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes | Mapping[str, Any]) -> Architecture:
        """The architecture that `to_json` wrote; raises UserError on anything else. Whether a space holds it: `space.check`."""
        try:
            options = text if isinstance(text, Mapping) else json.loads(text)
            if not isinstance(options, Mapping):
                raise ValueError("not an object")
            found = Architecture({str(name): frozen(option) for name, option in options.items()})
            hash(found)  # options are plain values
            return found
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(f"not an architecture: {error}; expected a JSON object of decision names and options") from error


def _copied(arch: Mapping[str, Any]) -> dict[str, Any]:
    return dict(arch._options if isinstance(arch, Architecture) else arch)  # the Mapping's own way is slow


@dataclass(frozen=True)
class Gate:
    """True where the options of `names`, taken together, are among `accepted`."""

    names: tuple[str, ...]
    accepted: frozenset[tuple]

    def open(self, known: Mapping[str, Any]) -> bool:
        """Whether the decisions in `known` pass; a decision that is not there does not."""
        return tuple(known.get(n, INACTIVE_OPTION) for n in self.names) in self.accepted


class _Inactive:
    def __repr__(self) -> str:
        return "inactive"

    def __reduce__(self) -> str:  # compared by identity, so a copy or a pickle must come back as the one there is
        return "INACTIVE_OPTION"


INACTIVE_OPTION = _Inactive()
Clause = tuple[Gate, ...]  # all of them
Condition = tuple[Clause, ...]  # any of them; an unconditional decision has no entry


def simplify(clauses: Sequence[Clause]) -> Condition | None:
    """Any-of-all-of with implied clauses dropped; None where one clause always holds."""
    sets = list(dict.fromkeys(frozenset(clause) for clause in clauses))
    if frozenset() in sets:
        return None
    kept = [s for s in sets if not any(other < s for other in sets)]
    first: dict[frozenset[Gate], Clause] = {}
    for clause in clauses:
        first.setdefault(frozenset(clause), tuple(dict.fromkeys(clause)))
    return tuple(first[s] for s in kept)


@dataclass(frozen=True)
class SearchSpace(Mapping[str, tuple]):
    """Decision names -> options, with conditions. Closed under `restrict`: its draws are in the parent, same key and vector.

    `conditions[name]`: the decision exists where any clause holds. `universe` holds the options of the space this one was
    restricted from; vectors count in it. `predicates` are arbitrary further filters (`where`).
    """

    options: Mapping[str, tuple]
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    universe: Mapping[str, tuple] = field(default_factory=dict)
    predicates: tuple[Callable[[Architecture], bool], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.options, Mapping):
            raise UserError(
                f"SearchSpace({short(self.options)}): give a mapping of names to options: {{'width': (16, 24, 32)}}"
            )
        object.__setattr__(self, "options", {name: options_of(name, options) for name, options in self.options.items()})
        object.__setattr__(self, "universe", dict(self.universe) or dict(self.options))
        for name, options in self.options.items():
            if not options:
                raise UserError(f"decision '{name}' has no options; give at least one")
        for name, condition in self.conditions.items():
            for gate in (g for clause in condition for g in clause):
                for other in gate.names:
                    if other not in self.options:
                        raise UserError(f"decision '{name}' depends on '{other}', which the space does not hold")

    # -- mapping ------------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> tuple:
        return self.options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.options)

    def __len__(self) -> int:
        return len(self.options)

    def __hash__(self) -> int:
        return hash((tuple(self.options.items()), self.fingerprint))

    # -- what is active -----------------------------------------------------------------------------------------------

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names with what they depend on first, otherwise as declared. A circle is an error."""
        done: dict[str, None] = {}
        path: list[str] = []

        def visit(name: str) -> None:
            if name in done:
                return
            if name in path:
                raise UserError(f"decisions depend on each other in a circle: {' -> '.join([*path, name])}")
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
        return condition is None or any(all(gate.open(known) for gate in clause) for clause in condition)

    def _fill(self, pick: Callable[[str, tuple], Any]) -> Architecture:
        known: dict[str, Any] = {}
        for name, options, condition in self._plan:
            if condition is None or any(all(gate.open(known) for gate in clause) for clause in condition):
                known[name] = pick(name, options)
        return Architecture({name: known[name] for name in self.options if name in known})

    def _fill_around(self, known: Mapping[str, Any], rng: Random) -> Architecture:
        """What is known and allowed stays, the rest is uniform, top-down."""

        def pick(name: str, options: tuple) -> Any:
            if name in known and known[name] in options:
                return known[name]
            return options[int(rng.random() * len(options))]

        return self._fill(pick)

    # -- drawing ------------------------------------------------------------------------------------------------------

    def sample(self, rng: Random, *, uniform: bool = False) -> Architecture:
        """Each active decision uniform, top-down; `uniform=True`: every architecture equally likely."""
        for _ in range(_DRAWS if self.predicates else 1):
            arch = self._uniform(rng) if uniform else self._fill(lambda _, options: options[int(rng.random() * len(options))])
            if self._allowed(arch):
                return arch
        raise UserError(
            f"none of {_DRAWS:,} architectures passed the `where` predicate; loosen it or restrict the space instead"
        )

    def complete(self, partial: Mapping[str, Any], rng: Random) -> Architecture:
        """An architecture that keeps every given decision that is active, the others uniform, top-down."""
        given = {name: self._own(name, option) for name, option in partial.items()}
        for _ in range(_DRAWS if self.predicates else 1):
            arch = self._fill_around(given, rng)
            if self._allowed(arch):
                return arch
        raise UserError(f"no completion of {dict(partial)} passed the `where` predicate in {_DRAWS:,} tries")

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
        """The architecture of every last (-1) or first (0) option: the largest and smallest where options are ascending.

        `where` predicates are not asked.
        """
        return self._fill(lambda _, options: options[which])

    def neighbors(self, arch: Architecture) -> Iterator[Architecture]:
        """All architectures one decision away; decisions that this brings into being take their last option."""
        known = _copied(arch)
        for name, own in known.items():
            for option in self.options[name]:
                if option != own:
                    changed = {**known, name: option}
                    if name in self._gating:
                        neighbor = self._fill(lambda n, options, known=changed: known.get(n, options[-1]))  # type: ignore[misc]
                    else:
                        neighbor = Architecture(changed)
                    if self._allowed(neighbor):
                        yield neighbor

    @cached_property
    def _gating(self) -> frozenset[str]:
        """The decisions on which the existence of others depends."""
        gates = (gate for condition in self.conditions.values() for clause in condition for gate in clause)
        return frozenset(name for gate in gates for name in gate.names)

    def _allowed(self, arch: Architecture) -> bool:
        return all(predicate(arch) for predicate in self.predicates)

    # -- counting -----------------------------------------------------------------------------------------------------

    @cached_property
    def _components(self) -> list[list[str]]:
        """Groups of decisions that no condition links, in order: their counts multiply."""
        group = {name: {name} for name in self.order}
        for name in self.order:
            for other in {n for clause in self.conditions.get(name, ()) for gate in clause for n in gate.names}:
                if group[other] is not group[name]:
                    group[name] |= group[other]
                    for member in group[other]:
                        group[member] = group[name]
        position = {name: i for i, name in enumerate(self.order)}
        unique = {id(g): g for g in group.values()}
        return [sorted(g, key=position.__getitem__) for g in unique.values()]

    @cached_property
    def _lattices(self) -> list[_Lattice]:
        return [_Lattice(self, names) for names in self._components]

    @cached_property
    def size(self) -> int:
        """How many architectures there are, exactly; with a predicate by enumeration of at most a million."""
        total = math.prod(lattice.total for lattice in self._lattices)
        if self.predicates:
            if total > 1_000_000:
                raise UserError(
                    f"the size under a `where` predicate is found by enumeration, and {total:.3g} are too many for it"
                )
            return sum(1 for _ in self.architectures())
        return total

    def _uniform(self, rng: Random) -> Architecture:
        known: dict[str, Any] = {}
        for lattice in self._lattices:
            known.update(lattice.draw(rng))
        return Architecture({name: known[name] for name in self.options if name in known})

    # -- subsets ------------------------------------------------------------------------------------------------------

    def restrict(self, options: Mapping[str, Sequence[Any]]) -> SearchSpace:
        """The same space with fewer options for the named decisions; twice is once with what both name."""
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
        """The architectures that pass; found by rejection, so `restrict` is the better tool where it can say the same."""
        return SearchSpace(self.options, self.conditions, self.universe, (*self.predicates, predicate))

    def split(self, name: str, groups: Sequence[Sequence[Any]] | None = None) -> list[SearchSpace]:
        """One space per option of a decision that every architecture has, or per group of its options: a partition.

        UserError unless the groups hold every option once.
        """
        self._check_name(name)
        lattice = next(lattice for lattice, names in zip(self._lattices, self._components, strict=True) if name in names)
        if lattice.can_lack(name):
            raise UserError(
                f"'{name}' does not exist in every architecture, so its options do not partition the space; "
                f"split on what it depends on, or restrict that first: {sorted(set(self._parents(name)))}"
            )
        if groups is None:
            groups = [(option,) for option in self.options[name]]
        held = [self._own(name, option) for group in groups for option in group]
        if len(held) != len(self.options[name]) or set(held) != set(self.options[name]) or not all(map(len, groups)):
            raise UserError(f"'{name}' in groups {groups}: each of its options {self.options[name]} must be in exactly one")
        return [self.restrict({name: group}) for group in groups]

    def _parents(self, name: str) -> Iterator[str]:
        return (n for clause in self.conditions.get(name, ()) for gate in clause for n in gate.names)

    # -- membership ---------------------------------------------------------------------------------------------------

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
                    raise OutOfSpace(f"'{name}' does not exist under the other decisions of this architecture; leave it out")
                raise OutOfSpace(f"the architecture does not decide '{name}'; options are {self.options[name]}")
        if not isinstance(arch, Architecture) or any(own[name] is not option for name, option in arch.items()):
            arch = Architecture({name: own[name] for name in self.options if name in own})
        if not self._allowed(arch):
            raise OutOfSpace("the architecture does not pass the space's `where` predicate")
        return arch

    def _check_name(self, name: str) -> None:
        if name not in self.options:
            raise OutOfSpace(f"no decision named '{name}' among {len(self)}{did_you_mean(name, self.options)}")

    def _own(self, name: str, option: Any) -> Any:
        """The space's own option that equals the given one (3 for 3.0), so that one architecture never has two keys."""
        self._check_name(name)
        options = self.options[name]
        option = frozen(option)
        if option not in options:
            raise OutOfSpace(f"{name}={option!r} is not one of {options}")
        return options[options.index(option)]

    # -- vectors ------------------------------------------------------------------------------------------------------

    def encode(self, arch: Mapping[str, Any]) -> list[int]:
        """The index of each decision's option in the universe, INACTIVE (-1) where it does not exist."""
        known = _copied(arch)
        try:
            found = [places[known.pop(name)] if name in known else INACTIVE for name, places in self._places.items()]
        except (KeyError, TypeError):  # an option that is not there, or none that could be
            found, known = [], dict(arch)
        for name, option in known.items():
            if name not in self.universe or option not in self.universe[name]:
                self._own(name, option)  # says what is wrong
        return found

    @cached_property
    def _places(self) -> dict[str, dict[Any, int]]:
        return {name: {option: i for i, option in enumerate(options)} for name, options in self.universe.items()}

    def decode(self, vector: Sequence[float]) -> Architecture:
        """Total: any vector of the right length becomes an architecture (rounded, clipped, the nearest allowed option).

        Under a `where` predicate: the nearest architecture that passes, by a search outwards that is the same every time.
        """
        if len(vector) != len(self.universe):
            raise UserError(f"a vector of {len(vector)} entries for a space of {len(self.universe)} decisions")
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
                moved = _redraw(self, arch, rng, rng.sample(list(arch), distance))
                if self._allowed(moved):
                    return moved
        return self.sample(rng)

    # -- identity -----------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Options and conditions as plain JSON; predicates cannot be written."""
        conditions = {
            name: [
                [{"names": g.names, "accepted": sorted(map(list, g.accepted), key=repr)} for g in clause]
                for clause in condition
            ]
            for name, condition in self.conditions.items()
        }
        return {"options": {name: list(o) for name, o in self.options.items()}, "conditions": conditions}

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the universe and its conditions: archives of a space and of its restrictions go together."""
        whole = SearchSpace(self.universe, self.conditions).to_json()
        return hashlib.blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=8).hexdigest()


class _Lattice:
    """Counts the assignments of one component by a forward pass over its decisions, keeping only what later conditions read.

    layers[i] maps a state (options of the decisions still read later) to its edges (previous state, option, count).
    """

    def __init__(self, space: SearchSpace, names: list[str]) -> None:
        self._space, self._names = space, names
        reads = [set(space._parents(name)) for name in names]
        self._layers: list[dict[tuple, list[tuple[tuple, Any, int]]]] = []
        states: dict[tuple, int] = {(): 1}
        self._kept: list[tuple[str, ...]] = [()]
        for i, name in enumerate(names):
            later = set().union(*reads[i + 1 :]) if i + 1 < len(names) else set()
            keep = tuple(n for n in names[: i + 1] if n in later)
            edges: dict[tuple, list[tuple[tuple, Any, int]]] = {}
            for state, count in states.items():
                known = {n: o for n, o in zip(self._kept[-1], state, strict=True) if o is not INACTIVE_OPTION}
                if not space.is_active(name, known):
                    moves: list[tuple[Any, int]] = [(INACTIVE_OPTION, count)]
                elif name in keep:
                    moves = [(option, count) for option in space.options[name]]
                else:  # nothing later reads it: one edge for all its options
                    moves = [(None, count * len(space.options[name]))]
                for option, weight in moves:
                    values = {**dict(zip(self._kept[-1], state, strict=True)), name: option}
                    edges.setdefault(tuple(values[n] for n in keep), []).append((state, option, weight))
            self._layers.append(edges)
            self._kept.append(keep)
            states = {state: sum(w for *_, w in incoming) for state, incoming in edges.items()}
        self.total = sum(states.values())

    def draw(self, rng: Random) -> dict[str, Any]:
        """One assignment, each equally likely: backwards through the layers, edges weighted by their counts."""
        known: dict[str, Any] = {}
        state: tuple = ()
        for name, edges in zip(reversed(self._names), reversed(self._layers), strict=True):
            incoming = edges[state]
            ticket = rng.randrange(sum(w for *_, w in incoming))
            for previous, option, weight in incoming:  # noqa: B007  the last one drawn is used below
                ticket -= weight
                if ticket < 0:
                    break
            gating = name in self._kept[self._names.index(name) + 1]
            if option is not INACTIVE_OPTION:
                known[name] = option if gating else rng.choice(self._space.options[name])
            state = previous
        return known

    def can_lack(self, name: str) -> bool:
        """Whether some assignment does not hold this decision."""
        return any(o is INACTIVE_OPTION for edge in self._layers[self._names.index(name)].values() for _, o, _ in edge)


def mutate(
    space: SearchSpace, arch: Architecture, rng: Random, *, count: int = 1, probability: float | None = None
) -> Architecture:
    """Re-draws `count` decisions (or each with `probability`, at least one) to another option; the rest stays.

    Under a `where` predicate: the first of a thousand such draws that passes, else the architecture itself.
    """
    free = [name for name in arch if len(space.options[name]) > 1]
    for _ in range(_MOVES if space.predicates and free else bool(free)):
        if probability is None:
            chosen = rng.sample(free, min(count, len(free)))
        else:
            chosen = [name for name in free if rng.random() < probability] or [rng.choice(free)]
        moved = _redraw(space, arch, rng, chosen)
        if space._allowed(moved):
            return moved
    return arch


def _redraw(space: SearchSpace, arch: Architecture, rng: Random, names: Sequence[str]) -> Architecture:
    """The named decisions to another option where they have one, what that brings into being uniform; predicates not asked."""
    others = {name: [o for o in space.options[name] if o != arch[name]] for name in names}
    known = {**arch, **{name: rng.choice(options) for name, options in others.items() if options}}
    return space._fill_around(known, rng)


def crossover(space: SearchSpace, first: Architecture, second: Architecture, rng: Random) -> Architecture:
    """Uniform crossover: each decision from either parent that has it; under a `where` predicate as `mutate`, else `first`."""
    pool = {name: [parent[name] for parent in (first, second) if name in parent] for name in space.options}
    pool = {name: options for name, options in pool.items() if options}
    for _ in range(_MOVES if space.predicates else 1):
        child = space._fill_around({name: rng.choice(options) for name, options in pool.items()}, rng)
        if space._allowed(child):
            return child
    return first
