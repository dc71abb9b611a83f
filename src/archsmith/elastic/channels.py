"""The channels of a plain network: which widths change together, and what each tensor, layer and
held tensor of it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from archsmith.elastic.agreement import Groups, Layout
from archsmith.elastic.nodes import inputs, location
from archsmith.elastic.provenance import Source
from archsmith.elastic.tracing import called

UNFOLLOWED = "what it reads is not followed"
_IN_HEADS = (
    "torch's own attention keeps its width and its heads; written as Linear layers and "
    "F.scaled_dot_product_attention its heads could be decided"
)


@dataclass(frozen=True)
class Value:
    """A tensor in the graph whose axis `axis`, counted from the front, holds channels."""

    layout: Layout
    axis: int


HeldAxes = frozenset[tuple[str, int]]  # axes of tensors that modules hold: path, axis


@dataclass(frozen=True)
class Held:
    """What was made of tensors that the user's modules hold.

    `axes`: the axes of those that lie along each of its own. `written`: what was written of the
    length of some of them, and where.
    """

    axes: tuple[HeldAxes, ...]
    written: tuple[tuple[HeldAxes, Any, str], ...] = ()


@dataclass
class Channels:
    """The channels of a network: groups of those that change together, and what each layer reads
    and gives. Filled node by node (`following`), by a rule for each kind (`rules`).

    `places`: name of a view that divides a width -> which of its factors is the width from there
    on, 0 where it is not said.
    """

    model: nn.Module
    places: Mapping[str, int] = field(default_factory=dict)
    groups: Groups = field(default_factory=Groups)

    # path of a layer -> what it reads (None: what it gives), what it gives
    ends: dict[str, tuple[Layout | None, Layout | None]] = field(default_factory=dict)
    # path of a tensor that a module holds -> what lies along its axes
    tensors: dict[str, dict[int, Layout]] = field(default_factory=dict)
    # a whole number that a module holds -> the width that it is
    numbers: dict[Source, Layout] = field(default_factory=dict)
    # inner group of a gate, the one that it scales
    squeezes: list[tuple[int, int]] = field(default_factory=list)
    # what views by numbers say something of
    risky: list[Layout] = field(default_factory=list)
    # path of a module that is not elastic -> why; path of a tensor that must stay -> why
    plain: dict[str, str] = field(default_factory=dict)
    plain_tensors: dict[str, str] = field(default_factory=dict)

    # what nodes give: a tensor with channels, several of them, what was made of held tensors
    values: dict[fx.Node, Value] = field(default_factory=dict)
    several: dict[fx.Node, list[Value | None]] = field(default_factory=dict)
    held: dict[fx.Node, Held] = field(default_factory=dict)
    # name of a view that divides a width -> its group, its place among the factors, how many
    splits: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    # -- what was found ---------------------------------------------------------------------------

    def fixed(self) -> dict[str, str]:
        """Path of a layer -> why the width it gives stays."""
        reasons = dict(self.plain)
        for path, (_, given) in self.ends.items():
            for part in given or ():
                if (why := self.groups.reason(part.group)) is not None:
                    reasons.setdefault(path, why)
        return reasons

    def misled(self) -> dict[str, int]:
        """Views that divide a width whose place in it stays, where another may not."""
        return {
            name: place
            for name, (group, place, count) in self.splits.items()
            if place + 1 < count and self.groups.reason(group) is not None
        }

    def layouts(self) -> Iterable[tuple[fx.Node, Layout, int]]:
        """The tensors of the graph that hold channels: node, what it holds, and along which
        axis."""
        for node, value in self.values.items():
            yield node, value.layout, value.axis

    # -- what rules ask of a node -----------------------------------------------------------------

    def given(self, node: fx.Node) -> Value | None:
        """What the first tensor that a node reads holds."""
        read = inputs(node)
        return self.values.get(read[0]) if read else None

    def layer(self, node: fx.Node) -> nn.Module:
        """The module that a node calls."""
        return self.model.get_submodule(str(node.target))

    # -- what rules note --------------------------------------------------------------------------

    def fix(self, nodes: Iterable[fx.Node], why: str) -> None:
        """The widths of what these nodes give stay as they are."""
        for node in nodes:
            for value in (self.values.get(node), *self.several.get(node, ())):
                if value is not None:
                    self.groups.fix(value.layout, why)
            if (held := self.held.get(node)) is not None:
                for path in sorted({path for along in held.axes for path, _ in along}):
                    self.plain_tensors.setdefault(path, why)
                    for layout in self.tensors.get(path, {}).values():
                        self.groups.fix(layout, why)

    def unknown(self, node: fx.Node, why: str = "has no elastic form") -> None:
        """What goes into something that has no elastic form stays as it is."""
        what = f"{called(node)} ({location(node)})"
        if node.op == "call_module":
            path, layer = str(node.target), self.layer(node)
            what = f"{path} ({type(layer).__name__})"
            attention = isinstance(layer, nn.MultiheadAttention)
            self.plain[path] = _IN_HEADS if attention else f"it {why}"
        self.fix(node.all_input_nodes, f"{what} {why}")

    def elsewhere(self, node: fx.Node) -> None:
        """A layer reads its inputs along another axis than that of their channels."""
        self.fix(inputs(node), f"{node.target} reads it along another axis")

    def note(self, path: str, taken: Layout | None, given: Layout | None) -> None:
        """What a layer reads and gives; the same each time it is used."""
        before = self.ends.setdefault(path, (taken, given))
        for old, new in zip(before, (taken, given), strict=True):
            if old is not None and new is not None and old != new:
                self.groups.agree(old, new, path)

    def bind_tensor(self, path: str, axis: int, layout: Layout) -> None:
        """An axis of a tensor that a module holds lies along a layout."""
        before = self.tensors.setdefault(path, {}).setdefault(axis, layout)
        self.groups.agree(before, layout, path)
        if (why := self.plain_tensors.get(path)) is not None:
            self.groups.fix(layout, why)

    def bind_number(self, source: Source, layout: Layout, where: str) -> None:
        """A number that a module holds is the width of a layout."""
        self.groups.agree(self.numbers.setdefault(source, layout), layout, where)


Rule = Callable[[Channels, fx.Node], Value | None]  # what a node gives, as far as it is followed
SeveralRule = Callable[[Channels, fx.Node], list[Value | None]]  # of nodes that give several


def of_one(rule: Rule) -> Rule:
    """A rule for nodes that read one tensor; of others nothing is known."""

    def checked(channels: Channels, node: fx.Node) -> Value | None:
        if len(inputs(node)) == 1:
            return rule(channels, node)
        channels.unknown(node)
        return None

    return checked
