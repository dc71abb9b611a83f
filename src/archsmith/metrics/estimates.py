"""How good an architecture is with weights it shares: extracted, calibrated, run over held-out
images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from archsmith.elastic.supernet import calibrate, extract
from archsmith.elastic.tree import Node, form_of, route
from archsmith.errors import UserError
from archsmith.metrics.accuracy import Judge, classified, evaluate
from archsmith.space import Architecture


class SharedAccuracy:
    """arch -> {"shared_accuracy", "shared_loss"} of the deepest trained node of a tree that holds
    it; one node is a supernet.

    Each network is extracted, the statistics of its BatchNorms are those of `calibration` (batches
    of images (B, C, H, W); 1,024 in all are enough in a small setting), and it is judged on
    `held_out` (batches of images and labels): neither may hold test images, nor `held_out` any that
    the weights were trained on. Fidelities are shares of the held-out batches. `judge`: what the
    accuracy is (`goals`). `canonical`: architectures that compute the same are judged once, by the
    same node. A value is kept until its node is trained on; then the network is looked at anew.
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
        fidelities: Sequence[float] = (0.25, 0.5, 1.0),
        judge: Judge = classified,
    ) -> None:
        if not calibration or not held_out:
            raise UserError(
                "shared weights are judged on images: give at least one batch to "
                "calibrate with and one held out"
            )
        if (
            list(fidelities) != sorted(set(fidelities))
            or not fidelities
            or fidelities[0] <= 0
            or fidelities[-1] != 1.0
        ):
            raise UserError(
                f"fidelities {tuple(fidelities)} are shares of the held-out images: "
                f"ascending, above 0, the last 1"
            )
        self.root, self.calibration, self.held_out, self.canonical = (
            root,
            tuple(calibration),
            tuple(held_out),
            canonical,
        )
        self.fidelities, self.judge = tuple(fidelities), judge
        self._kept: dict[tuple[str, int, Architecture, int], dict[str, float]] = {}

    def cost(self, arch: Architecture, fidelity: float | None) -> Mapping[str, float]:
        """Images that go forward for one value."""
        judged = self.held_out[: self._batches(1.0 if fidelity is None else fidelity)]
        return {
            "forward_images": float(
                sum(map(len, self.calibration)) + sum(len(x) for x, _ in judged)
            )
        }

    def node(self, arch: Architecture) -> Node:
        """Whose weights judge it."""
        return route(self.root, arch, self.canonical)

    def network(self, arch: Architecture) -> nn.Module:
        """The plain network that is judged, calibrated. Raises OutOfSpace for an architecture of
        another space."""
        node = self.node(arch)
        form = form_of(self.root, arch, self.canonical)
        plain = extract(node.model, form).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return calibrate(plain, self.calibration)

    def at(self, arch: Architecture, fidelity: float) -> dict[str, float]:
        """The values on a share of the held-out images. Raises EvaluationFailed where an output is
        not finite."""
        node, count = self.node(arch), self._batches(fidelity)
        form = form_of(self.root, arch, self.canonical)
        key = node.name, node.trained, form, count
        if key not in self._kept:
            measures = evaluate(self.network(arch), self.held_out[:count], self.judge)
            self._kept[key] = {
                "shared_accuracy": measures["accuracy"],
                "shared_loss": measures["loss"],
            }
        return dict(self._kept[key])

    def __call__(self, arch: Architecture) -> dict[str, float]:
        """On all of the held-out images."""
        return self.at(arch, 1.0)

    def _batches(self, fidelity: float) -> int:
        if fidelity not in self.fidelities:
            raise UserError(
                f"shared accuracy is measured at the fidelities {self.fidelities}, not "
                f"at {fidelity}"
            )
        return max(1, round(fidelity * len(self.held_out)))
