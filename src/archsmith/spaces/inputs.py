"""What a built-in network is asked for: classes, channels, pixels."""

from __future__ import annotations

from archsmith.errors import UserError


def check_inputs(classes: int, channels: int, size: int, least: int = 4) -> None:
    """UserError unless all three are whole numbers, `size` at least `least`."""
    for what, value, lowest in (
        ("classes", classes, 1),
        ("channels", channels, 1),
        ("size", size, least),
    ):
        if not isinstance(value, int) or value < lowest:
            raise UserError(f"{what}={value!r} is not a whole number of at least {lowest}")
