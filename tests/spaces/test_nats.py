"""The NATS-Bench size space: its widths, and counts by hand of networks whose cells change
width."""

from __future__ import annotations

import torch

from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.cost import params
from archsmith.spaces.catalog.nats import NATS_SIZE, nats_size_arch
from archsmith.spaces.nats import nats_size

with torch.device("meta"):
    MODEL = nats_size()


def by_hand(widths: tuple[int, ...], classes: int = 10) -> int:
    """Parameters: stem, three cells of five convolutions, two residual blocks, head; a skip
    projects where widths differ."""
    w1, w2, w3, w4, w5 = widths

    def conv(a: int, b: int, kernel: int = 3) -> int:
        return a * b * kernel**2 + 2 * b

    def cell(a: int, b: int) -> int:
        return 2 * conv(a, b) + 3 * conv(b, b) + (conv(a, b, 1) if a != b else 0)

    def residual(a: int, b: int) -> int:
        return conv(a, b) + conv(b, b) + a * b

    head = 2 * w5 + classes * w5 + classes
    return (
        conv(3, w1)
        + cell(w1, w1)
        + residual(w1, w2)
        + cell(w2, w3)
        + residual(w3, w4)
        + cell(w4, w5)
        + head
    )


def test_its_space_is_the_published_one() -> None:
    space = search_space(MODEL)
    assert dict(space) == dict(NATS_SIZE) and not space.conditions and space.size == 32768


def test_counts_by_hand() -> None:
    for text in ("8:8:8:8:8", "64:64:64:64:64", "8:16:24:32:40", "64:8:8:24:24"):
        plain = extract(MODEL, nats_size_arch(text), "fresh", device="meta")
        assert params(plain) == by_hand(tuple(map(int, text.split(":")))), text


def test_a_skip_connection_projects_only_between_different_widths() -> None:
    plain = extract(MODEL, nats_size_arch("8:16:16:24:32"), "fresh", device="meta")
    assert isinstance(plain.cell2.edge0to3, torch.nn.Identity) and isinstance(
        plain.cell1.edge0to3, torch.nn.Identity
    )
    assert [name for name, _ in plain.cell3.edge0to3.named_children()] == ["conv", "norm"]
