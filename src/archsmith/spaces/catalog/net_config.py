"""The layers of a `net.config` (Once-For-All, ProxylessNAS, Neural Architecture Transfer): written,
and read block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archsmith.space import make_divisible
from archsmith.spaces.catalog.plain import among, expect, section

_ZERO = "ZeroLayer"
_CONVOLUTIONS = ("MBInvertedConvLayer", "MBConvLayer")  # the earlier releases, the later ones
_ORDER = "weight_bn_act"


@dataclass(frozen=True)
class Block:
    """An inverted residual of a network: channels in and out, stride, activation, squeeze-excite,
    what was chosen for it.

    `added`: whether its input is added.
    """

    inputs: int
    outputs: int
    stride: int
    act: str
    se: bool
    added: bool
    kernel: int
    expand: int

    @property
    def middle(self) -> int | None:
        """Channels between expansion and projection; None where nothing is expanded, as it is
        written."""
        return None if self.expand == 1 else make_divisible(round(self.inputs * self.expand))


def conv_layer(
    inputs: int, outputs: int, kernel: int, stride: int, act: str, *, norm: bool = True
) -> dict[str, Any]:
    """A convolution with padding "same", BatchNorm where `norm`, and its activation."""
    return {
        **{
            "name": "ConvLayer",
            "kernel_size": kernel,
            "stride": stride,
            "dilation": 1,
            "groups": 1,
            "bias": False,
        },
        **{
            "has_shuffle": False,
            "in_channels": inputs,
            "out_channels": outputs,
            "use_bn": norm,
            "act_func": act,
        },
        **{"dropout_rate": 0, "ops_order": _ORDER},
    }


def linear_layer(inputs: int, outputs: int, dropout: float) -> dict[str, Any]:
    """The classifier."""
    return {
        **{
            "name": "LinearLayer",
            "in_features": inputs,
            "out_features": outputs,
            "bias": True,
            "use_bn": False,
        },
        **{"act_func": None, "dropout_rate": dropout, "ops_order": _ORDER},
    }


def _identity(channels: int) -> dict[str, Any]:
    return {
        **{
            "name": "IdentityLayer",
            "in_channels": [channels],
            "out_channels": [channels],
            "use_bn": False,
        },
        **{"act_func": None, "dropout_rate": 0, "ops_order": _ORDER},
    }


def config_of(block: Block) -> dict[str, Any]:
    """A block as it is written, under the names of the earlier releases, which the later ones read
    too."""
    return {
        "name": "MobileInvertedResidualBlock",
        "mobile_inverted_conv": {
            **{
                "name": _CONVOLUTIONS[0],
                "in_channels": block.inputs,
                "out_channels": block.outputs,
            },
            **{"kernel_size": block.kernel, "stride": block.stride, "expand_ratio": block.expand},
            **{"mid_channels": block.middle, "act_func": block.act, "use_se": block.se},
        },
        "shortcut": _identity(block.outputs) if block.added else None,
    }


def zero_of(channels: int) -> dict[str, Any]:
    """A block that is left out: only its input."""
    return {
        "name": "MobileInvertedResidualBlock",
        "mobile_inverted_conv": {"name": _ZERO, "stride": 1},
        "shortcut": _identity(channels),
    }


def inside(place: str, entry: Any) -> tuple[str, Mapping[str, Any]]:
    """The convolution of a block and its place in the file."""
    name = "conv" if "conv" in section(place, entry) else "mobile_inverted_conv"
    return f"{place}.{name}", section(f"{place}.{name}", entry.get(name))


def is_zero(place: str, entry: Any) -> bool:
    """Whether the block is left out."""
    return inside(place, entry)[1].get("name") == _ZERO


def outputs_of(place: str, entry: Any) -> Any:
    """Channels that a block gives, as the file says."""
    return inside(place, entry)[1].get("out_channels")


def block_of(
    place: str,
    entry: Any,
    fixed: Mapping[str, Any],
    kernels: Sequence[int],
    expansions: Sequence[int],
) -> Block:
    """A block of the file; UserError naming the first entry that this space does not have there.

    `fixed`: all of Block but kernel and expansion, which are among the given ones.
    """
    where, conv = inside(place, entry)
    among(f"{where}.name", conv.get("name"), _CONVOLUTIONS)
    block = Block(
        **fixed,
        kernel=among(f"{where}.kernel_size", conv.get("kernel_size"), kernels),
        expand=among(f"{where}.expand_ratio", conv.get("expand_ratio"), expansions),
    )
    for name, wanted in (
        *(("in_channels", block.inputs), ("out_channels", block.outputs), ("stride", block.stride)),
        *(("act_func", block.act), ("use_se", block.se)),
    ):
        expect(f"{where}.{name}", conv.get(name), wanted)
    if conv.get("mid_channels") is not None:
        expect(f"{where}.mid_channels", conv["mid_channels"], block.middle or block.inputs)
    expect(f"{place}.shortcut", entry.get("shortcut") is not None, block.added)
    return block
