"""A first convolution that begins with what images are made of: filters that whiten their
patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic.resize import resize_in

_IMAGES = 512  # whose patches are looked at, at most
_PATCHES = 100_000
_LARGEST = 7  # kernel
_FLOOR = 1e-2  # of the largest variance: directions with less are amplified no further


@torch.no_grad()
def whiten(module: nn.Module, x: Tensor) -> bool:
    """Gives the first convolution filters that decorrelate the patches of x (B, C, H, W), training
    images; says whether it did.

    Filter by filter: the principal directions of the patches with unit variance, the largest first,
    each beside its opposite, as what follows cuts off one side (K. Jordan, 94% on CIFAR-10 in 3.29
    seconds on a single GPU, 2024; there they are kept fixed, here they are where training begins).
    Filters beyond twice the number of directions stay as they were drawn. Networks whose first
    convolution is of another kind (groups, strides or kernels that cut patches, as Transformers do)
    are left alone.
    """
    resize = resize_in(module)
    x = x[:_IMAGES] if resize is None else resize(x[:_IMAGES])  # as the convolution sees them
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d)), None)
    if (
        first is None
        or first.groups != 1
        or max(first.kernel_size) > _LARGEST
        or max(first.dilation) > 1
        or first.in_channels != x.shape[1]
        or min(x.shape[2:]) < max(first.kernel_size)
    ):
        return False
    patches = (
        F.unfold(x.float(), first.kernel_size).transpose(1, 2).reshape(-1, first.weight[0].numel())
    )
    patches = patches[:: max(1, len(patches) // _PATCHES)].double()
    if len(patches) <= patches.shape[1]:
        return False
    # the smallest first
    values, vectors = torch.linalg.eigh(torch.cov((patches - patches.mean(0)).T))
    if not values[-1] > 0:
        return False
    scaled = (vectors / (values.clamp(min=0) + _FLOOR * values[-1]).sqrt()).T.flip(0)
    filters = torch.stack([scaled, -scaled], dim=1).flatten(0, 1)[: first.out_channels]
    first.weight[: len(filters)] = filters.view(-1, *first.weight.shape[1:]).to(first.weight)
    if first.bias is not None:
        first.bias[: len(filters)] = 0.0
    return True
