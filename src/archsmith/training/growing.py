"""Images that grow while a network trains (progressive resizing): the batch of a step, and a look
at a network on the way."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic.resize import resize_in
from archsmith.training.recipe import Recipe, side_at


def resized(x: Tensor, recipe: Recipe, progress: float) -> Tensor:
    """Square images (B, C, H, H) as large as they are at a share of the training; themselves once
    they are whole."""
    side = side_at(recipe, x.shape[-1], progress)
    if side == x.shape[-1]:
        return x
    small = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return small.contiguous(memory_format=torch.channels_last)


class Smaller(nn.Module):
    """A network that sees images as its training does at a share of it: what it learned on is what
    it can be judged by."""

    def __init__(self, network: nn.Module, recipe: Recipe, progress: float) -> None:
        super().__init__()
        self.network, self._recipe, self._progress = network, recipe, progress

    def forward(self, x: Tensor) -> Tensor:
        """Whole images -> the network's outputs for the smaller ones."""
        return self.network(resized(x, self._recipe, self._progress))


@torch.no_grad()
def takes(network: nn.Module, recipe: Recipe, x: Tensor) -> bool:
    """Whether the network can be given the smallest images of a training on x, with outputs of the
    same shape, and is faster on them: one that resizes them first is not."""
    network.eval()
    if resize_in(network) is not None:
        return False
    try:
        return network(resized(x, recipe, 0.0)).shape == network(x).shape
    except (RuntimeError, ValueError, AssertionError):  # made for one size
        return False
