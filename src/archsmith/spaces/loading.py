"""From a name in the table of spaces, or a user's file and the name of its module, to an elastic network."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from torch import nn

from archsmith.errors import UserError, did_you_mean, shown
from archsmith.spaces.catalog.entry import Space

_TEXT = "__archsmith_text__"  # what of a user's file was run


def load(
    name_or_file: str,
    table: Mapping[str, Space],
    arguments: Mapping[str, int],
    device: str,
    asked: Mapping[str, int] = MappingProxyType({}),
    told: Mapping[str, Any] = MappingProxyType({}),
) -> nn.Module:
    """Builds on `device` ("meta" or "cpu"); a function or class gets those `arguments` that its signature has.

    It must have those that are `asked` for, and is `told` what its signature names (`**kwargs` does not).
    """
    if name_or_file in table:
        module, attribute = table[name_or_file].network.split(":")
        make = getattr(importlib.import_module(module), attribute)
    elif ".py" in name_or_file or ":" in name_or_file:
        make = _from_file(name_or_file)
    else:
        raise UserError(
            f"unknown space '{shown(name_or_file)}'{did_you_mean(name_or_file, table)}; known are {', '.join(table)}, "
            "or give your own as my_model.py:Net"
        )
    passed = _accepted(make, {**arguments, **asked}, name_or_file)
    passed |= {name: value for name, value in told.items() if name in inspect.signature(make).parameters}
    if refused := [name for name in asked if name not in passed]:
        raise UserError(f"{name_or_file} has no parameter {', '.join(refused)}; leave it out, or give one that has it")
    with _answered(f"{name_or_file}: building it with {passed} failed"), torch.device(device):
        model = make(**passed)
    if not isinstance(model, nn.Module):
        raise UserError(f"{name_or_file} gives a {type(model).__name__}; it must be, or return, a torch.nn.Module")
    return model


@contextmanager
def _answered(what: str) -> Iterator[None]:
    """Whatever a user's code raises, `sys.exit` and exceptions of its own included, is a UserError."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise UserError(
            f"{what}: it calls sys.exit({shown(error.code)}); keep that under `if __name__ == '__main__':`"
        ) from error
    except BaseException as error:
        raise UserError(f"{what}: {type(error).__name__}: {shown(error, 300)}") from error


def _from_file(name_or_file: str) -> Callable[..., Any]:
    file, _, attribute = name_or_file.rpartition(":") if ":" in name_or_file else (name_or_file, "", "")
    if not attribute:
        raise UserError(f"'{name_or_file}' does not say which module to build; write it as {file or name_or_file}:Net")
    try:
        path = Path(file).expanduser()
    except RuntimeError as error:
        raise UserError(f"--space {shown(name_or_file)}: there is no such user's home; give the whole path") from error
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
        with _answered(f"{path} cannot be run"):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    finally:
        with suppress(ValueError):  # the file may have changed it
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
