"""Train and evaluation mode of a network's modules, put back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def modes_kept(network: nn.Module) -> Iterator[nn.Module]:
    """Within it modes may be set at will; afterwards every module has its own again."""
    modes = {module: module.training for module in network.modules()}
    try:
        yield network
    finally:
        for module, mode in modes.items():
            module.training = mode
