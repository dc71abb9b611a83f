"""Generates model.py: one network as plain PyTorch that is pleasant to read, with the parameter
names of the weights file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any

from torch import fx, nn

from archsmith.export.code import assignment, indented
from archsmith.export.declarations import declarations, helpers_of
from archsmith.export.forward import Forward, uses_functional
from archsmith.export.spans import shape_text
from archsmith.graph.trace import TRACED, Untraceable, is_stock, trace
from archsmith.graph.writer import Deployment


def source(network: nn.Module, shape: Sequence[int], facts: Mapping[str, Any]) -> str:
    """The text of model.py. facts: title, summary, classes (names of the outputs), deployment (what
    is around it), how (the picture's way to a tensor, in words).

    Raises Untraceable, naming the module, where the network's computation cannot be written as
    plain PyTorch.
    """
    if is_stock(network):
        raise Untraceable(f"nn.{type(network).__name__} is a single layer; wrap it in a Sequential")
    graph = trace(network, tuple(shape), chains=True)
    template = Template(
        resources.files("archsmith").joinpath("shipped/model.py.txt").read_text(encoding="utf-8")
    )
    out = next(node for node in graph.nodes if node.op == "output").args[0]
    if not isinstance(out, fx.Node):
        raise Untraceable(f"{type(network).__name__} returns more than one tensor")
    helpers = helpers_of(network)
    around: Deployment = facts["deployment"]
    names = [str(c) for c in facts["classes"]]
    return template.substitute(
        title=facts["title"],
        summary=facts["summary"],
        how=facts["how"],
        shape=", ".join(map(str, shape)),
        labels=assignment("LABELS", names) + "\n" if names else "",
        mean=tuple(round(float(v), 7) for v in around.mean),
        std=tuple(round(float(v), 7) for v in around.std),
        **_answer(around, len(names), shape),
        input=shape_text((TRACED, *shape)),
        output=shape_text(out.meta["shape"]),
        layers=indented(declarations(network, graph), 8),
        steps=indented(Forward(network, graph).lines(), 8),
        helpers=helpers,
        ordered="from collections import OrderedDict\n" if "OrderedDict" in helpers else "",
        functional="from torch.nn import functional as F\n" if uses_functional(graph) else "",
    )


def _answer(around: Deployment, count: int, shape: Sequence[int]) -> dict[str, str]:
    """The parts of the template that tell what comes out."""
    if around.answer == "probabilities":
        return {
            "example": f"probabilities = model.predict(network, images)           # (1, {count}), "
            f"rows sum to 1\n"
            "    print(model.LABELS[int(probabilities[0].argmax())])",
            "raw": "logits",
            "what": "class probabilities",
            "units": "",
            "result": "return network(normalize(images)).softmax(dim=-1)",
        }
    pixels = around.answer == "pixels"
    form, out = (
        ("1, -1, 1, 1", f"(1, {', '.join(map(str, shape))}), 0..1")
        if pixels
        else ("1, -1", f"(1, {count})")
    )
    lines = "\n    ".join(
        [
            f"scale, shift = (torch.tensor(values, device=images.device).view({form}) for values "
            f"in (SCALE, SHIFT))",
            f"return (network(normalize(images)) * scale + "
            f"shift){'.clamp(0, 1)' if pixels else ''}",
        ]
    )
    return {
        "example": f"{around.answer} = model.predict(network, images)           # {out}",
        "raw": "outputs, less SHIFT and over SCALE",
        "what": around.answer,
        "units": f"SCALE, SHIFT = {around.scale!r}, {around.shift!r}  # from the network's outputs "
        f"to {around.answer}\n",
        "result": lines,
    }
