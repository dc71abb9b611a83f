"""How good an architecture is with weights it shares: extracted, calibrated, run over held-out images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from archsmith.errors import UserError
from archsmith.metrics.accuracy import evaluate
from archsmith.space import Architecture
from archsmith.supernet import calibrate, extract
from archsmith.tree import Node, route


class SharedAccuracy:
    """arch -> {"shared_accuracy", "shared_loss"} of the deepest trained node of a tree that holds it; one node is a supernet.

    Each network is extracted, the statistics of its BatchNorms are those of `calibration` (batches of images (B, C, H, W);
    1,024 in all are enough in a small setting), and it is judged on `held_out` (batches of images and labels): neither may
    hold test images, nor `held_out` any that the weights were trained on. `canonical`: architectures that compute the same are
    judged once, by the same node. A value is kept until its node is trained on; then the network is looked at anew.
    """

    name = "shared_accuracy"
    cheap = False

    def __init__(
        self,
        root: Node,
        calibration: Sequence[Tensor],
        held_out: Sequence[tuple[Tensor, Tensor]],
        *,
        canonical: Callable[[Architecture], Architecture] | None = None,
    ) -> None:
        if not calibration or not held_out:
            raise UserError("shared weights are judged on images: give at least one batch to calibrate with and one held out")
        self.root, self.calibration, self.held_out, self.canonical = root, tuple(calibration), tuple(held_out), canonical
        self._images = sum(map(len, calibration)) + sum(len(x) for x, _ in held_out)
        self._kept: dict[tuple[str, int, Architecture], dict[str, float]] = {}

    def cost(self, arch: Architecture, fidelity: float | None) -> Mapping[str, float]:
        """Images that go forward for one value."""
        return {"forward_images": float(self._images)}

    def node(self, arch: Architecture) -> Node:
        """Whose weights judge it."""
        return route(self.root, arch, self.canonical)

    def __call__(self, arch: Architecture) -> dict[str, float]:
        """Raises EvaluationFailed where an output is not finite, OutOfSpace for an architecture of another space."""
        node = self.node(arch)
        arch = arch if self.canonical is None else self.canonical(arch)
        key = node.name, node.trained, arch
        if key not in self._kept:
            plain = extract(node.model, arch).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            found = evaluate(calibrate(plain, self.calibration), self.held_out)
            self._kept[key] = {"shared_accuracy": found["accuracy"], "shared_loss": found["loss"]}
        return dict(self._kept[key])
