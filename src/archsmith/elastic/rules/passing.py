"""What leaves channels where they are: activations, pooling, and what is done along other axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx, nn

from archsmith.elastic.channels import UNFOLLOWED, Channels, Rule, SeveralRule, Value, of_one
from archsmith.elastic.nodes import argument, axes_of, form_of, inputs, location
from archsmith.elastic.tracing import called

_NUMBER_BY_NUMBER = (
    "relu relu6 hardtanh gelu silu sigmoid tanh hardswish hardsigmoid leaky_relu elu celu selu "
    "mish softplus softsign logsigmoid dropout dropout1d dropout2d dropout3d alpha_dropout "
    "contiguous clone detach float half double bfloat16 to type clamp neg abs exp sqrt square "
    "rsqrt log sin cos erf reciprocal nan_to_num pad"
).split()
_PLACES = (  # over the axes after the second
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d avg_pool1d "
    "avg_pool2d max_pool1d max_pool2d lp_pool2d interpolate upsample"
).split()
_ALONG = "softmax log_softmax softmin normalize flip roll cumsum cumprod sort".split()
_REDUCING = "mean sum amax amin std var norm logsumexp prod".split()
_MIXING: tuple[type[nn.Module], ...] = (
    *(nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle, nn.Softmax2d),
    *(nn.LocalResponseNorm, nn.Fold, nn.Unfold),
)


def passed(channels: Channels, node: fx.Node) -> Value | None:
    """The same channels, where they are as many on the same axis."""
    source = next(iter(inputs(node)), None)
    if source is None:
        return None
    before, form = form_of(source) or (), form_of(node) or ()
    if (held := channels.held.get(source)) is not None and before == form:
        channels.held[node] = held
    given = channels.values.get(source)
    if given is None:
        return None
    if len(before) == len(form) and before[given.axis] == form[given.axis]:
        return given
    return _changed(channels, node)


def over_places(channels: Channels, node: fx.Node) -> Value | None:
    """The same of what works on the axes after the second: those of places."""
    value = passed(channels, node)
    return value if value is None or value.axis == 1 else _changed(channels, node)


def _changed(channels: Channels, node: fx.Node) -> Value | None:
    channels.fix(inputs(node)[:1], f"{location(node)} changes it")
    return None


def along(channels: Channels, node: fx.Node, axes: Any) -> Value | None:
    """What is done along some axes, and leaves the form."""
    given = channels.given(node)
    if given is None:
        return None
    listed = axes if isinstance(axes, tuple | list) else (axes,)
    numbers = [a % axes_of(node) for a in listed if isinstance(a, int)]
    if len(numbers) < len(listed) or given.axis in numbers:
        channels.fix(inputs(node), f"{called(node) or node.name} goes along it")
        return None
    return given


def _along_named(channels: Channels, node: fx.Node) -> Value | None:
    return along(channels, node, argument(node, 1, "dim", "dims"))


def _softmax(channels: Channels, node: fx.Node) -> Value | None:
    layer: Any = channels.layer(node)
    return along(channels, node, layer.dim)


def _reduced(channels: Channels, node: fx.Node) -> Value | None:
    """Means and sums over other axes; over the channels, none are left."""
    given, before = channels.given(node), axes_of(inputs(node)[0])
    axes: Any = argument(node, 1, "dim", "axis")
    if called(node) == "norm":
        axes = argument(node, 2, "dim")
    if given is None or axes is None:
        return None
    numbers = [int(a) % before for a in (axes if isinstance(axes, tuple | list) else (axes,))]
    if given.axis in numbers:
        return None
    gone = 0 if axes_of(node) == before else sum(a < given.axis for a in numbers)
    return Value(given.layout, given.axis - gone)


def _extremes(channels: Channels, node: fx.Node) -> list[Value | None]:
    """The largest or smallest along one axis, and where they are."""
    source = inputs(node)[0]
    given, axis = channels.values.get(source), argument(node, 1, "dim")
    if given is None or not isinstance(axis, int):
        channels.fix([source], f"{location(node)} is not followed")
        return [None, None]
    axis %= axes_of(source)
    if axis == given.axis:
        return [None, None]
    kept = bool(argument(node, 2, "keepdim", default=False))
    return [Value(given.layout, given.axis - (not kept and axis < given.axis))] * 2


def without_tensors(channels: Channels, node: fx.Node) -> Value | None:
    """A layer of torch that holds no tensors and is none of those that mix channels."""
    layer = channels.layer(node)
    holds = any(True for _ in layer.parameters()) or any(True for _ in layer.buffers())
    if len(inputs(node)) != 1 or holds or isinstance(layer, _MIXING):
        channels.unknown(node)
        return None
    name = type(layer).__name__
    return (
        over_places(channels, node)
        if "Pool" in name or "Upsampl" in name
        else passed(channels, node)
    )


def along_another_axis(channels: Channels, node: fx.Node) -> Value | None:
    """A layer that does not read the axis of the channels, or reads what is not followed."""
    if channels.given(node) is not None:
        return without_tensors(channels, node)
    channels.plain[str(node.target)] = UNFOLLOWED
    channels.elsewhere(node)
    return None


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_NUMBER_BY_NUMBER, of_one(passed)),
    **dict.fromkeys(_PLACES, of_one(over_places)),
    **dict.fromkeys(_ALONG, of_one(_along_named)),
    **dict.fromkeys(_REDUCING, of_one(_reduced)),
}
LAYERS: Mapping[type[nn.Module], Rule] = dict.fromkeys(
    (nn.Softmax, nn.LogSoftmax, nn.Softmin), of_one(_softmax)
)
SEVERAL: Mapping[str, SeveralRule] = dict.fromkeys(("max", "min"), _extremes)
