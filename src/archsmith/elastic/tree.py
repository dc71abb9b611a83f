"""Supernets in a tree: each node shares weights within its part of the space; leaves inherit from
what was trained above them.

Zhao, Wang, Tian, Fonseca and Guo, "Few-Shot Neural Architecture Search" (ICML 2021): split the
space by a decision, give each part weights of its own that start as its parent's, estimate an
architecture by the leaf that holds it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from archsmith._internal.seeding import mix, seeded
from archsmith.elastic.copying import resetter
from archsmith.elastic.supernet import reachable
from archsmith.errors import OutOfSpace, UserError
from archsmith.space import Architecture, SearchSpace


@dataclass(eq=False)
class Node:
    """A part of the space and the weights its architectures share. `trained`: images that went
    forward and back for it alone, `macs`: their multiply-accumulates, where they were counted;
    `compared`: images that did so to find its split.

    `model` holds tensors of its own. Those that no architecture of `space` can use need no
    gradient, so an optimizer made for the model (`training.start`) has every live parameter once
    and no other.
    """

    space: SearchSpace
    model: nn.Module
    name: str = "root"
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    trained: int = 0
    macs: float = 0.0
    compared: int = 0

    def __post_init__(self) -> None:
        live = set(reachable(self.model, self.space))
        for name, parameter in self.model.named_parameters():
            if name not in live:  # what the user froze stays so
                parameter.requires_grad_(False)

    def walk(self) -> Iterator[Node]:
        """Itself and everything below, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def leaves(self) -> list[Node]:
        """The nodes below that have no children; itself where it has none."""
        return [node for node in self.walk() if not node.children]

    @property
    def cost(self) -> int:
        """Images that went forward and back for all of the tree from here down, the search for
        splits included."""
        return sum(node.trained + node.compared for node in self.walk())

    def holds(self, arch: Mapping[str, Any]) -> bool:
        """Whether the architecture is in its part of the space."""
        return self.space.contains(arch)


def grow(
    node: Node, parts: Mapping[str, SearchSpace], *, inherit: bool = True, seed: int = 0
) -> list[Node]:
    """Children of a node, one for each named part of its space; they start as the node is, bit for
    bit, or from fresh weights.

    The parts are to be disjoint and to cover the space; UserError where their sizes say that they
    are not, or where the node has children already. One part is the space itself: the same weights
    trained on, the control at equal cost.
    """
    if node.children:
        raise UserError(
            f"'{node.name}' has children already: "
            f"{', '.join(child.name for child in node.children)}"
        )
    if not parts:
        raise UserError(f"'{node.name}' in no parts: give at least one")
    if not node.space.predicates and not any(part.predicates for part in parts.values()):
        sizes = {name: part.size for name, part in parts.items()}
        if sum(sizes.values()) != node.space.size:
            raise UserError(
                f"parts of {sizes} architectures are no partition of the "
                f"{node.space.size} of '{node.name}'"
            )
    for name, part in parts.items():
        model = copy.deepcopy(node.model)
        if not inherit:
            with seeded(mix(seed, name)), torch.no_grad():
                for module in model.modules():
                    if reset := resetter(module):
                        reset()
        prefix = "" if node.parent is None else f"{node.name}/"
        node.children.append(Node(part, model, f"{prefix}{name}", node))
    return node.children


def by_decision(
    space: SearchSpace, name: str, groups: Sequence[Sequence[Any]] | None = None
) -> dict[str, SearchSpace]:
    """Parts for `grow`: one for each option of a decision, or for each group of its options."""
    parts = space.split(name, groups)
    return {f"{name}={'|'.join(map(str, part.options[name]))}": part for part in parts}


def by_predicate(
    space: SearchSpace, parts: Mapping[str, Callable[[Architecture], bool]]
) -> dict[str, SearchSpace]:
    """Parts for `grow` by what is true of an architecture; it is the caller's to see that exactly
    one is (`route` takes the first)."""
    return {name: space.where(predicate) for name, predicate in parts.items()}


def at_random(space: SearchSpace, count: int, seed: int = 0) -> dict[str, SearchSpace]:
    """Parts for `grow` that mean nothing: every architecture is in one of `count`, as a hash of it
    and the seed says."""

    def part(arch: Architecture) -> int:
        return mix(seed, arch.key) % count

    return {f"part {i}": space.where(lambda arch, i=i: part(arch) == i) for i in range(count)}  # type: ignore[misc]


def route(
    root: Node, arch: Architecture, canonical: Callable[[Architecture], Architecture] | None = None
) -> Node:
    """The deepest trained node that holds the architecture; the root where none below is trained.

    `canonical`: functionally equal architectures get one representative first. Without it a
    decision that changes nothing decides which weights judge (in the released estimates of the
    paper that moves one function by 20 points).
    """
    arch = form_of(root, arch, canonical)
    if not root.holds(arch):
        raise OutOfSpace(f"the architecture {arch.key} is not in '{root.name}'")
    best, node = root, root
    while (
        below := next((child for child in node.children if child.holds(arch)), None)
    ) is not None:
        node = below
        best = node if node.trained else best
    return best


def form_of(
    root: Node, arch: Architecture, canonical: Callable[[Architecture], Architecture] | None = None
) -> Architecture:
    """The representative of the architecture's function; itself where that is not in the tree's
    space."""
    form = arch if canonical is None else canonical(arch)
    return form if root.holds(form) else arch
