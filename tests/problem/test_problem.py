"""Problems: constraints before objectives, one call per metric, failures as trials."""

from __future__ import annotations

import math

import pytest
from toys import flat

from archsmith.errors import EvaluationFailed, UserError
from archsmith.problem import (
    Candidate,
    Constraint,
    Problem,
    Trial,
    at_least,
    at_most,
    between,
    maximize,
    minimize,
    rank,
    total_cost,
)
from archsmith.space import Architecture

SPACE = flat(2, 10)


def arch(a: int, b: int) -> Architecture:
    return Architecture({"d0": a, "d1": b})


class Counted:
    """A metric that counts its calls."""

    def __init__(self, function, name="", **attributes):
        self.function, self.calls = function, []
        if name:
            self.name = name
        for key, value in attributes.items():
            setattr(self, key, value)

    def __call__(self, arch):
        self.calls.append(arch)
        return self.function(arch)


def costs(arch):
    return {"params": arch["d0"] * 10, "macs": arch["d1"] * 100}


def test_an_infeasible_candidate_never_pays_for_an_objective():
    score, cost = Counted(lambda a: a["d0"] + a["d1"], "score"), Counted(costs)
    problem = Problem(
        SPACE, [maximize(score)], [at_most(cost, 50, "params"), at_most(cost, 500, "macs")]
    )
    good, bad, worse = problem.evaluate(
        [Candidate(arch(5, 5)), Candidate(arch(6, 1)), Candidate(arch(9, 9))], stage="s"
    )
    assert score.calls == [arch(5, 5)]
    assert len(cost.calls) == 3  # once per candidate, for two constraints
    assert good.metrics == {"params": 50, "macs": 500, "score": 10}
    assert good.losses == (-10,) and good.feasible and good.violation == 0 and good.stage == "s"
    assert bad.losses == () and not bad.feasible and not bad.failed
    assert bad.violation == pytest.approx(0.2)
    assert worse.violation == pytest.approx(0.8 + 0.8)
    assert bad.metrics == {"params": 60, "macs": 100}


def test_objectives_and_constraints_share_a_call_and_extra_parts_are_kept():
    cost = Counted(lambda a: {**costs(a), "memory": 7, "note": "text", "odd": math.nan})
    problem = Problem(
        SPACE, [minimize(cost, "macs"), minimize(cost, "params")], [at_most(cost, 50, "params")]
    )
    (trial,) = problem.evaluate([Candidate(arch(1, 2))])
    assert len(cost.calls) == 1
    assert trial.losses == (200, 10)
    assert trial.metrics == {"params": 10, "macs": 200, "memory": 7}


def test_methods_of_one_object_are_one_metric():
    class Meter:
        calls = 0

        def reading(self, arch):
            self.calls += 1
            return float(arch["d0"])

    meter = Meter()
    problem = Problem(SPACE, minimize(meter.reading), at_most(meter.reading, 5))
    (trial,) = problem.evaluate([Candidate(arch(3, 0))])
    assert meter.calls == 1 and trial.metrics == {"reading": 3}


def test_a_metric_that_raises_or_gives_nonsense_makes_a_failed_trial():
    def fails(arch):
        if arch["d0"] == 1:
            raise RuntimeError("out of\n  memory")
        if arch["d0"] == 2:
            raise EvaluationFailed("the loss is nan at step 7")
        return {3: math.nan, 4: math.inf, 5: "many", 6: None}.get(arch["d0"], 1.0)

    problem = Problem(SPACE, maximize(fails))
    trials = problem.evaluate([Candidate(arch(i, 0)) for i in range(8)])
    assert [t.reason for t in trials] == [
        None,
        "RuntimeError: out of memory",
        "the loss is nan at step 7",
        "fails is nan",
        "fails is inf",
        "fails is 'many', which is no number",
        "fails is None, which is no number",
        None,
    ]
    assert all(t.failed and not t.feasible and t.losses == () for t in trials[1:7])
    (trial,) = Problem(SPACE, maximize(lambda a: 1, "one"), at_most(fails, 3)).evaluate(
        [Candidate(arch(1, 0))]
    )
    assert trial.reason == "RuntimeError: out of memory" and trial.losses == ()


def test_ctrl_c_is_no_failed_trial():
    def stops(arch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Problem(SPACE, maximize(stops)).evaluate([Candidate(arch(0, 0))])


def test_a_batched_metric_is_asked_once_and_one_by_one_where_the_batch_fails():
    batches = []

    class Batched:
        name = "batched"
        cost = {"images": 64}

        def __call__(self, arch):
            if arch["d0"] == 3:
                raise ValueError("no")
            return arch["d0"]

        def batch(self, archs):
            batches.append(len(archs))
            return [self(a) for a in archs]

    problem = Problem(SPACE, minimize(Batched()))
    trials = problem.evaluate([Candidate(arch(i, 0)) for i in range(3)])
    assert batches == [3] and [t.losses for t in trials] == [(0,), (1,), (2,)]
    trials = problem.evaluate([Candidate(arch(i, 0)) for i in range(5)])
    assert [t.reason for t in trials] == [None, None, None, "ValueError: no", None]
    total = total_cost(trials)
    assert total["evaluations"] == 5 and total["images"] == 64 * 4 and total["seconds"] >= 0

    class Short(Batched):
        def batch(self, archs):
            return [0.0]

    trials = Problem(SPACE, minimize(Short())).evaluate([Candidate(arch(i, 0)) for i in range(3)])
    assert [t.losses for t in trials] == [(0,), (1,), (2,)]


class Epochs:
    """A metric with three fidelities, whose cost depends on both."""

    name = "accuracy"
    fidelities = (4, 12, 36)

    def __init__(self):
        self.asked = []

    def __call__(self, arch):
        return self.at(arch, 36)

    def at(self, arch, fidelity):
        if fidelity not in self.fidelities:
            raise ValueError(f"not recorded at {fidelity}")
        self.asked.append((arch, fidelity))
        return {"accuracy": arch["d0"] * fidelity, "epochs": fidelity}

    def cost(self, arch, fidelity):
        return {"simulated_seconds": (arch["d1"] + 1) * (fidelity or 36)}

    def batch(self, archs):
        return [self(arch) for arch in archs]


def test_a_candidate_is_measured_and_charged_at_its_fidelity():
    score = Epochs()
    problem = Problem(SPACE, maximize(score), at_most(costs, 50, "params"))
    assert problem.fidelities == (4, 12, 36)
    asked = [
        Candidate(arch(2, 0), 4),
        Candidate(arch(2, 0), 12),
        Candidate(arch(3, 1)),
        Candidate(arch(6, 0), 4),
    ]
    low, middle, full, infeasible = problem.evaluate(asked)
    assert score.asked == [(arch(2, 0), 4), (arch(2, 0), 12), (arch(3, 1), 36)]
    assert [t.losses for t in (low, middle, full, infeasible)] == [(-8,), (-24,), (-108,), ()]
    assert [t.cost.get("simulated_seconds") for t in (low, middle, full, infeasible)] == [
        4,
        12,
        72,
        None,
    ]
    assert low.candidate.fidelity == 4 and low.metrics["epochs"] == 4
    (odd,) = problem.evaluate([Candidate(arch(1, 0), 5)])
    assert odd.reason == "ValueError: not recorded at 5" and "simulated_seconds" not in odd.cost


def test_a_fidelity_means_nothing_to_a_metric_that_has_none():
    problem = Problem(SPACE, maximize(lambda a: a["d0"], "d0"))
    assert problem.fidelities == () and Problem(SPACE).fidelities == ()
    assert [
        t.losses for t in problem.evaluate([Candidate(arch(2, 0), 4), Candidate(arch(3, 0))])
    ] == [(-2,), (-3,)]


def test_an_unknown_part_is_the_users_mistake():
    problem = Problem(SPACE, [], at_most(costs, 3, "parms"))
    with pytest.raises(
        UserError,
        match=r"costs gives params, macs, but no 'parms'; did you mean "
        r"'params'\?",
    ):
        problem.evaluate([Candidate(arch(0, 0))])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UserError, match="two metrics are called 'x'"):
        Problem(SPACE, [minimize(lambda a: 1, "x")], [at_most(lambda a: 2, 3, "x")])
    with pytest.raises(UserError, match="is no objective; make one with minimize"):
        Problem(SPACE, [lambda a: 1])
    with pytest.raises(UserError, match="is no constraint"):
        Problem(SPACE, [], [minimize(costs, "params")])
    for low, high in ((3, 2), (math.nan, 2), (2, math.nan)):
        with pytest.raises(UserError, match="no value of 'x' lies between"):
            between(costs, low, high, "x")
    with pytest.raises(UserError, match="no value of 'params' to hold against its limit"):
        Problem(SPACE, [], at_most(costs, 3, "params")).violation({"parms": 3})


def test_violation_is_the_sum_of_relative_excesses():
    problem = Problem(
        SPACE,
        [],
        [
            at_most(costs, 50, "params"),
            between(lambda a: 0, 10, 20, "ms"),
            at_least(lambda a: 0, 0, "z"),
        ],
    )
    assert problem.violation({"params": 50, "ms": 10, "z": 0}) == 0
    assert problem.violation({"params": 75, "ms": 5, "z": -2}) == pytest.approx(0.5 + 0.5 + 2)
    assert problem.violation({"params": 50, "ms": 40, "z": 0}) == pytest.approx(1)
    assert problem.violation({"params": math.nan, "ms": 10, "z": 0}) == math.inf
    assert problem.violation({"params": -math.inf, "ms": 10, "z": 0}) == math.inf


def test_constraints_read_as_users_write_them():
    assert str(at_most(costs, 3e6, "params")) == "params<=3,000,000"
    assert str(at_least(costs, 0.25, "share")) == "share>=0.25"
    assert str(Constraint("ms", costs, 1, 2.5)) == "1<=ms<=2.5"


def test_rank_puts_failures_last_and_infeasible_before_them():
    one = Candidate(arch(0, 0))
    best, good = Trial(one, losses=(1.0,)), Trial(one, losses=(2.0,))
    near, far, failed = (
        Trial(one, violation=0.1),
        Trial(one, violation=math.inf),
        Trial(one, reason="no"),
    )
    assert sorted([failed, far, near, good, best], key=rank) == [best, good, near, far, failed]
