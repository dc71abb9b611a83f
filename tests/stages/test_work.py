"""What the stages share: how large a network may be where only the time says so."""

from __future__ import annotations

import pytest

from archsmith.stages.work import PASSES, fitting_macs


@pytest.mark.parametrize("images", [300, 4_000, 50_000])
def test_dense_networks_are_as_large_for_few_images_as_for_many_and_grow_with_the_root_of_the_time(
    images: int,
) -> None:
    once = fitting_macs(1e12, images, dense=True)
    assert once == fitting_macs(1e12, 1_000, dense=True)
    assert fitting_macs(4e12, images, dense=True) == pytest.approx(2 * once)


@pytest.mark.parametrize("images", [300, 40_000])
def test_others_see_each_image_so_many_times(images: int) -> None:
    assert 3e12 / images / fitting_macs(3e12, images, dense=False) == pytest.approx(PASSES)
