"""The size space of NATS-Bench (Dong et al., TPAMI 2021): five widths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from archsmith.errors import UserError
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces.catalog.entry import Format, Space

NATS_WIDTHS = tuple(range(8, 65, 8))
# Dong et al., TPAMI 2021: 32,768 networks
NATS_SIZE = SearchSpace({f"width{i}": NATS_WIDTHS for i in range(1, 6)})


def nats_size_text(arch: Mapping[str, Any]) -> str:
    """The publishers' string `8:16:24:32:40`."""
    return ":".join(str(arch[name]) for name in NATS_SIZE)


def nats_size_arch(text: str) -> Architecture:
    """The network of the publishers' string; UserError where it is none."""
    widths = text.strip().split(":")
    if len(widths) != len(NATS_SIZE) or not set(widths) <= {str(w) for w in NATS_WIDTHS}:
        raise UserError(
            f"{text!r} is no network of the size space; write five widths such as "
            f"8:16:24:32:40, of {NATS_WIDTHS}"
        )
    return Architecture(dict(zip(NATS_SIZE, map(int, widths), strict=True)))


SPACE = Space(
    "nats-size",
    "archsmith.spaces.nats:nats_size",
    "one good cell, its channels chosen in five places (Dong et al., TPAMI 2021)",
    "32,768",
    images="small images, made for 32 pixels",
    formats=(
        Format(
            "string of NATS-Bench's sizes",
            nats_size_text,
            nats_size_arch,
            lambda text: re.fullmatch(r"\s*\d+(:\d+)+\s*", text) is not None,
        ),
    ),
)
