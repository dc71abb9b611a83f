"""The method that a request names, with its settings."""

from __future__ import annotations

from archsmith.methods import auto, method
from archsmith.methods.protocol import Method, check
from archsmith.run.request import Request


def method_of(request: Request, space: str | None = None) -> Method:
    """Checked against the space and the task; UserError where it is unknown, or refuses them or its
    settings. `space`: what was asked for as `auto`, once it is decided."""
    space = request.space if space is None else space
    chosen = method(name_of(request, space), request.settings)
    check(chosen, space, request.task)
    return chosen


def name_of(request: Request, space: str | None = None) -> str:
    """Its name; what `auto` stands for in the space."""
    own = request.space if space is None else space
    return auto(own) if request.method == "auto" else request.method
