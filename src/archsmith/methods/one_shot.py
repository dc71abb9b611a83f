"""One-shot NAS (Guo and others, ECCV 2020: single path, one architecture a step): one supernet estimates all networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from archsmith.methods import estimated, few_shot
from archsmith.methods.few_shot import screen as screen
from archsmith.methods.task import Task
from archsmith.space import Architecture
from archsmith.tree import Node


def weights(task: Task) -> Node:
    """Few-shot NAS without a split."""
    return few_shot.weights(task, splits=0)


def train(task: Task) -> dict[str, Any]:
    """The supernet, and how far its estimates can be trusted."""
    return estimated.train(task, weights(task))


def search(task: Task) -> dict[str, Any]:
    """Evolution on the estimates."""
    return estimated.search(task, weights(task))


def network(task: Task) -> Callable[[Architecture], nn.Module]:
    """What the finish stage trains on: a network with the weights it shared."""
    return estimated.networks(task, weights(task))
