"""Layers that take a Choice where torch.nn takes a number, and containers that decide which
children exist."""

from archsmith.elastic.attention import Attention, SqueezeExcite
from archsmith.elastic.blocks import Chain, Mixture, OneOf, Parallel, Repeat
from archsmith.elastic.conv import Conv2d, ConvTranspose2d
from archsmith.elastic.embedding import Embedding
from archsmith.elastic.linear import Linear
from archsmith.elastic.norm import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from archsmith.elastic.resize import Resize
from archsmith.space import Choice, Concat, Derived, make_divisible

__all__ = [
    "Attention",
    "BatchNorm1d",
    "BatchNorm2d",
    "Chain",
    "Choice",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Derived",
    "Embedding",
    "GroupNorm",
    "LayerNorm",
    "Linear",
    "Mixture",
    "OneOf",
    "Parallel",
    "Repeat",
    "Resize",
    "SqueezeExcite",
    "make_divisible",
]
