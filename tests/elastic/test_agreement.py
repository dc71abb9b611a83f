"""Groups of channels: joined, made of one another, kept."""

from __future__ import annotations

import pytest

from archsmith.elastic.agreement import Groups, Part


def test_groups_that_are_joined_are_one_under_the_first_name() -> None:
    groups = Groups()
    one, two, three = (groups.new(8, name) for name in ("one", "two", "three"))
    groups.agree((Part(three),), (Part(two),), "add")
    groups.multiples((Part(three),), 2, "norm")
    groups.agree((Part(two),), (Part(one),), "add")
    assert groups.roots == [one] and groups.name(three) == "one" and groups.unit(two) == 2
    groups.fix((Part(two),), "it is the output's")
    assert groups.reason(one) == "it is the output's"


def test_a_width_turns_out_to_be_heads() -> None:
    groups = Groups()
    features, heads = groups.new(48, "qkv"), groups.new(4, "qkv.heads")
    assert groups.becomes(features, (Part(heads, 4),) * 3, "view")
    assert groups.opened((Part(features, 2),)) == (Part(heads, 8),) * 3
    assert groups.roots == [heads] and groups.total((Part(features),)) == 48
    assert groups.pieces((Part(features),), 3) == [(Part(heads, 4),)] * 3
    assert groups.pieces((Part(features),), 2) is None
    assert groups.numbers((Part(features),)) == {heads: 12}
    groups.fix((Part(features),), "why")
    assert groups.reason(heads) == "why"


def test_layouts_of_one_tensor_agree_part_by_part() -> None:
    groups = Groups()
    stream, a, b, heads = (
        groups.new(n, name) for n, name in ((12, "s"), (8, "a"), (4, "b"), (2, "h"))
    )
    groups.agree((Part(stream),), (Part(a), Part(b)), "add")
    assert groups.opened((Part(stream),)) == (Part(a), Part(b))
    groups.agree((Part(heads, 4), Part(b)), (Part(stream),), "add")
    assert groups.opened((Part(stream),)) == (Part(heads, 4), Part(b))
    assert all(groups.reason(group) is None for group in groups.roots)


@pytest.mark.parametrize(
    ("sizes", "one", "other"),
    [
        ((6, 4, 5, 5), (0, 1), (2, 3)),  # parts that do not meet
        ((6, 4), (0,), (1,)),  # another width
    ],
)
def test_what_cannot_agree_stays(
    sizes: tuple[int, ...], one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    groups = Groups()
    for i, size in enumerate(sizes):
        groups.new(size, str(i))
    groups.agree(tuple(map(Part, one)), tuple(map(Part, other)), "add (net.py:3)")
    for group in (*one, *other):
        assert "add (net.py:3)" in (groups.reason(group) or "")


def test_repeats_that_do_not_divide_stay() -> None:
    groups = Groups()
    one, other = groups.new(6, "one"), groups.new(4, "other")
    groups.agree((Part(one, 2),), (Part(other, 3),), "add")
    assert groups.reason(one) and groups.reason(other)


def test_groups_of_a_convolution_cannot_be_parts() -> None:
    groups = Groups()
    width, half = groups.new(16, "width"), groups.new(8, "half")
    groups.multiples((Part(width),), 2, "conv")
    assert not groups.becomes(width, (Part(half),) * 2, "chunk")
    assert "chunk" in (groups.reason(width) or "")
    free, heads = groups.new(16, "free"), groups.new(4, "heads")
    groups.multiples((Part(free),), 4, "norm")
    assert groups.becomes(free, (Part(heads, 4),), "view") and groups.unit(heads) == 1
    assert not groups.multiples((Part(heads, 4),), 8, "norm") and groups.reason(heads)


def test_a_group_is_not_made_of_itself() -> None:
    groups = Groups()
    width = groups.new(16, "width")
    assert not groups.becomes(width, (Part(width),), "view")
