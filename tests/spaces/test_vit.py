"""The AutoFormer spaces: the thirteen published parameter counts and MACs of PreNAS' networks;
relative positions; sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsmith.elastic.supernet import extract, search_space
from archsmith.errors import UserError
from archsmith.metrics.cost import Costs, macs, params
from archsmith.space import Architecture
from archsmith.spaces.vit import (
    BASE,
    SMALL,
    TINY,
    RelativeAttention,
    RelativePositions,
    Transformer,
    autoformer_base,
    autoformer_small,
    autoformer_tiny,
    transformer,
    vit_nano,
)

# Wang et al., ICML 2023, released sets: embedding, heads and ratio of each block, parameters, GMACs
# at 224 pixels
TINY_PICKS = [
    (192, "444433333434", "4 4 4 4 4 3.5 3.5 4 4 3.5 4 4", 5994760, 1.32),
    (216, "444443334434", "4 3.5 4 3.5 3.5 3.5 3.5 3.5 3.5 3.5 3.5 3.5", 6997192, 1.52),
    (240, "333333333333", "4 3.5 4 4 3.5 3.5 3.5 4 4 3.5 4 3.5", 7996552, 1.67),
    (240, "444444444444", "4 4 4 4 3.5 4 4 4 3.5 4 4 4", 8967016, 1.92),
    (240, "44444333443434", "4 4 4 4 3.5 3.5 4 4 3.5 4 3.5 4 4 4", 9978232, 2.13),
    (240, "44444444444444", "4 4 4 4 4 4 4 4 4 4 4 4 4 4", 10517272, 2.26),
]
SMALL_PICKS = [
    (320, "7777777767565", "4 4 3.5 4 3.5 4 4 3.5 4 4 3.5 4 4", 17991400, 3.86),
    (384, "7777577565565", "4 4 3.5 4 3.5 4 3.5 3.5 4 4 3 4 3.5", 22989928, 4.80),
    (448, "7777577565565", "4 4 3 4 3 3.5 3 3 4 3 3 4 3", 27976008, 5.76),
    (448, "77777777575657", "4 4 3.5 4 3.5 4 4 3.5 4 4 3.5 4 4 3.5", 32981640, 6.81),
]
BASE_PICKS = [
    (528, "9 9 9 9 9 9 9 9 9 9 9 9 9 9", "3 3 3 3 3 3 3 3 3 3 3 3.5 3 3", 41966944, 8.73),
    (
        576,
        "9 9 10 9 9 10 9 9 9 9 9 9 10 9",
        "3.5 4 3.5 3.5 3.5 4 3.5 3.5 3.5 3.5 4 3 3.5 4",
        53876104,
        11.08,
    ),
    (624, "9 10 10 9 9 10 10 9 10 9 9 9 10 10", "4 3.5 4 4 4 4 4 4 4 4 4 4 4 4", 65916448, 13.46),
]
SPACES = {
    "tiny": (TINY, autoformer_tiny, 3 * (4**12 + 4**13 + 4**14), TINY_PICKS),
    "small": (SMALL, autoformer_small, 3 * (9**12 + 9**13 + 9**14), SMALL_PICKS),
    "base": (BASE, autoformer_base, 3 * (6**14 + 6**15 + 6**16), BASE_PICKS),
}


def on_meta(make, *arguments, **settings) -> nn.Module:
    with torch.device("meta"):
        return make(*arguments, **settings)


def pick(embedding: int, heads: str, ratios: str) -> Architecture:
    counts = [int(h) for h in (heads.split() if " " in heads else heads)]
    known: dict[str, float] = {"embedding": embedding, "depth": len(counts)}
    for i, (count, ratio) in enumerate(zip(counts, ratios.split(), strict=True), start=1):
        known |= {f"block{i}.heads": count, f"block{i}.ratio": float(ratio)}
    return Architecture(known)


@pytest.mark.parametrize("name", SPACES)
def test_the_published_parameter_counts_to_the_last_digit(name: str) -> None:
    _, make, size, picks = SPACES[name]
    model = on_meta(make)
    space = search_space(model)
    assert space.size == size
    for embedding, heads, ratios, published, _ in picks:
        plain = extract(model, space.check(pick(embedding, heads, ratios)), "fresh", device="meta")
        assert params(plain) == published


@pytest.mark.parametrize("name", SPACES)
def test_the_published_macs(name: str) -> None:
    """They hold without the products of relative positions, which published counts leave out; those
    are counted as well."""
    of, _, _, picks = SPACES[name]
    free = Transformer(of.embedding, of.depth, of.heads, of.ratio, reach=None)
    costs = Costs(on_meta(transformer, free, 1000, 3, 224), (3, 224, 224), ("macs",))
    assert costs.additive
    for embedding, heads, ratios, _, published in picks:
        assert round(costs(pick(embedding, heads, ratios))["macs"] / 1e9, 2) == published


def test_relative_positions_add_two_products_of_the_size_of_the_attention() -> None:
    with_reach, without = (
        Transformer((8,), (1,), (2,), (2,), 4, 8, reach=reach) for reach in (3, None)
    )
    counts = []
    for of in (with_reach, without):
        model = on_meta(transformer, of, 10, 3, 32)
        counts.append(
            macs(extract(model, search_space(model).extreme(), "fresh", device="meta"), (3, 32, 32))
        )
    assert counts[0] - counts[1] == 2 * 2 * 17 * 17 * 4


@pytest.mark.parametrize("class_token", [True, False])
def test_relative_positions_follow_the_distance(class_token: bool) -> None:
    table = RelativePositions(3, 1, 2, class_token)
    with torch.no_grad():
        pairs = table()
        first = int(class_token)
        for q in range(9):
            for k in range(9):
                down, right = (min(1, max(-1, d)) + 2 for d in (k // 3 - q // 3, k % 3 - q % 3))
                assert torch.equal(
                    pairs[first + q, first + k], table.vertical[down] + table.horizontal[right]
                )
        if class_token:
            own = table.vertical[0] + table.horizontal[0]
            assert torch.equal(pairs[0], own.expand(10, 2)) and torch.equal(
                pairs[:, 0], own.expand(10, 2)
            )


def test_relative_attention_is_the_equation_written_out() -> None:
    attention = RelativeAttention(6, 2, 3, 2, 1, class_token=True)  # type: ignore[arg-type]
    x = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        q, k, v = (layer(x)[0] for layer in (attention.query, attention.key, attention.value))
        on_keys, on_values = attention.on_keys(), attention.on_values()
        heads = []
        for h in (slice(0, 3), slice(3, 6)):
            rows = []
            for i in range(5):
                logits = (
                    torch.stack([q[i, h] @ (k[j, h] + on_keys[i, j]) for j in range(5)]) / 3**0.5
                )
                rows.append(
                    sum(w * (v[j, h] + on_values[i, j]) for j, w in enumerate(logits.softmax(0)))
                )
            heads.append(torch.stack(rows))
        torch.testing.assert_close(
            attention(x)[0], attention.projection(torch.cat(heads, 1)), rtol=1e-5, atol=1e-6
        )


def test_the_small_one_has_its_size_and_range() -> None:
    model = on_meta(vit_nano)
    space = search_space(model)
    assert space.size == 3 * sum(12**depth for depth in (2, 3, 4)) == 67824
    counts = [
        params(extract(model, space.extreme(which), "fresh", device="meta")) for which in (0, -1)
    ]
    assert [round(count / 1000) for count in counts] == [16, 181]


@pytest.mark.parametrize(("size", "tokens"), [(8, 16), (28, 16), (32, 16), (50, 25), (96, 16)])
def test_the_small_one_takes_any_size(size: int, tokens: int) -> None:
    model = on_meta(vit_nano, 7, 1, size)
    plain = extract(model, search_space(model).extreme(0), "fresh", device="meta").eval()
    assert plain.patches(torch.empty(2, 1, size, size, device="meta")).shape[1] == tokens
    assert plain(torch.empty(2, 1, size, size, device="meta")).shape == (2, 7)


def test_sizes_that_patches_do_not_fill_are_named() -> None:
    with pytest.raises(UserError, match="size=100 is not a multiple of the patch of 16"):
        on_meta(autoformer_tiny, 10, 3, 100)
