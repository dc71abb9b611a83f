"""Around a fault of oneDNN: on processors without AVX-512 the weight gradient of some convolutions
overwrites memory.

Found with torch 2.13 (the oneDNN of its wheel), AVX2: convolutions of 1 x 1 with a stride, fewer
than 8 input channels, images channels last. The heap is torn ("corrupted size vs. prev_size"), and
the process dies, then or later. Contiguous images, bfloat16, groups and other kernels are right
(tests/_internal/test_onednn.py tries some in a process of its own).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_CHANNELS = 8  # input channels below which it happens


@contextlib.contextmanager
def sound(network: nn.Module) -> Iterator[None]:
    """Within it the gradients of a network are right: without oneDNN where its are not. Slower
    there, in small networks."""
    import torch

    if torch.backends.cpu.get_cpu_capability().startswith("AVX512") or not any(
        map(_affected, network.modules())
    ):
        yield
        return
    # `flags` would set all others too, which warns
    before = torch.backends.mkldnn.set_flags(_enabled=False)[0]
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(_enabled=before)


def _affected(module: nn.Module) -> bool:
    """Whether it is such a convolution, or an elastic one that can be."""
    stride = getattr(module, "stride", None)
    channels = getattr(module, "width_in", getattr(module, "in_channels", None))
    kernel = getattr(module, "kernel", getattr(module, "kernel_size", None))
    if channels is None or kernel is None or stride in (None, 1, (1, 1)):
        return False
    return min(_options(channels)) < _CHANNELS and any(
        side in (1, (1, 1)) for side in _options(kernel)
    )


def _options(size: Any) -> tuple[Any, ...]:
    """What a size of an elastic layer can be; of another itself."""
    options = getattr(size, "options", None)
    return tuple(options) if options is not None else (size,)
