"""_internal/onednn.py: networks whose gradients would tear the heap are trained all the same."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from archsmith import elastic
from archsmith._internal.onednn import sound
from archsmith.elastic import Choice

TRAINED = """
import torch
from torch import nn
from archsmith.training import Recipe, advance, start

torch.set_num_threads(1)
for width in range(1, 8):
    network = nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, 4, 1, stride=2, bias=False),
        nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    state = start(network, Recipe(lr=0.01))
    batch = torch.rand(64, 1, 8, 8), torch.randint(0, 4, (64,))
    advance(state, iter([batch] * 20), total_steps=20)
    rubbish = [bytearray(100 + 7 * i) for i in range(500)]
print("done")
"""


def test_small_strided_convolutions_are_trained_in_a_process_that_lives() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAINED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "done" in done.stdout, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("layer", "with_onednn"),
    [
        (nn.Conv2d(4, 8, 1, stride=2), False),
        (nn.Conv2d(4, 8, 1, stride=(1, 2)), False),
        (elastic.Conv2d(Choice(4, 16), 8, 1, stride=2), False),
        (elastic.Conv2d(4, 8, Choice(1, 3), stride=2, padding="same"), False),
        (nn.Conv2d(8, 8, 1, stride=2), True),
        (nn.Conv2d(4, 8, 1), True),
        (nn.Conv2d(4, 8, 3, stride=2), True),
        (elastic.Conv2d(Choice(8, 16), 8, 1, stride=2), True),
        (nn.MaxPool2d(1, stride=2), True),
    ],
    ids=str,
)
def test_onednn_is_left_out_where_its_gradients_are_wrong(
    layer: Any, with_onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, before = nn.Sequential(nn.ReLU(), layer), torch.backends.mkldnn.enabled
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    with sound(network):
        assert torch.backends.mkldnn.enabled is (before and with_onednn)
    assert torch.backends.mkldnn.enabled is before
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    with sound(network):
        assert torch.backends.mkldnn.enabled is before
