"""Which channels must agree, over small graphs; what keeps a width is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic.channels import Channels, followed
from archsmith.elastic.tracing import traced

IMAGES = torch.rand(2, 3, 8, 8)


class Net(nn.Module):
    """Layers by name, and a forward that is given."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **layers: Any) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.does = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x)


def conv(inputs: int, outputs: int, kernel: int = 1, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **more)


def channels(
    forward: Callable[[Any, Tensor], Tensor], x: Tensor = IMAGES, **layers: Any
) -> Channels:
    model = Net(forward, **layers)
    return followed(model, traced(model, x))


def free(found: Channels) -> dict[str, int]:
    """Name -> size of the widths that nothing keeps."""
    groups = found.groups
    return {groups.name(g): groups.size(g) for g in groups.roots if groups.reason(g) is None}


def read(found: Channels, path: str) -> list[tuple[str, int]]:
    """What a layer reads: (name, repeat) of each part."""
    taken = found.ends[path][0] or ()
    return [(found.groups.name(p.group), p.repeat) for p in found.groups.opened(taken)]


def test_what_is_added_agrees() -> None:
    found = channels(lambda m, x: m.c(m.a(x) + m.b(x)), a=conv(3, 16), b=conv(3, 16), c=conv(16, 4))
    assert free(found) == {"a": 16} and read(found, "c") == [("a", 1)]
    assert found.ends["b"][1] is not None and "output" in found.fixed()["c"]


@pytest.mark.parametrize("join", [torch.mul, torch.sub, torch.maximum, torch.add])
def test_what_is_joined_number_by_number_agrees(join: Callable[..., Tensor]) -> None:
    found = channels(
        lambda m, x: m.c(join(m.a(x), m.b(x))), a=conv(3, 16), b=conv(3, 16), c=conv(16, 4)
    )
    assert free(found) == {"a": 16}


def test_one_channel_for_all_says_nothing() -> None:
    found = channels(
        lambda m, x: m.c(m.a(x) * torch.sigmoid(m.b(x))), a=conv(3, 16), b=conv(3, 1), c=conv(16, 4)
    )
    assert free(found) == {"a": 16, "b": 1}


def test_depthwise_convolutions_and_norms_keep_the_group() -> None:
    found = channels(
        lambda m, x: m.c(m.norm(m.depth(m.a(x)))),
        a=conv(3, 16),
        depth=conv(16, 16, 3, groups=16),
        norm=nn.BatchNorm2d(16),
        c=conv(16, 4),
    )
    assert free(found) == {"a": 16} and read(found, "c") == [("a", 1)]
    assert found.ends["norm"] == (None, found.ends["a"][1])


def test_groups_of_convolutions_and_norms_are_multiples() -> None:
    found = channels(
        lambda m, x: m.c(m.norm(m.grouped(m.a(x)))),
        a=conv(3, 24),
        grouped=conv(24, 24, 3, groups=6),
        norm=nn.GroupNorm(4, 24),
        c=conv(24, 4),
    )
    (root,) = (g for g in found.groups.roots if found.groups.name(g) == "a")
    assert found.groups.unit(root) == 12  # of 4 and of 6 channels


def test_one_group_is_all_channels_however_many() -> None:
    found = channels(
        lambda m, x: m.c(m.norm(m.a(x))), a=conv(3, 24), norm=nn.GroupNorm(1, 24), c=conv(24, 4)
    )
    (root,) = (g for g in found.groups.roots if found.groups.name(g) == "a")
    assert found.groups.unit(root) == 1


def test_a_grouped_convolution_to_another_number_keeps_both() -> None:
    found = channels(
        lambda m, x: m.c(m.grouped(m.a(x))),
        a=conv(3, 8),
        grouped=conv(8, 16, 1, groups=4),
        c=conv(16, 4),
    )
    assert free(found) == {} and "in 4 groups" in found.fixed()["a"]


def test_a_concatenation_is_parts_in_order() -> None:
    found = channels(
        lambda m, x: m.c(torch.cat([m.a(x), m.b(x), m.a(x)], 1)),
        a=conv(3, 8),
        b=conv(3, 16),
        c=conv(32, 4),
    )
    assert read(found, "c") == [("a", 1), ("b", 1), ("a", 1)]


def test_what_is_added_to_a_concatenation_is_made_of_its_parts() -> None:
    found = channels(
        lambda m, x: m.d(torch.cat([m.a(x), m.b(x)], 1) + m.c(x)),
        a=conv(3, 8),
        b=conv(3, 16),
        c=conv(3, 24),
        d=conv(24, 4),
    )
    assert free(found) == {"a": 8, "b": 16} and read(found, "d") == [("a", 1), ("b", 1)]


@pytest.mark.parametrize(
    "flat",
    [
        lambda x: x.flatten(1),
        lambda x: torch.flatten(x, 1),
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape(x.shape[0], -1),
    ],
)
def test_flattened_maps_are_all_places_of_a_channel(flat: Callable[[Tensor], Tensor]) -> None:
    found = channels(lambda m, x: m.fc(flat(m.a(x))), a=conv(3, 16), fc=nn.Linear(16 * 64, 4))
    assert free(found) == {"a": 16} and read(found, "fc") == [("a", 64)]


@pytest.mark.parametrize(
    "mean",
    [
        lambda x: x.mean((2, 3)),
        lambda x: x.mean([-1, -2]),
        lambda x: x.amax(dim=(2, 3)),
        lambda x: x.sum(3).sum(2),
        lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
        lambda x: F.adaptive_max_pool2d(x, 1).squeeze(-1).squeeze(-1),
        lambda x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0],
        lambda x: x.mean((2, 3), keepdim=True)[..., 0, 0],
        lambda x: x.flatten(2).mean(-1),
        lambda x: x.permute(0, 2, 3, 1).mean((1, 2)),
        lambda x: x.flatten(2).transpose(1, 2)[:, 0],
        lambda x: torch.einsum("bchw->bc", x),
        lambda x: x.unbind(2)[0].unbind(2)[0],
        lambda x: torch.stack([x, x], 2).mean((2, 3, 4)),
    ],
)
def test_means_cuts_and_moves_keep_the_channels(mean: Callable[[Tensor], Tensor]) -> None:
    found = channels(lambda m, x: m.fc(mean(m.a(x))), a=conv(3, 16), fc=nn.Linear(16, 4))
    assert free(found) == {"a": 16} and read(found, "fc") == [("a", 1)]


@pytest.mark.parametrize(
    ("mixes", "outputs", "said"),
    [
        (lambda x: F.pixel_shuffle(x, 2), 4, "pixel_shuffle"),
        (nn.PixelShuffle(2), 4, "PixelShuffle"),
        (nn.ChannelShuffle(4), 16, "ChannelShuffle"),
        (lambda x: torch.softmax(x, 1), 16, "softmax"),
        (lambda x: x.cumsum(1), 16, "cumsum"),
        (lambda x: x[:, :8], 8, "takes a part"),
        (lambda x: x[:, [0, 2]], 2, "takes a part"),
        (lambda x: x.split([4, 12], 1)[1], 12, "written with numbers"),
        (lambda x: x.chunk(3, 1)[0], 6, "takes parts"),
        (lambda x: x.view(-1, 16, 8, 8), 16, "written with numbers"),
        (lambda x: x.reshape(2, 8, 16, 8), 8, "mixes"),
        (lambda x: x.transpose(1, 2), 8, "another axis"),
        (lambda x: F.max_pool2d(x.transpose(1, 2), 1).transpose(1, 2), 16, "changes it"),
        (nn.LocalResponseNorm(3), 16, "LocalResponseNorm"),
        (lambda x: torch.fft.fft(x).real, 16, "fft"),
        (lambda x: x.repeat(1, 2, 1, 1), 32, "repeat"),
    ],
)
def test_what_mixes_channels_keeps_them_and_is_named(mixes: Any, outputs: int, said: str) -> None:
    layers = {"mixes": mixes} if isinstance(mixes, nn.Module) else {}
    found = channels(lambda m, x: m.c(mixes(m.a(x))), a=conv(3, 16), c=conv(outputs, 4), **layers)
    assert "a" not in free(found) and said in found.fixed()["a"]


def test_the_line_of_what_keeps_a_width_is_told() -> None:
    found = channels(lambda m, x: m.c(m.a(x)[:, :8]), a=conv(3, 16), c=conv(8, 4))
    assert "test_channels.py:" in found.fixed()["a"]


def test_what_comes_after_is_still_a_decision() -> None:
    found = channels(
        lambda m, x: m.c(m.b(torch.softmax(m.a(x), 1))), a=conv(3, 8), b=conv(8, 16), c=conv(16, 4)
    )
    assert free(found) == {"b": 16}


def test_halves_are_parts_of_one_layer() -> None:
    def gated(m: Any, x: Tensor) -> Tensor:
        one, two = m.a(x).chunk(2, dim=1)
        return m.c(one * torch.sigmoid(two))

    found = channels(gated, a=conv(3, 32), c=conv(16, 4))
    assert free(found) == {"a": 16} and read(found, "c") == [("a", 1)]
    given = found.groups.opened(found.ends["a"][1] or ())
    assert len(given) == 2 and given[0] == given[1]


def listed(m: Any, x: Tensor) -> Tensor:
    """Parts of a layer in a list, and what is made of the last of them beside them."""
    parts = list(m.a(x).chunk(2, dim=1))
    parts.append(m.b(parts[-1]))
    return m.c(torch.cat(parts, 1))


def test_parts_in_a_list_are_followed() -> None:
    found = channels(listed, a=conv(3, 16), b=conv(8, 8), c=conv(24, 4))
    assert free(found) == {"a": 8, "b": 8}
    assert read(found, "c") == [("a", 1), ("a", 1), ("b", 1)]


def test_a_depthwise_convolution_may_be_of_parts() -> None:
    def gated(m: Any, x: Tensor) -> Tensor:
        one, two = m.depth(m.a(x)).chunk(2, dim=1)
        return m.c(one * two)

    found = channels(gated, a=conv(3, 16), depth=conv(16, 16, 3, groups=16), c=conv(8, 4))
    assert free(found) == {"a": 8}


def merged(m: Any, x: Tensor) -> Tensor:
    """Four neighboring places as one, with four times the channels."""
    x = m.a(x).permute(0, 2, 3, 1)
    b, h, w, c = x.shape
    places = [x[:, i::2, j::2, :] for i in (0, 1) for j in (0, 1)]
    return m.c(torch.cat(places, -1).view(b, -1, 4 * c))


def test_a_width_times_a_number_is_followed() -> None:
    found = channels(merged, a=conv(3, 16), c=nn.Linear(64, 4))
    assert free(found) == {"a": 16} and read(found, "c") == [("a", 1)] * 4


def test_a_cut_behind_the_end_takes_nothing_away() -> None:
    found = channels(lambda m, x: m.c(m.a(x)[:, :16]), a=conv(3, 16), c=conv(16, 4))
    assert free(found) == {"a": 16}


@pytest.mark.parametrize(
    "heads",
    [
        lambda x: x.view(x.shape[0], 64, -1, 4),
        lambda x: x.unflatten(-1, (-1, 4)),
        lambda x: torch.reshape(x, (-1, 64, x.shape[2] // 4, 4)),
    ],
)
def test_heads_are_the_part_of_a_width_that_changes(heads: Callable[[Tensor], Tensor]) -> None:
    def attention(m: Any, x: Tensor) -> Tensor:
        x = m.a(x).flatten(2).transpose(1, 2)
        q, k, v = (heads(f(x)).transpose(1, 2) for f in (m.q, m.k, m.v))
        weights = torch.softmax(q @ k.transpose(-2, -1) / 2, -1)
        return m.out((weights @ v).transpose(1, 2).flatten(2))

    found = channels(
        attention,
        a=conv(3, 8),
        **{name: nn.Linear(8, 12) for name in "qkv"},
        out=nn.Linear(12, 4),
    )
    assert free(found) == {"a": 8, "q.heads": 3} and read(found, "out") == [("q.heads", 4)]
    assert "v" not in found.fixed()


class Biased(nn.Module):
    """Attention in heads, with a bias for each pair of places and head from a table."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.patches, self.qkv, self.out = conv(3, 8), nn.Linear(8, 48), nn.Linear(16, 5)
        self.table = nn.Parameter(torch.rand(7, 4))
        self.register_buffer("index", torch.randint(7, (64, 64)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.view(-1)].view(n, n, -1).permute(2, 0, 1)
        weights = F.softmax(q @ k.mT + bias[None], dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, n, -1))


def test_a_table_by_heads_goes_with_the_heads() -> None:
    model = Biased()
    found = followed(model, traced(model, IMAGES))
    assert free(found) == {"patches": 8, "qkv.heads": 4}
    assert set(found.tensors) == {"table"} and list(found.tensors["table"]) == [1]
    assert set(found.numbers) == {("", "heads", None)}


def test_attention_over_channels_keeps_nothing_but_what_it_must() -> None:
    """Products over a width agree; what two widths make is not followed."""
    found = channels(
        lambda m, x: m.c(m.a(x).flatten(2).transpose(1, 2) @ m.b(x).flatten(2)),
        a=conv(3, 8),
        b=conv(3, 8),
        c=nn.Linear(64, 4),
    )
    assert free(found) == {"a": 8}
    both = channels(
        lambda m, x: m.c(m.a(x).flatten(2) @ m.b(x).flatten(2).transpose(1, 2)),
        a=conv(3, 8),
        b=conv(3, 8),
        c=nn.Linear(8, 4),
    )
    assert free(both) == {} and "product of two widths" in both.fixed()["a"]


def test_attention_along_a_width_keeps_it() -> None:
    found = channels(
        lambda m, x: m.c(F.scaled_dot_product_attention(*(m.a(x).flatten(2).transpose(1, 2),) * 3)),
        a=conv(3, 8),
        c=nn.Linear(8, 4),
    )
    assert "attends along it" in found.fixed()["a"]


def test_a_tensor_of_a_channels_length_goes_with_it() -> None:
    found = channels(
        lambda m, x: m.c(m.a(x) * m.scale.view(1, -1, 1, 1) + m.shift[:, None, None].exp()),
        a=conv(3, 16),
        c=conv(16, 4),
        scale=nn.Parameter(torch.ones(16)),
        shift=nn.Parameter(torch.ones(16)),
    )
    given = found.ends["a"][1]
    assert found.tensors == {"scale": {0: given}, "shift": {0: given}} and free(found) == {"a": 16}


@pytest.mark.parametrize(
    "use",
    [
        lambda m, x: x * m.scale.view(1, 16, 1, 1),
        lambda m, x: x * m.scale[:16, None, None].cumsum(0),
        lambda m, x: x + m.scale.softmax(0)[:, None, None],
        lambda m, x: F.batch_norm(x, m.scale, m.scale),
    ],
)
def test_a_tensor_that_is_not_followed_keeps_the_width(
    use: Callable[[Any, Tensor], Tensor],
) -> None:
    found = channels(
        lambda m, x: m.c(use(m, m.a(x))),
        a=conv(3, 16),
        c=conv(16, 4),
        scale=nn.Parameter(torch.ones(16)),
    )
    assert free(found) == {}


def test_the_inner_width_of_a_gate_is_noted_with_what_it_scales() -> None:
    found = channels(
        lambda m, x: m.c(
            (y := m.a(x)) * torch.sigmoid(m.up(F.relu(m.down(y.mean((2, 3), keepdim=True)))))
        ),
        a=conv(3, 16),
        down=conv(16, 4),
        up=conv(4, 16),
        c=conv(16, 4),
    )
    assert [tuple(map(found.groups.name, pair)) for pair in found.squeezes] == [("down", "a")]
    assert free(found) == {"a": 16, "down": 4}


@pytest.mark.parametrize(
    "gate",
    [
        lambda m, y: m.up(F.relu(m.down(F.adaptive_avg_pool2d(y, 1)))).expand_as(y),
        lambda m, y: m.up(m.down(y.mean((2, 3), True))) + m.up(m.down(F.adaptive_max_pool2d(y, 1))),
        lambda m, y: F.hardsigmoid(m.up(F.silu(m.down(y.mean((2, 3), keepdim=True))))),
    ],
)
def test_gates_are_seen_in_each_form(gate: Callable[[Any, Tensor], Tensor]) -> None:
    found = channels(
        lambda m, x: m.c((y := m.a(x)) * gate(m, y)),
        a=conv(3, 16),
        down=conv(16, 4),
        up=conv(4, 16),
        c=conv(16, 4),
    )
    pairs = {tuple(map(found.groups.name, pair)) for pair in found.squeezes}
    assert pairs == {("down", "a")} and free(found) == {"a": 16, "down": 4}


def test_a_gate_by_the_largest_channel_joins_nothing() -> None:
    found = channels(
        lambda m, x: m.c(
            (y := m.a(x)) * m.b(torch.cat([y.mean(1, keepdim=True), y.max(1, keepdim=True)[0]], 1))
        ),
        a=conv(3, 16),
        b=conv(2, 1),
        c=conv(16, 4),
    )
    assert free(found)["a"] == 16


def test_a_bottleneck_is_no_gate() -> None:
    found = channels(
        lambda m, x: m.c((y := m.a(x)) * m.up(F.relu(m.down(y)))),
        a=conv(3, 16),
        down=conv(16, 4),
        up=conv(4, 16),
        c=conv(16, 4),
    )
    assert found.squeezes == []


def test_layers_that_share_a_weight_agree() -> None:
    one, two = nn.Linear(192, 16), nn.Linear(192, 16)
    two.weight = one.weight
    found = channels(
        lambda m, x: m.c(torch.cat([m.one(x.flatten(1)), m.two(x.flatten(1))], 1)),
        one=one,
        two=two,
        c=nn.Linear(32, 4),
    )
    assert free(found) == {"one": 16} and read(found, "c") == [("one", 1), ("one", 1)]


@pytest.mark.parametrize(
    "use",
    [
        lambda m, x: m.a(x) * m.a.weight.mean(),
        lambda m, x: m.a(x) / m.a.out_channels,
        lambda m, x: m.a(x).reshape(-1, m.a.out_channels, 8, 8),
        lambda m, x: F.conv2d(x, m.a.weight, m.a.bias),
    ],
)
def test_a_layer_that_others_look_into_stays(use: Callable[[Any, Tensor], Tensor]) -> None:
    found = channels(lambda m, x: m.c(use(m, x)), a=conv(3, 16), c=conv(16, 4))
    assert free(found) == {}


def test_layers_with_hooks_or_a_forward_of_their_own_stay() -> None:
    hooked = conv(3, 16)
    hooked.register_forward_hook(lambda *_: None)
    normed = nn.utils.parametrizations.weight_norm(conv(16, 16))
    found = channels(lambda m, x: m.c(m.b(m.a(x))), a=hooked, b=normed, c=conv(16, 4))
    assert "hooks" in found.fixed()["a"] and "of its own" in found.fixed()["b"]
    assert free(found) == {}


def test_the_input_and_the_output_keep_their_widths() -> None:
    found = channels(lambda m, x: m.a(x) + x, a=conv(3, 3))
    assert free(found) == {} and found.fixed()["a"] == "it is the input's"
