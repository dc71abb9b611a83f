"""The method that a request names, with its settings."""

from __future__ import annotations

from archsmith.methods import auto, method
from archsmith.methods.protocol import Method, check
from archsmith.run.request import Request


def method_of(request: Request) -> Method:
    """Checked against the space and the task; UserError where it is unknown, or refuses them or its
    settings."""
    found = method(name_of(request), request.settings)
    check(found, request.space, request.task)
    return found


def name_of(request: Request) -> str:
    """Its name; what `auto` stands for."""
    return auto(request.space) if request.method == "auto" else request.method
