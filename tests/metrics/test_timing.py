"""Milliseconds with ONNX Runtime: what is timed, and what is recorded with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plain_networks import chain
from torch import nn

from archsmith.graph.writer import write
from archsmith.metrics import timing
from archsmith.metrics.timing import time_onnx


def test_what_is_recorded_with_a_time():
    found = time_onnx(write(chain().eval(), (3, 16, 16)), (3, 16, 16), threads=1, batch=2, runs=20)
    assert found["p10_ms"] <= found["median_ms"] <= found["p90_ms"] and found["p10_ms"] > 0
    assert (found["runs"], found["threads"], found["batch"], found["provider"]) == (
        20,
        1,
        2,
        "CPUExecutionProvider",
    )
    assert found["runtime"].startswith("onnxruntime 1.") and "cores" in found["machine"]
    assert time_onnx(write(chain().eval(), (3, 16, 16)), (3, 16, 16), limit_s=0)["runs"] == 10


def test_a_network_is_timed_as_it_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[Any] = []
    monkeypatch.setattr(timing, "quick", lambda session, feed: fed.append(feed) or float(len(fed)))
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        ).eval()
    assert timing.whole_ms(network, (3, 8, 8)) == 1.0  # the faster of two sessions
    assert all(
        images.dtype.name == "uint8" and images.shape == (1, 3, 8, 8)
        for feed in fed
        for images in feed.values()
    )
