"""From a name in the table of spaces, or a user's file and the name of its module, to an elastic
network."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx, nn

from archsmith._internal.registry import load_named, plugins
from archsmith._internal.user_code import answered, attribute_of
from archsmith.elastic.conversion import elastic
from archsmith.elastic.structure import read
from archsmith.elastic.tracing import traced
from archsmith.errors import UserError, did_you_mean, shown
from archsmith.spaces.catalog.entry import Space


def load(
    name_or_file: str,
    table: Mapping[str, Space],
    arguments: Mapping[str, int],
    device: str,
    asked: Mapping[str, int] = MappingProxyType({}),
    hints: Mapping[str, Any] = MappingProxyType({}),
) -> nn.Module:
    """Builds on `device` ("meta" or "cpu"); a function or class gets those `arguments` that its
    signature has.

    It must have those that are `asked` for, and gets those `hints` that its signature names
    (`**kwargs` names none).
    """
    if name_or_file in table:
        module, attribute = table[name_or_file].network.split(":")
        make = getattr(importlib.import_module(module), attribute)
    elif ".py" in name_or_file or ":" in name_or_file:
        make = _from_file(name_or_file)
    elif name_or_file in plugins("space"):
        make = load_named("space", name_or_file, {})
    else:
        known = [*table, *plugins("space")]
        raise UserError(
            f"unknown space '{shown(name_or_file)}'{did_you_mean(name_or_file, known)}; known are "
            f"{', '.join(known)}, "
            "or give your own as my_model.py:Net"
        )
    passed = _accepted(make, {**arguments, **asked}, name_or_file)
    passed |= {
        name: value for name, value in hints.items() if name in inspect.signature(make).parameters
    }
    if refused := [name for name in asked if name not in passed]:
        raise UserError(
            f"{name_or_file} has no parameter {', '.join(refused)}; leave it out, or "
            f"give one that has it"
        )
    with answered(f"{name_or_file}: building it with {passed} failed"), torch.device(device):
        model = make(**passed)
    if not isinstance(model, nn.Module):
        raise UserError(
            f"{name_or_file} gives a {type(model).__name__}; it must be, or return, a "
            f"torch.nn.Module"
        )
    return model if read(model).space else made_elastic(model, name_or_file, arguments)


def made_elastic(model: nn.Module, name: str, shape: Mapping[str, int]) -> nn.Module:
    """A plain network with decisions of its own (`elastic`), and as many outputs as there are
    `classes`: where it has others, its last layer is a new one."""
    side, first = shape["size"], next(model.parameters(), torch.zeros(0))
    example = torch.zeros(2, shape["channels"], side, side, device=first.device)
    try:
        last = outputs_of(model, example)
        if last is not None and last[1] != shape["classes"]:
            renewed(model, last[0], shape["classes"])
        return elastic(model, example)
    except UserError as error:
        raise UserError(
            f"{name} declares no Choice, and cannot be made elastic: {error}"
        ) from error


def outputs_of(model: nn.Module, example: Tensor) -> tuple[str, int] | None:
    """The path of the linear layer that gives what a network gives, and how many numbers that is;
    None where no such layer is last."""
    node = next(node for node in traced(model, example).nodes if node.op == "output").args[0]
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    layer = model.get_submodule(str(node.target))
    return (str(node.target), layer.out_features) if isinstance(layer, nn.Linear) else None


def renewed(model: nn.Module, path: str, outputs: int) -> None:
    """Puts a new linear layer of so many outputs in the place of one."""
    above, _, name = path.rpartition(".")
    old = model.get_submodule(path)
    assert isinstance(old, nn.Linear)
    new = nn.Linear(old.in_features, outputs, old.bias is not None, device=old.weight.device)
    setattr(model.get_submodule(above), name, new)


def _from_file(name_or_file: str) -> Callable[..., Any]:
    make = attribute_of(name_or_file, "space")
    if not callable(make):
        raise UserError(
            f"{name_or_file} is a {type(make).__name__}; it must be a class or function that makes "
            f"a torch.nn.Module"
        )
    return make


def _accepted(make: Callable[..., Any], arguments: Mapping[str, int], name: str) -> dict[str, int]:
    """Those of the arguments that the signature has; anything else it needs without a default is an
    error."""
    parameters = inspect.signature(make).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(arguments)
    keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = [p for p in parameters if p.kind in keyword]
    if missing := [p.name for p in named if p.default is p.empty and p.name not in arguments]:
        raise UserError(
            f"{name} needs {', '.join(missing)}; only {', '.join(arguments)} are "
            f"passed: give the others defaults"
        )
    return {p.name: arguments[p.name] for p in named if p.name in arguments}
