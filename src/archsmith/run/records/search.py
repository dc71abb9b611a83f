"""The records of the stages screen, train and search: what was scored, what weights were shared,
which networks to train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import StrictInt, StrictStr

from archsmith.run.records.part import Number, Options, Part


class Best(Part):
    """The best of the networks that were scored: its key, its score (the larger the better;
    estimates in %), its depth."""

    key: StrictStr
    score: Number
    depth: Number | None = None


class Screened(Part):
    """What screen leaves.

    `proxy`: the score, None where nothing was scored, and then in most cases `why`. `scored`:
    networks; `passes`: forward and backward passes in all; `seconds_per_score`: the median.
    """

    proxy: StrictStr | None
    scored: StrictInt
    best: Best | None
    passes: StrictInt
    seconds_per_score: Number | None
    why: StrictStr | None = None


class Supernet(Part):
    """Weights that the networks of a part of the space share.

    `parent`: the supernet it was split from, None for the first; `images` and `macs`
    (multiply-accumulates) of its own training; `options`: decision -> what is left of its options,
    where that is less than above it.
    """

    name: StrictStr
    parent: StrictStr | None
    images: Number
    macs: Number
    options: Mapping[StrictStr, tuple[Any, ...]]


class TrustCheck(Part):
    """A random network trained by itself, against its estimate: both accuracies (0 to 1), both
    losses, `images` it saw."""

    key: StrictStr
    estimate: Number
    estimated_loss: Number
    accuracy: Number
    loss: Number
    images: Number


class Trust(Part):
    """How far estimates by shared weights can be trusted: rank correlations over the `networks`
    that were trained alone.

    `p`: how often chance gives as high a Kendall. `why`: too few could be checked.
    """

    networks: tuple[TrustCheck, ...]
    kendall: Number
    spearman: Number
    p: Number
    why: StrictStr | None = None


class Pruning(Part):
    """A distribution over options at one time: decision -> `theta` by place of the option, and the
    places still `alive`."""

    theta: Mapping[StrictStr, tuple[Number, ...]]
    alive: Mapping[StrictStr, tuple[StrictInt, ...]]


class Narrowing(Part):
    """How a distribution was pruned: decision -> names of its `options`; a stage at first and after
    each pruning; the `survivor`."""

    options: Mapping[StrictStr, tuple[StrictStr, ...]]
    stages: tuple[Pruning, ...]
    survivor: Options


class Trained(Part):
    """What train leaves: the supernets (`nodes`), the `images` and `macs` of all their training,
    how far to trust estimates.

    `distribution`: of methods that prune one.
    """

    nodes: tuple[Supernet, ...]
    images: Number
    macs: Number
    trust: Trust
    distribution: Narrowing | None = None


class Untrained(Part):
    """What train leaves where no weights were shared, and `why`."""

    skipped: Literal[True]
    why: StrictStr


class Listed(Part):
    """A network of the short-list: its key, its architecture, where it comes from; name of a score
    -> its `scores`."""

    spread: ClassVar[str | None] = "scores"
    key: StrictStr
    options: Options
    origin: StrictStr
    scores: Mapping[StrictStr, Number] = {}


class RandomSearch(Part):
    """Random search beside the search: its trials, and the best of them."""

    trials: StrictInt
    best: Best | None


class Searched(Part):
    """What search leaves.

    `searcher`: its name, or in words how networks were found; `trials`: networks it scored; `best`
    of them; `random`: None where there was no score or no random search. `shortlist`: what is
    trained, best first. `generated`: how, where they were; `instead`: why a method's estimates were
    not followed.
    """

    searcher: StrictStr
    trials: StrictInt
    best: Best | None
    random: RandomSearch | None
    shortlist: tuple[Listed, ...]
    generated: StrictStr | None = None
    instead: StrictStr | None = None
