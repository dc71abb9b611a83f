"""Modes come back, whatever was done with them and however it ended."""

from __future__ import annotations

import pytest
from torch import nn

from archsmith._internal.modes import modes_kept


def test_every_module_has_its_own_mode_again_after_an_error_too() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sequential(nn.BatchNorm2d(1), nn.Dropout()))
    network[1][0].eval()
    before = {name: module.training for name, module in network.named_modules()}
    with pytest.raises(ValueError, match="stopped"), modes_kept(network) as same:
        assert same is network
        network.eval()
        network[1][0].train()
        raise ValueError("stopped")
    assert {name: module.training for name, module in network.named_modules()} == before
