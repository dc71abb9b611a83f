"""One elastic network per search space, and the table by which the command line finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

    from archsmith.tasks import Goal

_HERE = "archsmith.spaces"
_IMAGENET = "photos of about 224 pixels, 32 and up"
_SMALL = "small images, made for 32 pixels"
AUTO = "convnet"  # what --space auto stands for
# name -> (module:attribute, what it is, how many networks, for which images)
SPACES: dict[str, tuple[str, str, str, str]] = {
    "convnet": (
        f"{_HERE}.convnet:convnet",
        "stages of inverted, fused or basic residuals or plain convolutions, pooled or not, of chosen width; `auto`",
        "5e+13 to 4.1e+34",
        "images of any size, as deep as their size bears",
    ),
    "mobilenet": (
        f"{_HERE}.mobilenet:mobilenet",
        "the same with MobileNetV3's inverted residuals alone",
        "5.3e+11 to 1.2e+32",
        "images of any size, as deep as their size bears",
    ),
    "ofa-mobilenet-v3-w1.0": (
        f"{_HERE}.mobilenet:ofa_w10",
        "Once-For-All's MobileNetV3 of width 1.0 (Cai et al., ICLR 2020)",
        "2.2e+19",
        _IMAGENET,
    ),
    "ofa-mobilenet-v3-w1.2": (f"{_HERE}.mobilenet:ofa_w12", "the same of width 1.2", "2.2e+19", _IMAGENET),
    "proxyless": (
        f"{_HERE}.proxyless:proxyless",
        "MobileNetV2 blocks, one of six or none in each of 21 places (Cai et al., ICLR 2019)",
        "2.2e+17",
        _IMAGENET,
    ),
    "nasbench201": (
        f"{_HERE}.nasbench201:nasbench201",
        "a cell of six edges, five operations each, repeated (Dong and Yang, ICLR 2020)",
        "15,625",
        _SMALL,
    ),
    "nats-size": (
        f"{_HERE}.nats:nats_size",
        "one good cell, its channels chosen in five places (Dong et al., TPAMI 2021)",
        "32,768",
        _SMALL,
    ),
    "darts": (
        f"{_HERE}.darts:darts",
        "a normal and a reduction cell, 20 cells of 36 channels (Liu et al., ICLR 2019)",
        "1.1e+18",
        _SMALL,
    ),
    "darts-small": (f"{_HERE}.darts:darts_small", "the same, 8 cells of 16 channels, as it is searched", "1.1e+18", _SMALL),
    "transnas": (
        f"{_HERE}.transnas:transnas",
        "a cell of six edges, four operations each, repeated (Duan et al., CVPR 2021)",
        "4,096",
        "images of 32 to 256 pixels",
    ),
    "nasbench1shot1-space1": (
        f"{_HERE}.oneshot:nasbench1shot1",
        "a cell of four nodes with an operation each, repeated (Zela et al., ICLR 2020)",
        "14,580",
        _SMALL,
    ),
    "nasbench1shot1-space2": (
        f"{_HERE}.oneshot:nasbench1shot1_space2",
        "the same with other connections",
        "29,160",
        _SMALL,
    ),
    "autoformer-tiny": (
        f"{_HERE}.vit:autoformer_tiny",
        "Vision Transformers of 5 to 9 M parameters (Chen et al., ICCV 2021)",
        "1.1e+09",
        "photos of 224 pixels, 16 and up",
    ),
    "autoformer-small": (
        f"{_HERE}.vit:autoformer_small",
        "the same of 14 to 34 M parameters",
        "7.7e+13",
        "photos of 224 pixels, 16 and up",
    ),
    "autoformer-base": (
        f"{_HERE}.vit:autoformer_base",
        "the same of 42 to 75 M parameters",
        "1e+13",
        "photos of 224 pixels, 16 and up",
    ),
    "vit-nano": (
        f"{_HERE}.vit:vit_nano",
        "a small Vision Transformer, trainable on a CPU",
        "67,824",
        "small images, 4 pixels and up",
    ),
    "zen": (
        f"{_HERE}.zen:zen",
        "residual bottlenecks of chosen widths, kernels and depths (Lin et al., ICCV 2021; Li et al., ICLR 2023)",
        "3.5e+81",
        _IMAGENET,
    ),
    "zen-scored": (f"{_HERE}.zen:zen_scored", "the same without what its score leaves out", "3.5e+81", _IMAGENET),
}


def meant(space: str) -> str:
    """The space that a name stands for: `auto` is a word, all others are themselves."""
    return AUTO if space == "auto" else space


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
    """The elastic network of a name in SPACES or of "my_model.py:Net", for images (channels, size, size).

    `width`: channels of the first layers, `cells`: how many each stage has, `partial`: operations work on one in so many
    channels, instead of the network's own; UserError where it has no such parameter. `mirrors`: an image's mirror image means
    the same, for networks that ask.
    """
    from archsmith.spaces.loading import load

    asked = {name: value for name, value in (("width", width), ("cells", cells), ("partial", partial)) if value is not None}
    shape = {"classes": classes, "channels": channels, "size": size}
    return load(name_or_file, SPACES, shape, device, asked=asked, told={"mirrors": mirrors})


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
    return goal.headed(build(name_or_file, goal.outputs, channels, size, device, partial=partial, mirrors=goal.mirrors))
