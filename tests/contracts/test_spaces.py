"""The laws that every entry of the table of spaces keeps: texts both ways, canonical forms, what
lives, counts, names."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsmith.elastic.supernet import active, extract, search_space
from archsmith.errors import UserError
from archsmith.metrics.proxies.ensembles import ENSEMBLES
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces import AUTO, SPACES, build, described
from archsmith.spaces.blocks import KINDS
from archsmith.spaces.catalog.entry import Space

# elsewhere 8
SIDE = {f"autoformer-{size}": 16 for size in ("tiny", "small", "base")}
SIDE |= {"transnas": 32, "efficientnet-lite0": 32}
SMALL = {"width": 8, "cells": 1, "layers": 3}  # of what there is for a parameter
GROWING = ("convnet", "mobilenet")  # spaces that depend on the size of the images


@pytest.fixture(scope="module", params=SPACES)
def space(request: pytest.FixtureRequest) -> Space:
    return SPACES[request.param]


@cache
def of_name(name: str) -> SearchSpace:
    return search_space(build(name, 10, 3, 32))


def decisions(space: Space) -> SearchSpace:
    return of_name(space.name)


def architectures(space: Space, count: int) -> list[Architecture]:
    found, rng = decisions(space), Random(0)
    return [found.extreme(-1), found.extreme(0), *(found.sample(rng) for _ in range(count))]


def test_an_entry_says_what_people_ask_for(space: Space) -> None:
    assert space.what and space.images and "archsmith." not in space.what
    module, _, attribute = space.network.partition(":")
    assert callable(getattr(import_module(module), attribute))
    assert described(space.name) is space
    assert space.timed is None or space.timed in KINDS


def test_it_holds_as_many_networks_as_it_says(space: Space) -> None:
    if space.name in GROWING:
        sizes = [search_space(build(space.name, 10, 3, size)).size for size in (4, 224)]
        assert [f"{size:.2g}" for size in sizes] == space.networks.split(" to ")
    else:
        size = decisions(space).size
        assert space.networks == (f"{size:,}" if size < 10**6 else f"{float(size):.2g}")


def test_its_ensemble_is_there(space: Space) -> None:
    assert space.ensemble is None or space.ensemble in ENSEMBLES


# -- texts -----------------------------------------------------------------------------------------


def test_each_form_of_text_is_read_back(space: Space) -> None:
    for form in space.formats:
        for arch in architectures(space, 30):
            text = form.write(arch)
            assert form.fits(text) and form.read(text) == arch, (form.name, text)
            assert form.read(text).key == arch.key  # to the type of each option
            found = space.read(text)
            assert found.arch == arch and found.size is None
        first = form.write(decisions(space).extreme(-1))
        # as files are
        assert space.read(
            f"\n {first}\n" if not first.startswith("RETRAIN") else f"# of a file\n{first}"
        ).form


def test_text_and_arch_are_those_of_the_usual_form(space: Space) -> None:
    if not space.formats:
        assert space.text is None and space.arch is None
        return
    arch = decisions(space).sample(Random(1))
    assert space.text is not None and space.arch is not None
    assert space.text(arch) == space.formats[0].write(arch) and space.arch(space.text(arch)) == arch
    assert len({form.name for form in space.formats}) == len(space.formats)


def test_a_text_of_no_form_is_refused_with_those_that_are(space: Space) -> None:
    for text in ("", "ResNet-50", "{}", "[1, 2]", "a: b", "\x00"):
        with pytest.raises(UserError) as raised:
            space.read(text)
        assert all(form.name in str(raised.value) for form in space.formats) and space.name in str(
            raised.value
        )


def test_no_text_ends_in_anything_but_an_architecture_or_a_message(space: Space) -> None:
    """Pieces cut out, doubled or exchanged, in every form."""
    rng, held = Random(2), decisions(space)
    for form in space.formats:
        text = form.write(held.sample(rng))
        for _ in range(60):
            a, b = sorted(rng.sample(range(len(text) + 1), 2))
            b = min(b, a + rng.choice((1, 2, 8, 1000)))
            broken = (
                text[:a] + rng.choice(("", text[a:b] * 2, rng.choice("07x-,'[{|~\n"))) + text[b:]
            )
            try:
                held.check(space.read(broken).arch)
            except UserError as error:
                assert len(str(error)) < 1000


# -- what lives and what is alike ------------------------------------------------------------------


class Case:
    """A small network of a space and two batches of images; where it is too wide for the memory,
    plain networks of it."""

    def __init__(self, space: Space) -> None:
        side, generator = SIDE.get(space.name, 8), torch.Generator().manual_seed(3)
        self.x, self.other = (torch.randn(4, 3, side, side, generator=generator) for _ in range(2))
        module, _, attribute = space.network.partition(":")
        make = getattr(import_module(module), attribute)
        known = inspect.signature(make).parameters
        small: dict[str, Any] = {
            name: value
            for name, value in SMALL.items()
            if name in known and isinstance(known[name].default, int)
        }
        self.wide = space.name.startswith("zen")
        with torch.device("meta" if self.wide else "cpu"):
            self.model: nn.Module = make(classes=10, channels=3, size=side, **small)
        for layer in self.model.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        self.space = search_space(self.model)

    def architectures(self, count: int) -> list[Architecture]:
        """Random ones; of a space that is too wide where its search begins."""
        rng = Random(5)
        return [self.model.start] if self.wide else [self.space.sample(rng) for _ in range(count)]  # type: ignore[list-item]

    def run(self, arch: Architecture, x: Tensor) -> Tensor:
        """In training mode: statistics of these images, so that nothing dies out with depth."""
        with torch.no_grad():
            if self.wide:
                return extract(self.model, arch, "fresh", torch.Generator().manual_seed(4)).train()(
                    x
                )
            with active(self.model.train(), arch):
                return self.model(x)


@pytest.fixture(scope="module")
def case(space: Space) -> Case:
    return Case(space)


def test_networks_that_live_compute_something_and_the_others_nothing(
    space: Space, case: Case
) -> None:
    archs = case.architectures(3 if space.live is None else 25)
    if space.live is not None:
        archs.append(case.space.extreme(0))  # nothing but "none"
        assert {space.live(arch) for arch in archs} == {True, False}
    for arch in archs:
        differs = not torch.equal(case.run(arch, case.x), case.run(arch, case.other))
        assert differs == (space.live is None or space.live(arch)), arch


def test_the_canonical_form_computes_the_same_and_is_its_own(space: Space, case: Case) -> None:
    if space.canonical is None:
        arch = case.architectures(1)[0]
        assert space.form(arch) is arch
        return
    changed = 0
    for arch in case.architectures(12):
        form = space.form(arch)
        assert case.space.contains(form) and space.form(form) == form
        torch.testing.assert_close(case.run(form, case.x), case.run(arch, case.x), rtol=0, atol=0)
        assert space.live is None or space.live(form) == space.live(arch)
        changed += form != arch
    assert changed  # or nothing was shown


def test_shape_and_statistic_are_numbers_of_every_network(space: Space) -> None:
    for arch in architectures(space, 10):
        if space.shape is not None:
            found = space.shape(arch)
            assert set(found) == {
                f"{what}.{cell}"
                for cell in space.shape.cells
                for what in ("height", "free", "rest")
            }
            assert all(value >= 0 for value in found.values())
        if space.statistic is not None:
            assert space.statistic(arch) >= 0


# -- the table -------------------------------------------------------------------------------------


def test_names_are_those_of_the_entries_and_auto_is_one_of_them() -> None:
    assert all(name == space.name for name, space in SPACES.items()) and AUTO in SPACES
    assert described("auto") is SPACES[AUTO]
    assert [space.name for space in SPACES.values() if space.hand_made] == [AUTO]


def test_nothing_is_known_of_a_users_own_space() -> None:
    own = described("my_model.py:Net")
    assert (
        own == Space("my_model.py:Net", "my_model.py:Net")
        and own.live is own.canonical is own.ensemble is own.text is None
    )
    with pytest.raises(UserError, match=r"give an architecture\.json"):
        own.read("8:16:24:32:40")


def test_no_text_fits_two_spaces_of_different_decisions() -> None:
    """So that a text given to the wrong space is told by the right one's name."""
    for space in SPACES.values():
        for form in space.formats:
            text = form.write(decisions(space).sample(Random(7)))
            for other in SPACES.values():
                if any(form.fits(text) for form in other.formats):
                    assert [form.name for form in other.formats] == [
                        form.name for form in space.formats
                    ]
