"""From a name in the table of spaces, or a user's file and the name of its module, to an elastic network."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from torch import nn

from archsmith.errors import UserError, did_you_mean

_TEXT = "__archsmith_text__"  # what of a user's file was run


def load(
    name_or_file: str,
    table: Mapping[str, str],
    arguments: Mapping[str, int],
    device: str,
    asked: Mapping[str, int] = MappingProxyType({}),
) -> nn.Module:
    """Builds on `device` ("meta" or "cpu"); a function or class gets those `arguments` that its signature has.

    It must have those that are `asked` for.
    """
    if name_or_file in table:
        module, attribute = table[name_or_file].split(":")
        make = getattr(importlib.import_module(module), attribute)
    elif ".py" in name_or_file or ":" in name_or_file:
        make = _from_file(name_or_file)
    else:
        raise UserError(
            f"unknown space '{name_or_file}'{did_you_mean(name_or_file, table)}; known are {', '.join(table)}, "
            "or give your own as my_model.py:Net"
        )
    passed = _accepted(make, {**arguments, **asked}, name_or_file)
    if refused := [name for name in asked if name not in passed]:
        raise UserError(f"{name_or_file} has no parameter {', '.join(refused)}; leave it out, or give one that has it")
    try:
        with torch.device(device):
            model = make(**passed)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name_or_file}: building it with {passed} failed: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"{name_or_file} gives a {type(model).__name__}; it must be, or return, a torch.nn.Module")
    return model


def _from_file(name_or_file: str) -> Callable[..., Any]:
    file, _, attribute = name_or_file.rpartition(":") if ":" in name_or_file else (name_or_file, "", "")
    if not attribute:
        raise UserError(f"'{name_or_file}' does not say which module to build; write it as {file or name_or_file}:Net")
    path = Path(file).expanduser()
    if not path.is_file():
        raise UserError(
            f"no file '{path}' for the space '{name_or_file}'; give the path of a Python file and a name: my_model.py:Net"
        )
    module = execute(path)
    if not hasattr(module, attribute):
        own = ((name, value) for name, value in vars(module).items() if callable(value))
        known = sorted(name for name, value in own if getattr(value, "__module__", "") == module.__name__)
        raise UserError(
            f"{path} has no '{attribute}'{did_you_mean(attribute, known)}; "
            f"it defines {', '.join(known) or 'no class or function'}"
        )
    make = getattr(module, attribute)
    if not callable(make):
        raise UserError(
            f"{name_or_file} is a {type(make).__name__}; it must be a class or function that makes a torch.nn.Module"
        )
    return make


def execute(path: Path) -> ModuleType:
    """Runs the file as a module, once unless it has changed, its folder importable meanwhile.

    Pickles of its classes need it in sys.modules, and the classes to be the same ones.
    """
    text, known = path.read_bytes(), sys.modules.get(f"archsmith_user_{path.stem}")
    if known is not None and known.__file__ == str(path.resolve()) and getattr(known, _TEXT, None) == text:
        return known
    spec = importlib.util.spec_from_file_location(f"archsmith_user_{path.stem}", path.resolve())
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be loaded as Python; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    setattr(module, _TEXT, text)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise UserError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _accepted(make: Callable[..., Any], arguments: Mapping[str, int], name: str) -> dict[str, int]:
    """Those of the arguments that the signature has; anything else it needs without a default is an error."""
    parameters = inspect.signature(make).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(arguments)
    keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = [p for p in parameters if p.kind in keyword]
    if missing := [p.name for p in named if p.default is p.empty and p.name not in arguments]:
        raise UserError(f"{name} needs {', '.join(missing)}; only {', '.join(arguments)} are passed: give the others defaults")
    return {p.name: arguments[p.name] for p in named if p.name in arguments}
