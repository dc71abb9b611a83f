"""torch's global generator, borrowed: code that draws from it inside `seeded` is reproducible and
leaves no trace outside."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def mix(*parts: object) -> int:
    """A 63-bit seed from several values: the same on every machine, unrelated for neighboring
    values."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Within it the global generators (the CPU's, and the device's where it is an accelerator)
    start from `seed`; afterwards they go on as if nothing had happened. Layers such as Dropout take
    no generator, so theirs is borrowed (2 us on the CPU).
    """
    import torch

    device = torch.device(device)
    cpu = torch.default_generator
    before = cpu.get_state()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        cpu.manual_seed(seed)
        if cuda is not None:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
    finally:
        cpu.set_state(before)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)
