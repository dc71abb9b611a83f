"""A model as a chain of blocks: nested sequences taken apart, each block with the decisions that it
rests on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from archsmith.elastic.blocks import Repeat
from archsmith.elastic.resize import Resize
from archsmith.elastic.structure import Structure
from archsmith.space import Architecture, Choice, choices_of, resolve


@dataclass(frozen=True)
class Block:
    """What is no sequence itself: its path in the model, and the decisions that it and all below it
    rest on."""

    path: str
    names: tuple[str, ...]

    def key(self, arch: Architecture) -> tuple[Any, ...]:
        """What those decisions are; None for one that the architecture does not have."""
        return tuple([arch._options.get(name) for name in self.names])


@dataclass(frozen=True)
class Chain:
    """A sequence (nn.Sequential or Repeat): its members, and how many of them, from the first on,
    there are."""

    members: tuple[Block | Chain, ...]
    depth: Any  # a number, or a size that rests on `deciding`
    deciding: tuple[tuple[Choice, str], ...]  # each Choice with the name of its decision

    def present(self, arch: Architecture) -> tuple[Block | Chain, ...]:
        """The members that the architecture has."""
        return self.members[
            : resolve(self.depth, {choice: arch[name] for choice, name in self.deciding})
        ]


def is_sequence(module: nn.Module) -> bool:
    """Whether it computes its members one after the other and nothing else."""
    return type(module) in (nn.Sequential, Repeat)


def chain_of(
    model: nn.Module,
    reading: Structure,
    *,
    apart: Callable[[nn.Module], bool] = is_sequence,
    path: str = "",
) -> Block | Chain:
    """The model's chain; a sequence is taken apart where `apart` says so, and all else is one
    block. A `Resize`, without which networks are shipped, is an empty chain."""
    if isinstance(model, Resize):
        return Chain((), 0, ())
    if not apart(model):
        return Block(path, _names_below(reading, path))
    members = model.named_children()
    depth = model.depth if isinstance(model, Repeat) else len(model)  # type: ignore[arg-type]
    return Chain(
        tuple(
            chain_of(child, reading, apart=apart, path=f"{path}.{name}" if path else name)
            for name, child in members
        ),
        depth,
        tuple((choice, reading.names[choice]) for choice in choices_of(depth)),
    )


def blocks_in(part: Block | Chain, arch: Architecture) -> Iterator[Block]:
    """The blocks of an architecture, in the order in which they are computed."""
    if isinstance(part, Block):
        yield part
        return
    for member in part.present(arch):
        yield from blocks_in(member, arch)


def every_block(
    part: Block | Chain, above: tuple[str, ...] = ()
) -> Iterator[tuple[Block, frozenset[str]]]:
    """Every block there can be, and the decisions that it and its being there rest on."""
    if isinstance(part, Block):
        yield part, frozenset((*part.names, *above))
        return
    for member in part.members:
        yield from every_block(member, (*above, *(name for _, name in part.deciding)))


def _names_below(reading: Structure, path: str) -> tuple[str, ...]:
    """The decisions that a module and everything below it rest on, in the order of the space."""
    names: set[str] = set()
    for place in reading.places:
        if not path or place.path == path or place.path.startswith(f"{path}."):
            sizes = [value for _, value in place.sizes] + [
                decision for decision, _ in place.gates.values()
            ]
            names |= {reading.names[choice] for size in sizes for choice in _choices(size)}
    return tuple(name for name in reading.space if name in names)


def _choices(value: Any) -> Iterator[Choice]:
    """Those that a size rests on, one within a tuple, list or dict too."""
    if isinstance(value, tuple | list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _choices(part)
    else:
        yield from choices_of(value)


def _is_layer(module: nn.Module) -> bool:
    """Whether it is a layer, not a block of several."""
    return next(module.children(), None) is None and not is_sequence(module)


def holds_blocks(module: nn.Module) -> bool:
    """Whether a sequence is its members; one of layers only is a block itself."""
    return is_sequence(module) and any(not _is_layer(child) for child in module.children())


def computes(module: nn.Module) -> bool:
    """Whether it does anything to its input."""
    return not isinstance(module, nn.Identity) and not (
        type(module) is nn.Sequential and len(module) == 0
    )


def kind_of(block: nn.Module, shape: tuple[int, ...]) -> str:
    """What tells one block from another for its time: input shape, classes, plain attributes,
    shapes of tensors; hashed."""
    words: list[Any] = [shape]
    for path, module in block.named_modules():
        own = {
            k: v
            for k, v in vars(module).items()
            if not k.startswith("_") and isinstance(v, int | float | str | tuple)
        }
        tensors = [tuple(p.shape) for p in module._parameters.values() if p is not None]
        words.append(
            (path, type(module).__qualname__, module.extra_repr(), sorted(own.items()), tensors)
        )
    return hashlib.blake2b(repr(words).encode(), digest_size=8).hexdigest()
