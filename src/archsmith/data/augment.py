"""Augmentation as batched tensor operations on the device of the images, every draw from a passed
generator.

The draws are made on the CPU, a few numbers an image, so that a seed gives the same pictures on
every device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from archsmith.errors import UserError

# RandAugment (Cubuk et al. 2020, table 6) without Equalize, which needs a histogram of every image
GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
COLOR = (
    "brightness",
    "contrast",
    "saturation",
    "sharpness",
    "solarize",
    "posterize",
    "autocontrast",
)
LEVELS = ("auto", "none", "mild", "strong")
_OFTEN, _FEW = 75.0, 1000  # passes from which on the strong one is better, for up to so many images


@dataclass(frozen=True)
class Augment:
    """What is done to a training image; the defaults do nothing.

    crop: shifted by up to so many pixels, the border mirrored. flip: left and right swapped in half
    of the images. zoom: the smallest share of the area that a random resized crop keeps, aspect 3/4
    to 4/3 (1 = off). rotate: up to so many degrees either way. operations: RandAugment-like
    operations an image, strength in 0..1. mixup: alpha of Beta(alpha, alpha) (Zhang et al. 2018),
    labels become soft. erase: probability of a rectangle of 2 to 20 % of the area set to the
    training mean (Zhong et al. 2020).
    """

    crop: int = 0
    flip: bool = False
    zoom: float = 1.0
    rotate: float = 0.0
    operations: int = 0
    strength: float = 0.5
    mixup: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        limits = {
            "crop": 1e9,
            "zoom": 1,
            "rotate": 180,
            "operations": 10,
            "strength": 1,
            "mixup": 100,
            "erase": 1,
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in limits and not 0 <= value <= limits[field.name]:
                raise UserError(
                    f"augmentation {field.name}={value}: allowed is 0 to {limits[field.name]:g}."
                )
        if self.zoom < 0.05:
            raise UserError(
                f"augmentation zoom={self.zoom}: allowed is 0.05 to 1, the smallest share of the "
                f"area that is kept."
            )


class Described(Protocol):
    """What `suggest` needs to know; Data is one."""

    @property
    def size(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def facts(self) -> dict[str, Any]: ...


def suggest(data: Described, level: str = "auto", *, passes: float = 0.0) -> Augment:
    """Crop and flip for small images, a random resized crop from 65 pixels on; strong where each
    image is seen often.

    level: "none" for nothing at all, "mild", "strong" for two RandAugment-like operations and
    erasing beside it, "auto" for one of these two by `passes`, how often a training sees each
    image: the more images there are, the oftener (results recipe-lr-x2-strong,
    strong-augmentation). Whether to flip was decided while loading, from the images;
    `data.facts["flip"]` says why. Grey images that must not be flipped are characters, mostly:
    shifting them by a pixel harms when there are only 8 (built-in digits, validation images: beside
    rotation shifts have -1.6 +- 0.4, both together -1.9 +- 0.4 points (result
    recipe-digits-500-steps)). The slight rotation itself made no difference there: without it +0.4
    +- 0.5 points (result recipe-digits-500-steps), after 2,000 steps +0.2 +- 0.2 (result
    recipe-digits-2000-steps); it is kept for sets where characters lean.
    """
    if level not in LEVELS:
        raise UserError(f"augmentation '{level}' is one of {', '.join(LEVELS)}")
    if level == "none":
        return Augment()
    if level == "strong" or (level == "auto" and passes >= _often(data) and _pictures(data)):
        return replace(suggest(data, "mild"), operations=2, erase=0.25)
    flip = bool(data.facts["flip"]["suggested"])
    if data.size > 64:
        return Augment(crop=data.size // 16, flip=flip, zoom=0.5)
    if not _pictures(data):
        return Augment(crop=data.size // 14, rotate=10.0)
    return Augment(crop=max(1, data.size // 8), flip=flip)


def _often(data: Described) -> float:
    """75 passes up to a thousand training images; from there on with the fourth root of their
    number."""
    images = sum((data.facts.get("counts") or {}).get("train") or ())
    return _OFTEN * max(1.0, images / _FEW) ** 0.25


def _pictures(data: Described) -> bool:
    """Not characters: those are grey and must not be mirrored."""
    return bool(data.facts["flip"]["suggested"]) or data.channels > 1


def shift_and_flip(augment: Augment, images: Tensor, generator: torch.Generator) -> Tensor:
    """crop and flip of uint8 or float images (B, C, H, W), same type; one gather does both."""
    count, channels, height, width = images.shape
    crop = min(augment.crop, height - 1, width - 1)
    if not crop and not augment.flip:
        return images
    offsets = torch.randint(0, 2 * crop + 1, (2, count, 1), generator=generator)
    rows = _mirrored(height, crop)[offsets[0] + torch.arange(height)]
    columns = _mirrored(width, crop)[offsets[1] + torch.arange(width)]
    if augment.flip:
        columns = torch.where(_uniform(generator, count, 1).lt(0.5), columns.flip(1), columns)
    index = (rows[:, :, None] * width + columns[:, None, :]).view(count, 1, -1).to(images.device)
    return images.flatten(2).gather(2, index.expand(-1, channels, -1)).view(images.shape)


def distort(augment: Augment, images: Tensor, generator: torch.Generator) -> Tensor:
    """zoom, rotate and the operations: pixels 0..255 in, float32 0..255 out; the images themselves
    where nothing is asked."""
    geometric = augment.zoom < 1 or augment.rotate > 0
    if not geometric and not augment.operations:
        return images
    count, channels, _, _ = images.shape
    names = [name for name in (*GEOMETRIC, *COLOR) if channels == 3 or name != "saturation"]
    picked = torch.zeros(count, len(names) + 1)  # the last one is "identity"
    if augment.operations:
        drawn = torch.randint(0, len(names) + 1, (count, augment.operations), generator=generator)
        picked.scatter_(1, drawn, 1.0)
    signs = _uniform(generator, count, len(names) + 1).lt(0.5) * 2.0 - 1.0
    levels = {
        name: (picked * signs)[:, place] * augment.strength for place, name in enumerate(names)
    }
    matrix = _matrix(augment, levels, count, generator)
    images = images.float()
    moved = (matrix != torch.eye(3)).flatten(1).any(dim=1)
    if moved.any():
        where = moved.nonzero()[:, 0].to(images.device)
        theta = matrix[moved, :2].to(images.device)
        part = images[where]
        grid = F.affine_grid(theta, list(part.shape), align_corners=False)
        warped = F.grid_sample(
            part, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
        images = images.index_copy(0, where, warped)
    for name in COLOR if augment.operations else ():
        if name in levels and levels[name].any():
            where = levels[name].nonzero()[:, 0]
            level = levels[name][where].to(images.device).view(-1, 1, 1, 1)
            where = where.to(images.device)
            images = images.index_copy(0, where, _recolored(name, images[where], level))
    return images


def blend(
    augment: Augment, x: Tensor, y: Tensor, classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """erase and mixup of normalized images; mixup makes y (B,) int64 to (B, classes) float32. What
    is wanted as numbers, y float32, is mixed as it is, and not erased."""
    count, _, height, width = x.shape
    if augment.erase > 0:
        draws = _uniform(generator, 5, count)
        area = 0.02 + 0.18 * draws[0]
        aspect = torch.exp((2 * draws[1] - 1) * math.log(3.3))
        tall, wide = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
        chosen = _uniform(generator, count).lt(augment.erase)
        inside = (
            _between(draws[2] * (1 - tall), tall, height)[:, :, None]
            & _between(draws[3] * (1 - wide), wide, width)[:, None, :]
        )
        x = x.masked_fill((inside & chosen[:, None, None])[:, None].to(x.device), 0.0)
    if augment.mixup > 0:
        share = Random(int(torch.randint(0, 2**62, (), generator=generator))).betavariate(
            augment.mixup, augment.mixup
        )
        partner = torch.randperm(count, generator=generator).to(x.device)
        hard = y if y.is_floating_point() else F.one_hot(y, classes).float()
        x = torch.lerp(x[partner], x, share).contiguous(memory_format=torch.channels_last)
        y = torch.lerp(hard[partner], hard, share)
    return x, y


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator)


def _mirrored(length: int, crop: int) -> Tensor:
    """Indices -crop ... length + crop - 1 reflected into 0 ... length - 1, the edge not
    repeated."""
    index = torch.arange(-crop, length + crop).abs()
    return torch.where(index >= length, 2 * (length - 1) - index, index)


def _between(first: Tensor, share: Tensor, length: int) -> Tensor:
    """(B, length): whether the pixel's center lies in [first, first + share) of the side."""
    centers = (torch.arange(length) + 0.5) / length
    return (centers >= first[:, None]) & (centers < (first + share)[:, None])


def _matrix(
    augment: Augment, levels: dict[str, Tensor], count: int, generator: torch.Generator
) -> Tensor:
    """(B, 3, 3): from output to input coordinates in -1..1, zoom after rotation, shear and
    translation."""
    one, zero = torch.ones(count), torch.zeros(count)
    angle = levels["rotate"] * math.radians(30)
    if augment.rotate > 0:
        angle = angle + (2 * _uniform(generator, count) - 1) * math.radians(augment.rotate)
    cosine, sine = angle.cos(), angle.sin()
    turn = _stacked((cosine, -sine, zero), (sine, cosine, zero))
    shear = _stacked(
        (one, 0.3 * levels["shear_x"], 0.9 * levels["translate_x"]),
        (0.3 * levels["shear_y"], one, 0.9 * levels["translate_y"]),
    )
    matrix = turn @ shear
    if augment.zoom < 1:
        draws = _uniform(generator, 4, count)
        area = augment.zoom + (1 - augment.zoom) * draws[0]
        aspect = torch.exp((2 * draws[1] - 1) * math.log(4 / 3))
        wide, tall = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
        zoom = _stacked(
            (wide, zero, (1 - wide) * (2 * draws[2] - 1)),
            (zero, tall, (1 - tall) * (2 * draws[3] - 1)),
        )
        matrix = zoom @ matrix
    return matrix


def _stacked(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """(B, 3, 3) of its first two rows, each of three entries (B,); the third row is 0, 0, 1."""
    zero, one = torch.zeros_like(first[0]), torch.ones_like(first[0])
    return torch.stack([*first, *second, zero, zero, one], dim=1).view(-1, 3, 3)


def _recolored(name: str, x: Tensor, level: Tensor) -> Tensor:
    """x: (n, C, H, W) in 0..255; level: (n, 1, 1, 1) in -1..1, never 0."""
    if name == "solarize":
        return torch.where(x >= 256 * (1 - level.abs()), 255 - x, x)
    if name == "posterize":
        step = torch.exp2((4 * level.abs()).round())  # keeps 8 to 4 bits
        return (x / step).floor() * step
    if name == "autocontrast":
        low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        return (x - low) * (255 / (high - low).clamp(min=1))
    if name == "brightness":
        other = torch.zeros_like(x)
    elif name == "contrast":
        other = _grey(x).mean(dim=(1, 2, 3), keepdim=True)
    elif name == "saturation":
        other = _grey(x)
    else:
        assert name == "sharpness"
        other = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return torch.clamp(other + (x - other) * (1 + 0.9 * level), 0, 255)


def _grey(x: Tensor) -> Tensor:
    """ITU-R 601 luma, (n, 1, H, W)."""
    if x.shape[1] == 1:
        return x
    weights = torch.tensor([0.299, 0.587, 0.114], device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(dim=1, keepdim=True)
