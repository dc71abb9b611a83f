"""Once-For-All: the space of the network, the publishers' lists and `net.config` both ways."""

from __future__ import annotations

from archsmith.spaces.catalog.ofa import OFA, ofa_arch, ofa_settings


def test_slots_beyond_the_depth_are_not_read() -> None:
    first = ofa_arch([3] * 20, [3] * 20, [2] * 5)
    other = [7 if slot % 4 >= 2 else 3 for slot in range(20)]
    assert ofa_arch(other, [3] * 20, [2] * 5) == first
    assert ofa_settings(first)["ks"] == [3, 3, 0, 0] * 5


def test_the_once_for_all_space_is_that_of_the_network() -> None:
    import torch

    from archsmith.elastic.supernet import search_space
    from archsmith.spaces.mobilenet import ofa_mobilenet_v3

    with torch.device("meta"):
        space = search_space(ofa_mobilenet_v3())
    assert space == OFA and list(OFA) == list(space) and OFA.fingerprint == space.fingerprint
