"""A user's own Python file: run once as a module, and what it defines by name. Whatever it raises
is a UserError."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from archsmith.errors import UserError, did_you_mean, shown

_TEXT = "__archsmith_text__"  # what of a user's file was run
PREFIX = "archsmith_user_"  # of the names of such modules


def is_file(name: str) -> bool:
    """Whether a name is one of a user's own file: "my.py:Mine", or what was perhaps meant as
    one."""
    return ".py" in name


@contextmanager
def answered(what: str) -> Iterator[None]:
    """Whatever a user's code raises, `sys.exit` and exceptions of its own included, is a
    UserError."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise UserError(
            f"{what}: it calls sys.exit({shown(error.code)}); keep that under `if __name__ == "
            f"'__main__':`"
        ) from error
    except BaseException as error:
        raise UserError(f"{what}: {type(error).__name__}: {shown(error, 300)}") from error


def attribute_of(name: str, kind: str) -> Any:
    """What "my.py:Mine" defines; `kind`: what it is to be, for messages. UserError where file or
    attribute are not there."""
    file, _, attribute = name.rpartition(":") if ":" in name else (name, "", "")
    if not attribute:
        raise UserError(
            f"'{shown(name)}' does not say which {kind} of the file; write it as "
            f"{shown(file or name)}:NAME"
        )
    try:
        path = Path(file).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{kind} {shown(name)}: there is no such user's home; give the whole path"
        ) from error
    if not path.is_file():
        raise UserError(
            f"no file '{shown(path)}' for the {kind} '{shown(name)}'; give the path of a Python "
            f"file and a name: my.py:NAME"
        )
    module = execute(path)
    if not hasattr(module, attribute):
        own = ((key, value) for key, value in vars(module).items() if callable(value))
        known = sorted(
            key for key, value in own if getattr(value, "__module__", "") == module.__name__
        )
        raise UserError(
            f"{path} has no '{attribute}'{did_you_mean(attribute, known)}; "
            f"it defines {', '.join(known) or 'no class or function'}"
        )
    return getattr(module, attribute)


def execute(path: Path) -> ModuleType:
    """Runs the file as a module, once unless it has changed, its folder importable meanwhile.

    Pickles of its classes need it in sys.modules, and the classes to be the same ones.
    """
    text, known = path.read_bytes(), sys.modules.get(f"{PREFIX}{path.stem}")
    if (
        known is not None
        and known.__file__ == str(path.resolve())
        and getattr(known, _TEXT, None) == text
    ):
        return known
    spec = importlib.util.spec_from_file_location(f"{PREFIX}{path.stem}", path.resolve())
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be loaded as Python; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    setattr(module, _TEXT, text)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        with answered(f"{path} cannot be run"):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    finally:
        with suppress(ValueError):  # the file may have changed it
            sys.path.remove(str(path.resolve().parent))
    return module
