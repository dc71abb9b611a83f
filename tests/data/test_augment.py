"""data/augment.py: each operation does what it says, keeps ranges and is a function of the
generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from archsmith.data.augment import (
    COLOR,
    Augment,
    _recolored,
    blend,
    distort,
    shift_and_flip,
    suggest,
)
from archsmith.errors import UserError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 64, channels: int = 3, size: int = 12) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, channels, size, size + 2), dtype=torch.uint8, generator=generator(9)
    )


def windows(image: torch.Tensor, crop: int, flip: bool) -> list[torch.Tensor]:
    """All results that shifting (border mirrored) and flipping may have, by plain slicing."""
    padded = torch.nn.functional.pad(image[None].float(), (crop,) * 4, mode="reflect")[0].to(
        torch.uint8
    )
    height, width = image.shape[1:]
    found = [
        padded[:, y : y + height, x : x + width]
        for y in range(2 * crop + 1)
        for x in range(2 * crop + 1)
    ]
    return found + [window.flip(2) for window in found] * flip


@pytest.mark.parametrize(("crop", "flip"), [(2, False), (0, True), (2, True)])
def test_shift_and_flip_draw_from_all_windows(crop: int, flip: bool) -> None:
    image = images(1)[0]
    batch = image.expand(1500, -1, -1, -1)
    result = shift_and_flip(Augment(crop=crop, flip=flip), batch, generator())
    assert result.dtype == torch.uint8
    possible = torch.stack(windows(image, crop, flip)).flatten(1)
    matches = (result.flatten(1)[:, None] == possible[None]).all(dim=2)
    assert (matches.sum(dim=1) == 1).all()
    assert (matches.sum(dim=0) > 1500 / len(possible) / 3).all()


def test_a_crop_wider_than_the_image_is_limited() -> None:
    assert shift_and_flip(Augment(crop=50), images(4, size=8), generator()).shape == (4, 3, 8, 10)


def test_the_default_does_nothing() -> None:
    batch, labels = images(), torch.arange(64) % 5
    assert shift_and_flip(Augment(), batch, generator()) is batch
    assert distort(Augment(), batch, generator()) is batch
    x, y = blend(Augment(), batch.float(), labels, 5, generator())
    assert torch.equal(x, batch.float()) and torch.equal(y, labels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "augment", [Augment(zoom=0.4), Augment(rotate=20), Augment(operations=3, strength=1.0)]
)
def test_distort_keeps_shape_and_range_and_changes_most_images(
    augment: Augment, channels: int
) -> None:
    batch = images(channels=channels)
    result = distort(augment, batch, generator())
    assert result.shape == batch.shape and result.dtype == torch.float32
    assert result.min() >= 0 and result.max() <= 255.001
    changed = (result != batch).flatten(1).any(dim=1).float().mean()
    assert changed > 0.6
    assert torch.equal(result, distort(augment, batch, generator()))
    assert not torch.equal(result, distort(augment, batch, generator(1)))


def test_zoom_enlarges_a_part() -> None:
    ramp = (
        torch.arange(32).float().expand(1, 1, 32, 32).mul(8).to(torch.uint8).expand(200, -1, -1, -1)
    )
    slopes = (
        distort(Augment(zoom=0.25), ramp, generator())[:, 0, 16].diff(dim=1)[:, 8:24].mean(dim=1)
    )
    assert (slopes > 8 * 0.5 * 0.85).all() and (slopes < 8.01).all()
    assert slopes.std() > 0.5


def test_rotation_turns_about_the_center() -> None:
    batch = torch.zeros(64, 1, 33, 33, dtype=torch.uint8)
    batch[:, :, 16, 16] = 255
    result = distort(Augment(rotate=45), batch, generator())
    assert (result[:, 0, 16, 16] > 254).all()
    batch[:, :, 16, :] = 255  # a horizontal bar becomes a slanted one with the same center
    ends = distort(Augment(rotate=45), batch, generator())[:, 0, :, 26].argmax(dim=1)
    assert ends.float().std() > 2 and ends.min() >= 5 and ends.max() <= 27


@pytest.mark.parametrize("name", COLOR)
@pytest.mark.parametrize("level", [-0.7, 0.7])
def test_colors(name: str, level: float) -> None:
    x = images(4).float()
    y = _recolored(name, x, torch.full((4, 1, 1, 1), level))
    assert y.shape == x.shape and y.min() >= 0 and y.max() <= 255.001
    gray = torch.full((1, 3, 6, 6), 100.0)
    z = _recolored(name, gray, torch.full((1, 1, 1, 1), level))
    expected = {
        "brightness": 100 * (1 + 0.9 * level),
        "posterize": 96.0,
        "solarize": 155.0,
        "autocontrast": 0.0,
    }.get(name, 100.0)
    assert torch.allclose(z, torch.full_like(z, expected), atol=0.05)
    if name in ("contrast", "saturation", "sharpness", "brightness"):
        spread = {"contrast": y.std() / x.std(), "brightness": y.mean() / x.mean()}.get(name)
        assert not torch.equal(x, y)
        assert spread is None or (spread > 1) == (level > 0)


def test_mixup_mixes_images_and_labels_alike() -> None:
    labels = torch.arange(6)
    # image i is constant 1 in channel i
    x = torch.eye(6)[:, :, None, None].expand(6, 6, 4, 4).contiguous()
    mixed, soft = blend(Augment(mixup=1.0), x, labels, 6, generator(3))
    assert torch.allclose(mixed[:, :, 0, 0], soft, atol=1e-6)
    assert torch.allclose(soft.sum(dim=1), torch.ones(6))
    assert ((soft > 0.01).sum(dim=1) == 2).any()


def test_erase_clears_one_rectangle() -> None:
    x = torch.ones(400, 2, 20, 20)
    result, _ = blend(Augment(erase=0.5), x, torch.zeros(400, dtype=torch.int64), 2, generator())
    holes = result[:, 0] == 0
    share = holes.flatten(1).float().mean(dim=1)
    assert 0.4 < (share > 0).float().mean() < 0.6
    assert share.max() <= 0.26
    for hole in holes[share > 0]:
        assert hole.sum() == hole.any(dim=1).sum() * hole.any(dim=0).sum()
    assert torch.equal(result[:, 0], result[:, 1])


@pytest.mark.parametrize(
    "wrong", [{"crop": -1}, {"zoom": 0.01}, {"strength": 2}, {"erase": 1.5}, {"mixup": -0.1}]
)
def test_values_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"augmentation {next(iter(wrong))}=.*allowed"):
        Augment(**wrong)


@dataclass(frozen=True)
class _Seen:
    size: int
    channels: int
    flip: bool
    images: int = 500

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "flip": {"suggested": self.flip},
            "counts": {"train": [self.images - 100, 100], "val": [9000]},
        }


@pytest.mark.parametrize("size", [28, 32, 96])
@pytest.mark.parametrize(("channels", "flip"), [(3, True), (3, False), (1, True)])
def test_pictures_that_are_seen_often_are_augmented_strongly(
    size: int, channels: int, flip: bool
) -> None:
    data = _Seen(size, channels, flip)
    assert (
        suggest(data, passes=1000.0)
        == suggest(data, "strong")
        != suggest(data, passes=5.0)
        == suggest(data, "mild")
    )
    assert (
        suggest(data, "mild", passes=1000.0) == suggest(data, "mild")
        and suggest(data, "none", passes=1000.0) == Augment()
    )


@pytest.mark.parametrize(("images", "least"), [(500, 75), (1000, 75), (5000, 112), (40_000, 189)])
def test_the_more_images_the_oftener_they_must_be_seen_for_that(images: int, least: float) -> None:
    data = _Seen(32, 3, True, images)
    assert suggest(data, passes=0.99 * least) == suggest(data, "mild")
    assert suggest(data, passes=1.01 * least) == suggest(data, "strong")


@pytest.mark.parametrize("size", [8, 28])
def test_characters_are_not(size: int) -> None:
    assert suggest(_Seen(size, 1, False), passes=1000.0) == suggest(_Seen(size, 1, False), "mild")
