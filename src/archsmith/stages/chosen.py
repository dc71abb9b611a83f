"""The method a request names, and its settings, checked."""

from __future__ import annotations

from typing import Any

from archsmith.errors import UserError, did_you_mean
from archsmith.methods import METHODS, auto, page_of, settings_of
from archsmith.run.request import Request


def method_of(request: Request) -> Any:
    name = name_of(request)
    if name not in METHODS:
        raise UserError(f"no method '{name}'; there are auto, {', '.join(METHODS)}{did_you_mean(name, METHODS)}")
    return page_of(name)


def name_of(request: Request) -> str:
    return auto(request.space) if request.method == "auto" else request.method


def check(request: Request) -> None:
    """UserError for an unknown method, or a setting that it does not have."""
    known = settings_of(method_of(request))
    for name in request.settings:
        if name not in known:
            having = f"it has {', '.join(known)}" if known else "it has none"
            raise UserError(f"method '{name_of(request)}' has no setting '{name}'{did_you_mean(name, known)}; {having}")
        _fitting(name, request.settings[name], known[name].default)
    page = method_of(request)
    if hasattr(page, "refuse"):
        page.refuse(request.space, **request.settings)


def _fitting(name: str, value: Any, default: Any) -> None:
    """UserError for a value that is not of the kind of the default."""
    kinds: dict[type, tuple[tuple[type, ...], str]] = {
        bool: ((bool,), "true or false"), int: ((int,), "a whole number"), float: ((int, float), "a number"),
        str: ((str,), "a word"),
    }  # fmt: skip
    allowed, said = kinds.get(type(default), ((object,), ""))
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed and object not in allowed):
        raise UserError(f"--set {name}={value}: give {said}, as {name}={str(default).lower()}")
