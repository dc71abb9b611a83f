"""One-shot NAS (Guo and others, ECCV 2020: single path, one architecture a step): one supernet estimates all networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from archsmith.elastic.tree import Node
from archsmith.methods import estimated, few_shot
from archsmith.methods.few_shot import refuse as refuse
from archsmith.methods.few_shot import screen as screen
from archsmith.methods.task import Task
from archsmith.space import Architecture


def weights(task: Task, *, sampling: str = "uniform", distill: bool = False) -> Node:
    """Few-shot NAS without a split; `sampling` and `distill` as there."""
    return few_shot.weights(task, splits=0, sampling=sampling, distill=distill)


def train(task: Task, **settings: Any) -> dict[str, Any]:
    """The supernet, and how far its estimates can be trusted."""
    return estimated.train(task, weights(task, **settings))


def search(task: Task, **settings: Any) -> dict[str, Any]:
    """Guided search on the estimates."""
    return estimated.search(task, weights(task, **settings))


def network(task: Task, **settings: Any) -> Callable[[Architecture], nn.Module]:
    """What the finish stage trains on: a network with the weights it shared."""
    return estimated.networks(task, weights(task, **settings))
