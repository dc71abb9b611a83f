"""Groups of channels that only change together: joined, made of one another, or kept as they
are."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Of a layout: the channels of a group, each `repeat` features wide."""

    group: int
    repeat: int = 1


Layout = tuple[Part, ...]  # one part, or those of a concatenation in order


class Groups:
    """Groups of channels by their numbers. Two that are joined are one; one may turn out to be made
    of others, as features are of heads."""

    def __init__(self) -> None:
        self._above: list[int] = []  # group -> the one that it was joined to
        self._sizes: list[int] = []
        self._units: list[int] = []  # widths are multiples of it
        self._names: list[str] = []  # the layer that gives it first
        self._reasons: list[str | None] = []  # why its width stays
        self._made_of: dict[int, Layout] = {}

    def new(self, size: int, name: str, reason: str | None = None) -> int:
        """A group of so many channels."""
        self._above.append(len(self._above))
        self._sizes.append(size)
        self._units.append(1)
        self._names.append(name)
        self._reasons.append(reason)
        return len(self._above) - 1

    def root(self, group: int) -> int:
        """What it was joined to in the end."""
        while self._above[group] != group:
            group = self._above[group]
        return group

    @property
    def roots(self) -> list[int]:
        """The groups that are not made of others, in order of their first layers."""
        return [
            g for g in range(len(self._above)) if self._above[g] == g and g not in self._made_of
        ]

    def opened(self, layout: Layout) -> Layout:
        """The same by groups that are made of no others."""
        parts: list[Part] = []
        for part in layout:
            root = self.root(part.group)
            if root in self._made_of:
                inner = self.opened(self._made_of[root])
                parts += [Part(p.group, p.repeat * part.repeat) for p in inner]
            else:
                parts.append(Part(root, part.repeat))
        return tuple(parts)

    def size(self, group: int) -> int:
        """Its channels."""
        return self._sizes[self.root(group)]

    def total(self, layout: Layout) -> int:
        """The features of a layout."""
        return sum(self.size(part.group) * part.repeat for part in layout)

    def numbers(self, layout: Layout) -> Counter[int]:
        """What a width is as a number, whatever the order: group -> how many times its channels."""
        counts: Counter[int] = Counter()
        for part in self.opened(layout):
            counts[part.group] += part.repeat
        return counts

    def pieces(self, layout: Layout, count: int) -> list[Layout] | None:
        """A layout cut between its parts into so many of equal width; None where it cannot be."""
        parts, each = list(self.opened(layout)), self.total(layout) // count
        pieces: list[Layout] = []
        while parts:
            piece = self._as_many(each, parts)
            if not piece:
                return None
            pieces.append(tuple(piece))
            del parts[: len(piece)]
        return pieces if len(pieces) == count else None

    def unit(self, group: int) -> int:
        """What its widths are multiples of."""
        return self._units[self.root(group)]

    def name(self, group: int) -> str:
        """The first layer that gives it."""
        return self._names[self.root(group)]

    def reason(self, group: int) -> str | None:
        """Why its width stays; None where nothing keeps it."""
        parts = self.opened((Part(group),))
        return next((why for p in parts if (why := self._reasons[p.group]) is not None), None)

    def fix(self, layout: Layout, why: str) -> None:
        """Their widths stay as they are."""
        for part in self.opened(layout):
            self._reasons[part.group] = self._reasons[part.group] or why

    def multiples(self, layout: Layout, unit: int, where: str) -> bool:
        """From now on a width is a multiple of `unit` features; False where it cannot be, and
        stays."""
        parts = self.opened(layout)
        if len(parts) == 1 and parts[0].repeat == 1:
            group = parts[0].group
            self._units[group] = math.lcm(self._units[group], unit)
            return True
        if unit == 1 or all(part.repeat % unit == 0 for part in parts):
            return True
        self.fix(parts, f"{where} takes it in groups of {unit}")
        return False

    def agree(self, one: Layout, other: Layout, where: str) -> None:
        """Two layouts of one tensor."""
        first, second = list(self.opened(one)), list(self.opened(other))
        while first and second:
            a, b = first.pop(0), second.pop(0)
            sizes = self.total((a,)), self.total((b,))
            if sizes[0] == sizes[1]:
                met = self._meet(a, b, where)
            else:
                whole, rest = (a, [b, *second]) if sizes[0] > sizes[1] else (b, [a, *first])
                inner = self._as_many(max(sizes), rest)
                met = whole.repeat == 1 and bool(inner)
                met = met and self._becomes(whole.group, tuple(inner), where)
                taken = second if sizes[0] > sizes[1] else first
                del taken[: max(0, len(inner) - 1)]
            if not met:
                for layout in (one, other):
                    self.fix(layout, f"{where} joins it with channels of another order")
                return
            first, second = list(self.opened(tuple(first))), list(self.opened(tuple(second)))
        if first or second:
            for layout in (one, other):
                self.fix(layout, f"{where} joins it with another width")

    def _as_many(self, size: int, parts: list[Part]) -> list[Part]:
        """The first of the parts that are as many features together; none where there are no
        such."""
        for count in range(1, len(parts) + 1):
            if self.total(tuple(parts[:count])) == size:
                return parts[:count]
        return []

    def _meet(self, a: Part, b: Part, where: str) -> bool:
        """Two parts of as many features are one from now on."""
        if a.repeat == b.repeat:
            return self._join(a.group, b.group)
        few, many = (a, b) if a.repeat < b.repeat else (b, a)
        if many.repeat % few.repeat:
            return False
        return self._becomes(few.group, (Part(many.group, many.repeat // few.repeat),), where)

    def _join(self, one: int, other: int) -> bool:
        first, second = sorted((self.root(one), self.root(other)))
        if first != second:
            self._above[second] = first
            self._units[first] = math.lcm(self._units[first], self._units[second])
            self._reasons[first] = self._reasons[first] or self._reasons[second]
        return True

    def becomes(self, group: int, layout: Layout, where: str) -> bool:
        """A group turns out to be made of these; False where it cannot, and both stay."""
        if self._becomes(group, layout, where):
            return True
        for part in ((Part(group),), layout):
            self.fix(part, f"{where} divides it otherwise than what reads it")
        return False

    def _becomes(self, group: int, layout: Layout, where: str) -> bool:
        root, parts = self.root(group), self.opened(layout)
        unit = self._units[root]
        if root in self._made_of or any(part.group == root for part in parts):
            return False
        if len(parts) > 1 and unit > 1:
            return False
        if unit > 1 and parts[0].repeat % unit:
            if parts[0].repeat > 1:
                return False
            self.multiples(parts, unit, where)
        if (why := self._reasons[root]) is not None:
            self.fix(parts, why)
        self._made_of[root] = parts
        return True
