"""One elastic network per search space, and the table by which the command line finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

    from archsmith.goals import Goal

SPACES = {
    "mobilenet": "archsmith.models.mobilenet:mobilenet",
    "ofa-mobilenet-v3-w1.0": "archsmith.models.mobilenet:ofa_w10",
    "ofa-mobilenet-v3-w1.2": "archsmith.models.mobilenet:ofa_w12",
    "proxyless": "archsmith.models.proxyless:proxyless",
    "nasbench201": "archsmith.models.cell:nasbench201",
    "nats-size": "archsmith.models.nats:nats_size",
    "darts": "archsmith.models.darts:darts",
    "darts-small": "archsmith.models.darts:darts_small",
    "transnas": "archsmith.models.transnas:transnas",
    "nasbench1shot1-space1": "archsmith.models.oneshot:nasbench1shot1",
    "nasbench1shot1-space2": "archsmith.models.oneshot:nasbench1shot1_space2",
    "autoformer-tiny": "archsmith.models.vit:autoformer_tiny",
    "autoformer-small": "archsmith.models.vit:autoformer_small",
    "autoformer-base": "archsmith.models.vit:autoformer_base",
    "vit-nano": "archsmith.models.vit:vit_nano",
    "zen": "archsmith.models.zen:zen",
    "zen-scored": "archsmith.models.zen:zen_scored",
}


def build(
    name_or_file: str,
    classes: int,
    channels: int,
    size: int,
    device: Literal["meta", "cpu"] = "meta",
    *,
    width: int | None = None,
    cells: int | None = None,
    partial: int | None = None,
) -> nn.Module:
    """The elastic network of a name in SPACES or of "my_model.py:Net", for images (channels, size, size).

    `width`: channels of the first layers, `cells`: how many each stage has, `partial`: operations work on one in so many
    channels, instead of the network's own; UserError where it has no such parameter.
    """
    from archsmith.models.loading import load

    asked = {name: value for name, value in (("width", width), ("cells", cells), ("partial", partial)) if value is not None}
    return load(name_or_file, SPACES, {"classes": classes, "channels": channels, "size": size}, device, asked)


def build_for(
    goal: Goal,
    name_or_file: str,
    channels: int,
    size: int,
    device: Literal["meta", "cpu"] = "meta",
    *,
    partial: int | None = None,
) -> nn.Module:
    """`build`, with as many outputs as the goal asks for and what must follow them."""
    return goal.headed(build(name_or_file, goal.outputs, channels, size, device, partial=partial))
