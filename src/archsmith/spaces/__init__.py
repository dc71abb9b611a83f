"""One elastic network per search space, and the table of all that is known of each; the table needs
no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from archsmith.spaces.catalog import (
    convnet,
    darts,
    efficientnet,
    nasbench101,
    nasbench201,
    nats,
    ofa,
    proxyless,
    transnas,
    vit,
    zen,
)
from archsmith.spaces.catalog.entry import Space

if TYPE_CHECKING:
    from torch import nn

    from archsmith.tasks import Task

AUTO = convnet.SPACE.name  # what --space auto stands for
SPACES: dict[str, Space] = {
    space.name: space
    for space in (
        *(
            convnet.SPACE,
            convnet.MOBILENET,
            ofa.W10,
            ofa.W12,
            proxyless.SPACE,
            nasbench201.SPACE,
            nats.SPACE,
        ),
        *(darts.SPACE, darts.SMALL, transnas.SPACE, nasbench101.SPACE1, nasbench101.SPACE2),
        *(
            vit.AUTOFORMER_TINY,
            vit.AUTOFORMER_SMALL,
            vit.AUTOFORMER_BASE,
            vit.VIT_NANO,
            zen.SPACE,
            zen.SCORED,
            efficientnet.SPACE,
        ),
    )
}


def meant(space: str) -> str:
    """The space that a name stands for: `auto` is a word, all others are themselves."""
    return AUTO if space == "auto" else space


def described(space: str) -> Space:
    """What is known of a space: its entry in SPACES, also of `auto`; of a user's own nothing but
    the name."""
    return SPACES.get(meant(space)) or Space(space, space)


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
    mirrors: bool = False,
) -> nn.Module:
    """The elastic network of a name in SPACES or of "my_model.py:Net", for images (channels, size,
    size).

    `width`: channels of the first layers, `cells`: how many each stage has, `partial`: operations
    work on one in so many channels, instead of the network's own; UserError where it has no such
    parameter. `mirrors`: an image's mirror image means the same, for networks that ask.
    """
    from archsmith.spaces.loading import load

    asked = {
        name: value
        for name, value in (("width", width), ("cells", cells), ("partial", partial))
        if value is not None
    }
    shape = {"classes": classes, "channels": channels, "size": size}
    return load(name_or_file, SPACES, shape, device, asked=asked, hints={"mirrors": mirrors})


def build_for(
    task: Task,
    name_or_file: str,
    channels: int,
    size: int,
    device: Literal["meta", "cpu"] = "meta",
    *,
    partial: int | None = None,
) -> nn.Module:
    """`build`, with as many outputs as the task asks for and what must follow them."""
    return task.headed(
        build(
            name_or_file,
            task.outputs,
            channels,
            size,
            device=device,
            partial=partial,
            mirrors=task.mirrors,
        )
    )
