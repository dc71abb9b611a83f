"""What was found of a network's channels: what stays and why, and what is bound to a width."""

from __future__ import annotations

from torch import nn

from archsmith.elastic.agreement import Part
from archsmith.elastic.channels import Channels


def test_layers_say_why_the_width_they_give_stays() -> None:
    found = Channels(nn.Sequential())
    wide, narrow = found.groups.new(8, "wide"), found.groups.new(4, "narrow")
    found.note("wide", None, (Part(wide),))
    found.note("narrow", (Part(wide),), (Part(narrow),))
    found.plain["attention"] = "it has no elastic form"
    found.groups.fix((Part(narrow),), "it is the output's")
    assert found.fixed() == {
        "attention": "it has no elastic form",
        "narrow": "it is the output's",
    }


def test_a_layer_that_is_used_twice_reads_and_gives_the_same() -> None:
    found = Channels(nn.Sequential())
    one, two, given = (found.groups.new(8, name) for name in ("one", "two", "given"))
    found.note("layer", (Part(one),), (Part(given),))
    found.note("layer", (Part(two),), (Part(given),))
    assert found.groups.roots == [one, given]


def test_what_is_bound_to_a_width_agrees_with_it() -> None:
    found = Channels(nn.Sequential())
    one, two, heads, other = (found.groups.new(8, str(i)) for i in range(4))
    found.bind_tensor("scale", 0, (Part(one),))
    found.bind_tensor("scale", 0, (Part(two),))
    found.bind_number(("", "heads", None), (Part(heads),), "view")
    found.bind_number(("", "heads", None), (Part(other),), "view")
    assert found.groups.roots == [one, heads]
    found.plain_tensors["scale"] = "rolled"
    found.bind_tensor("scale", 0, (Part(two),))
    assert found.groups.reason(one) == "rolled" and found.groups.reason(heads) is None


def test_a_view_is_misled_where_another_factor_may_change() -> None:
    found = Channels(nn.Sequential())
    fixed, free = found.groups.new(3, "fixed", "why"), found.groups.new(4, "free")
    found.splits.update(view=(fixed, 0, 2), view_1=(fixed, 1, 2), view_2=(free, 0, 2))
    assert found.misled() == {"view": 0}
