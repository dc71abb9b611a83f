"""Five trained networks made smaller: `archsmith shrink` beside uniform thinning and L1 filter
pruning by Torch-Pruning, fine-tuned for as long by the same recipe.

`python benchmarks/outcome/shrink_five.py --set cifar-500 --train-seconds 600 --seconds 600` trains
each network of `five_networks.py` once a seed, then, for 50 and 25 % of its MACs, runs

- `shrink`: `archsmith shrink`, `--seconds` in all; the network with all layers narrower by one
  share is its own reference, fine-tuned beside it at equal cost;
- `l1-uniform`, `l1-global`: Torch-Pruning (Fang and others, CVPR 2023) takes whole channels by the
  mean L1 norm of what hangs together, the same share of each layer, or the least of all layers,
  until the MACs are kept; then fine-tuned by our loop with the recipe, augmentation and precision
  of that run, for the seconds of one of its two arms. Of these a run's arms spend a twelfth on
  looking at validation images; a peer trains for all of them.

Images, split and scaling are those of the run (the seed is the same). Torch-Pruning is no
dependency: `pip install --no-deps --target peers torch-pruning` and `peers` on PYTHONPATH; where it
is not importable its rows are left out. A row that is there is not made again. Prints the points of
test accuracy that were lost, and how often ours is ahead.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import five_networks
import torch
from five_networks import FIVE
from kept import Row, kept, ran
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from image_sets import GROUPS, SETS, source

from archsmith.data import Augment, Data, batches, load, ordered, suggest
from archsmith.errors import ArchsmithError
from archsmith.metrics.accuracy import evaluate
from archsmith.metrics.cost import macs, params
from archsmith.stages.finish import rate_for
from archsmith.training.loop import advance, start
from archsmith.training.recipe import Recipe, default_recipe
from archsmith.training.state import TrainState
from archsmith.training.throughput import images_per_second

SIDE = 32
PEERS = {"l1-uniform": False, "l1-global": True}  # whether all layers are ranked together
# to train from nothing with, beside the default
OWN_RECIPES: dict[str, dict[str, Any]] = {
    "convnext": {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.05}
}
_STEP, _LEFT = 0.005, 0.05  # of a pruning ratio; of each layer's channels, at least
_HALF = 50.0


def main() -> None:
    """Every network, seed and share; a line a row, then the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", default="cifar-500", choices=list(SETS))
    parser.add_argument("--networks", nargs="+", default=list(FIVE), choices=list(FIVE))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--shares", type=float, nargs="+", default=[50, 25], help="percent of MACs")
    parser.add_argument("--train-seconds", type=float, default=600.0, help="of each network")
    parser.add_argument("--seconds", type=float, default=600.0, help="of each shrink run, in all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", nargs="+", default=["shrink", *PEERS], choices=["shrink", *PEERS])
    parser.add_argument("--options", default="", help="more of `archsmith shrink`, as one string")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/shrink_five"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    peers = [job for job in asked.jobs if job in PEERS]
    if peers and find_spec("torch_pruning") is None:
        print(
            f"no {', '.join(peers)}: torch_pruning is not importable; pip install --no-deps "
            "--target peers torch-pruning, and PYTHONPATH=peers:$PYTHONPATH",
            file=sys.stderr,
        )
        peers = []
    rows = []
    for seed in asked.seeds:
        for name in asked.networks:
            begun = _trained(asked, name, seed)
            rows.append(begun)
            if "error" not in begun:
                for percent in asked.shares:
                    rows += _shrunk(asked, begun, percent, peers)
    print("\n".join([*table(rows), "", *counted(rows)]))


# -- the networks to begin with -------------------------------------------------------------------


def _trained(asked: argparse.Namespace, name: str, seed: int) -> Row:
    """A network trained from nothing; its weights are kept beside the row."""
    stem = f"{name}-{asked.set}-{asked.train_seconds:.0f}-{seed}"

    def made() -> Row:
        data, row = _images(asked, seed), {"network": name, "job": "trained", "seed": seed}
        part, shape = data.parts["train"], (data.channels, SIDE, SIDE)
        torch.manual_seed(seed)
        network = FIVE[name](len(data.classes), data.channels)
        recipe = replace(default_recipe(len(part)), **OWN_RECIPES.get(name, {}))
        timed = copy.deepcopy(network)
        pace = images_per_second(timed, shape, recipe, device=torch.device("cpu"))
        passes = asked.train_seconds * pace / len(part)
        if recipe.optimizer == "sgd":
            recipe = replace(recipe, lr=round(recipe.lr * rate_for(passes), 4))
        augment = suggest(data, "auto", passes=passes)
        try:
            state = _advanced(network, recipe, augment, data=data, seed=seed, fresh=True)(
                asked.train_seconds
            )
        except ArchsmithError as error:
            return {**row, "error": str(error)}
        asked.work.mkdir(parents=True, exist_ok=True)
        torch.save(state.network.state_dict(), asked.work / f"{stem}.pt")
        return {
            **row,
            "set": asked.set,
            "stem": stem,
            "split": data.split.sha256,
            "train_seconds": asked.train_seconds,
            "lr": recipe.lr,
            **_standing(state, data),
        }

    return kept(asked.work / f"{stem}.json", made)


@lru_cache(maxsize=1)
def _read(data: str, seed: int, group: str | None) -> Data:
    return load(data, size=SIDE, seed=seed, group=group)


def _images(asked: argparse.Namespace, seed: int) -> Data:
    given = source(asked.set, asked.data, asked.work)
    return _read(given, seed, GROUPS.get(asked.set))


def _advanced(
    network: nn.Module,
    recipe: Recipe,
    augment: Augment,
    *,
    data: Data,
    seed: int,
    fresh: bool,
) -> Callable[[float], TrainState]:
    """What trains the network for so many seconds."""
    part = data.parts["train"]
    counts = [int((part.labels == label).sum()) for label in range(len(data.classes))]
    state = start(network, recipe, seed=seed, class_counts=counts, fresh=fresh)
    stream = batches(part, recipe.batch_size, data=data, seed=seed, augment=augment, device="cpu")
    return lambda seconds: advance(state, stream, total_seconds=seconds)


def _standing(state: TrainState, data: Data) -> Row:
    """What a trained network is, on validation and test images."""
    shape = (data.channels, SIDE, SIDE)
    found = {
        part: evaluate(state.network.eval(), ordered(data.parts[part], 256, data, "cpu"))
        for part in ("val", "test")
    }
    return {
        "val": found["val"]["accuracy"],
        "test": found["test"]["accuracy"],
        "n": found["test"]["n"],
        "interval": found["test"]["interval"],
        "macs": macs(state.network, shape),
        "params": params(state.network),
        "passes": round(state.images / len(data.parts["train"]), 1),
        "trained": round(state.seconds, 1),
    }


# -- and smaller ones -----------------------------------------------------------------------------


def _shrunk(
    asked: argparse.Namespace, begun: Row, percent: float, peers: Sequence[str]
) -> list[Row]:
    """The rows of one network and share: ours first, whose recipe and seconds the peers take."""
    stem = f"{begun['stem']}-{percent:g}-{asked.seconds:.0f}"
    row = {key: begun[key] for key in ("network", "seed", "set")}
    row |= {"share": percent, "before": begun["test"]}

    def own() -> Row:
        folder = asked.work / f"{stem}-shrink"
        words = ["shrink", f"{five_networks.__file__}:{begun['network']}"]
        words += [source(asked.set, asked.data, asked.work), "--size", str(SIDE)]
        words += ["--weights", str(asked.work / f"{begun['stem']}.pt")]
        words += ["--budget", f"macs<={percent:g}%", "--time", f"{asked.seconds:.0f}s"]
        words += ["--threads", str(asked.threads), "--seed", str(begun["seed"])]
        words += ["--group", GROUPS[asked.set]] if asked.set in GROUPS else []
        made = {**row, "job": "shrink", **ran([*words, *asked.options.split()], folder)}
        return made if "error" in made else {**made, **_found(folder, begun)}

    ours = kept(asked.work / f"{stem}-shrink.json", own)
    if "error" in ours:
        return [ours]
    rows = [ours]
    for job in peers:
        make = partial(_peer, asked, begun, ours, {**row, "job": job})
        rows.append(kept(asked.work / f"{stem}-{job}.json", make))
    return rows


def _found(folder: Path, begun: Row) -> Row:
    """What a run came to: "test" is what ships, "own" the search's network, which may be it."""
    from archsmith import open_run

    run = open_run(folder)
    look, search, finish, ship = (
        run.stage(stage) or {} for stage in ("look", "search", "finish", "ship")
    )
    if look["split"]["sha256"] != begun["split"]:
        return {"error": "the run has another split than the training had"}
    reference, plan, own = finish["reference"], finish["plan"], ship["search"]
    thinned = reference["networks"][reference["chosen"]] if reference else {}
    network = {**(reference["networks"] if reference else {}), **finish["networks"]}[ship["key"]]
    found = finish["networks"][own["key"]] if own else {}
    return {
        "original": ship["original_test"]["accuracy"] if ship["original_test"] else None,
        "test": ship["test"]["accuracy"],
        "n": ship["test"]["n"],
        "interval": ship["test"]["interval"],
        "ships": ship["network"],
        "own": own["test"]["accuracy"] if own else None,
        "own_macs": found.get("macs"),
        "own_params": found.get("params"),
        "reference": ship["reference_test"]["accuracy"] if ship["reference_test"] else None,
        "reference_macs": thinned.get("macs"),
        "reference_params": thinned.get("params"),
        "val": network["val_measure"],
        "macs": int(network["macs"]),
        "params": int(network["params"]),
        "searcher": search["searcher"],
        "finalists": len(finish["networks"]),
        "trained": round(network["seconds"], 1),
        "seconds": round(sum(run.seconds().values()), 1),
        "waited": round(sum(run.waits().values()), 1),
        "arm_s": round(plan["reference"] or plan["search"] + (plan["scoring_s"] or 0.0), 1),
        "recipe": finish["recipe"],
    }


def _peer(asked: argparse.Namespace, begun: Row, ours: Row, row: Row) -> Row:
    """A network pruned to the same MACs, fine-tuned for the seconds of one arm of our run."""
    data = _images(asked, begun["seed"])
    network = FIVE[begun["network"]](len(data.classes), data.channels)
    network.load_state_dict(torch.load(asked.work / f"{begun['stem']}.pt", weights_only=True))
    limit = begun["macs"] * row["share"] / 100
    settings = dict(ours["recipe"])
    augment = Augment(**settings.pop("augment"))
    known = {field.name for field in fields(Recipe)}
    recipe = Recipe.from_json({name: settings[name] for name in settings if name in known})
    recipe = replace(recipe, grow=1.0)  # as for all networks whose weights are given
    try:
        ratio, small = pruned(
            network, (data.channels, SIDE, SIDE), limit, together=PEERS[row["job"]]
        )
        state = _advanced(small, recipe, augment, data=data, seed=begun["seed"], fresh=False)(
            ours["arm_s"]
        )
        return {**row, "ratio": ratio, **_standing(state, data)}
    except (ArchsmithError, RuntimeError, ValueError) as error:
        return {**row, "error": f"{type(error).__name__}: {error}"}


def pruned(
    network: nn.Module, shape: tuple[int, int, int], limit: float, *, together: bool
) -> tuple[float, nn.Module]:
    """By L1 norms of channels: the least ratio, in steps of half a percent, at which the MACs are
    kept, and the network. `together`: the channels of all layers are ranked as one list."""
    import torch_pruning  # type: ignore[import-not-found]

    for step in range(1, round(1 / _STEP)):
        small = copy.deepcopy(network).eval()
        last = [layer for layer in small.modules() if isinstance(layer, nn.Linear)][-1]
        torch_pruning.pruner.BasePruner(
            small,
            torch.zeros(1, *shape),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=1),
            global_pruning=together,
            pruning_ratio=step * _STEP,
            max_pruning_ratio=1 - _LEFT,
            ignored_layers=[last],
        ).step()
        if macs(small, shape) <= limit:
            return round(step * _STEP, 4), small
    raise ValueError(f"no ratio of pruning keeps {limit:.0f} MACs")


# -- what is shown --------------------------------------------------------------------------------


def lost(rows: Sequence[Row]) -> dict[tuple[str, float], dict[str, float]]:
    """(network, share in percent) -> column -> points of test accuracy lost, the mean over seeds.

    "ships": what the run ships; "own": the search's network; "thinned": its reference; each peer;
    "l1": of each seed the peer that is better on the validation images.
    """
    by_seed: dict[tuple[str, float, int], dict[str, Row]] = {}
    for row in rows:
        if "error" not in row and row["job"] != "trained":
            by_seed.setdefault((row["network"], row["share"], row["seed"]), {})[row["job"]] = row
    found: dict[tuple[str, float], dict[str, list[float]]] = {}
    for (name, share, _), jobs in by_seed.items():
        for column, after in _after(jobs).items():
            before = next(iter(jobs.values()))["before"]
            columns = found.setdefault((name, share), {})
            columns.setdefault(column, []).append(100 * (before - after))
    return {
        place: {column: statistics.mean(points) for column, points in columns.items()}
        for place, columns in found.items()
    }


def _after(jobs: Mapping[str, Row]) -> dict[str, float]:
    """Column -> test accuracy, of one seed."""
    found = {}
    if "shrink" in jobs:
        ours = jobs["shrink"]
        found = {"ships": ours["test"], "own": ours["own"], "thinned": ours["reference"]}
    peers = {job: jobs[job] for job in PEERS if job in jobs}
    found |= {job: row["test"] for job, row in peers.items()}
    if len(peers) == len(PEERS):
        found["l1"] = max(peers.values(), key=lambda row: row["val"])["test"]
    return {column: test for column, test in found.items() if test is not None}


def table(rows: Sequence[Row]) -> list[str]:
    """A row a network and share: accuracy before in percent, points lost."""
    shown = ("ships", "own", "thinned", *PEERS)
    lines = ["| network | M MACs | before | kept | " + " | ".join(shown) + " |"]
    lines.append("|---" * (len(shown) + 4) + "|")
    for (name, share), columns in lost(rows).items():
        begun = [row for row in rows if row["network"] == name and row["job"] == "trained"]
        before = 100 * statistics.mean(row["test"] for row in begun)
        cells = " | ".join(f"{columns[c]:+.2f}" if c in columns else "-" for c in shown)
        costs = begun[0]["macs"] / 1e6
        lines.append(f"| {name} | {costs:.1f} | {before:.1f} | {share:g} % | {cells} |")
    return lines


def counted(rows: Sequence[Row]) -> list[str]:
    """What is lost at 50 %, and on how many rows ours loses less than each peer."""
    found = lost(rows)
    half = {name: columns for (name, share), columns in found.items() if share == _HALF}
    said = ", ".join(f"{name} {c['ships']:+.2f}" for name, c in half.items() if "ships" in c)
    lines = [f"points lost at {_HALF:g} % by what ships: {said or '-'}"]
    pairs = [("own", "thinned", "the search's network loses less than the thinned one")]
    pairs += [("ships", job, f"what ships loses less than {job}") for job in PEERS]
    pairs.append(("ships", "l1", "what ships loses less than the better of these on validation"))
    for ours, peer, text in pairs:
        both = [c for c in found.values() if ours in c and peer in c]
        ahead = sum(c[ours] < c[peer] for c in both)
        lines += [f"{text}: {ahead} of {len(both)} rows"] if both else []
    return lines


if __name__ == "__main__":
    main()
