"""Shared weights by hand: one elastic network trained on the digits, then its networks judged
without training them again."""

from __future__ import annotations

from random import Random

import torch
from torch import nn
from torch.nn import functional as F

import archsmith
from archsmith.data import batches, load
from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Derived, Linear, Repeat
from archsmith.elastic.supernet import switching


def network() -> nn.Module:
    """Two widths, three depths: six networks."""
    width = Choice(8, 16, name="width")
    stem = [
        Conv2d(1, width, 3, padding=1, bias=False),
        BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
    blocks = [
        nn.Sequential(Conv2d(width, width, 3, padding=1, bias=False), BatchNorm2d(width), nn.ReLU())
        for _ in range(3)
    ]
    body = Repeat(*blocks, depth=Choice(1, 2, 3, name="depth"))
    # what flattening 2 x 2 pixels of `width` channels leaves
    pooled = Derived(lambda w: 4 * w, width)
    return nn.Sequential(*stem, body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), Linear(pooled, 10))


if __name__ == "__main__":
    torch.manual_seed(0)
    data, model, rng = load("digits"), network(), Random(0)
    # `active` for a loop: the model is read once
    space, switch = archsmith.search_space(model), switching(model)
    stream = batches(data.parts["train"], 64, data=data, seed=0, augment=None, device="cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for _, (images, labels) in zip(range(300), stream, strict=False):
        with switch(space.sample(rng)) as part:  # single path: one random network a step
            loss = F.cross_entropy(part(images), labels)
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()

    held_out = data.parts["val"]
    images, labels = next(
        batches(
            held_out, len(held_out), data=data, seed=0, augment=None, device="cpu", shuffle=False
        )
    )
    seen = [next(stream)[0] for _ in range(4)]
    for arch in space.architectures():
        # BatchNorm's statistics are its own
        plain = archsmith.calibrate(archsmith.extract(model, arch), seen).eval()
        with torch.no_grad():
            right = (plain(images).argmax(1) == labels).float().mean()
        print(f"{dict(arch)}: {right:.1%} right on validation images")
