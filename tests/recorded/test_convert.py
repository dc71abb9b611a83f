"""The converter: tables, JSON and pickles to one file with hashes that loads the same; what would
run code is refused."""

from __future__ import annotations

import bz2
import collections
import datetime
import gzip
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from recorded_tables import (
    ecnas_rows,
    nasbench201_rows,
    ofa_folder,
    oneshot_rows,
    table,
    transnas_rows,
)

from archsmith.errors import Damaged, UserError
from archsmith.recorded import load
from archsmith.recorded.columns import KINDS, read
from archsmith.recorded.convert import convert, main
from archsmith.recorded.pickles import read_pickle
from archsmith.spaces.catalog.nasbench201 import nasbench201_arch

CELLS = [row["arch_str"] for row in nasbench201_rows(4)]


def same(first, second) -> None:
    assert first.archs() == second.archs()
    for arch in first.archs():
        assert first.score(arch) == second.score(arch) and first.truth(arch) == second.truth(arch)
    unlike = {"file", "sha256", "source"}
    assert {k: v for k, v in first.facts.items() if k not in unlike} == {
        k: v for k, v in second.facts.items() if k not in unlike
    }


@pytest.mark.parametrize(
    ("kind", "name", "rows"),
    [
        ("nasbench201", "nasbench201:cifar10", nasbench201_rows()),
        ("nasbench1shot1", "nasbench1shot1:1", oneshot_rows()),
        ("ecnas", "ecnas", ecnas_rows()),
        ("transnas", "transnas:jigsaw", transnas_rows()),
    ],
)
def test_a_converted_table_loads_as_the_table(
    tmp_path: Path, kind: str, name: str, rows: list[dict]
) -> None:
    path = table(tmp_path / "t.csv", rows)
    written = convert(kind, path, tmp_path / f"{kind}.npz")
    assert written["rows"] == len(rows)
    fresh = load(name, tmp_path / f"{kind}.npz")
    same(load(name, path), fresh)
    assert fresh.facts["sha256"] == written["sha256"] and fresh.facts["source"] == "t.csv"
    same(fresh, load(name, tmp_path))  # found in its folder
    (tmp_path / "t.json").write_text(
        json.dumps([{k: None if v == "" else v for k, v in row.items()} for row in rows])
    )
    convert(kind, tmp_path / "t.json", tmp_path / "j.npz")
    same(fresh, load(name, tmp_path / "j.npz"))
    (tmp_path / "t.pkl").write_bytes(
        pickle.dumps({column: [row[column] for row in rows] for column in rows[0]})
    )
    convert(kind, tmp_path / "t.pkl", tmp_path / "p.npz")
    same(fresh, load(name, tmp_path / "p.npz"))


def test_the_file_is_the_same_every_time_and_holds_no_objects(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", nasbench201_rows())
    convert("nasbench201", path, tmp_path / "a.npz")
    convert("nasbench201", path, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "Sfu" for name in file.files)
        about = json.loads(file["about"].tobytes())
    assert (
        about["kind"] == "nasbench201"
        and about["source"] == "t.csv"
        and len(about["source_sha256"]) == 64
    )


def test_a_changed_a_torn_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.npz"
    convert("nasbench201", table(tmp_path / "t.csv", nasbench201_rows()), path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["c10_test_acc_200ep"] = arrays["c10_test_acc_200ep"] + 1
    np.savez(tmp_path / "changed.npz", **arrays)
    with pytest.raises(Damaged, match="hash differs"):
        load("nasbench201:cifar10", tmp_path / "changed.npz")
    (tmp_path / "torn.npz").write_bytes(path.read_bytes()[:500])
    with pytest.raises(Damaged, match="no .npz file"):
        load("nasbench201:cifar10", tmp_path / "torn.npz")
    with pytest.raises(UserError, match="holds 'nasbench201', not 'transnas'"):
        load("transnas:jigsaw", path)
    np.savez(tmp_path / "plain.npz", arch_str=np.array(CELLS))
    with pytest.raises(UserError, match="was not written by"):
        load("nasbench201:cifar10", tmp_path / "plain.npz")
    np.savez(tmp_path / "objects.npz", about=np.array([{}], dtype=object))
    with pytest.raises(Damaged, match="plain arrays"):
        load("nasbench201:cifar10", tmp_path / "objects.npz")


def test_the_ofa_predictor_and_its_tables_convert(tmp_path: Path) -> None:
    tables = ofa_folder(tmp_path / "tables")
    out = tmp_path / "out"
    for kind in ("ofa_predictor", "ofa_accuracy", "ofa_latency"):
        convert(kind, tables / KINDS[kind].table, out / f"{kind}.npz")
    same(load("ofa", tables), load("ofa", out))
    same(load("ofa", out), load("ofa", out / "ofa_predictor.npz"))  # the tables beside it are found


def test_mistakes_are_named(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", nasbench201_rows())
    with pytest.raises(UserError, match="did you mean 'nasbench201'"):
        convert("nasbench21", path, tmp_path / "a.npz")
    with pytest.raises(UserError, match="there is no"):
        convert("nasbench201", tmp_path / "none.csv", tmp_path / "a.npz")
    with pytest.raises(UserError, match="does not end in .npz"):
        convert("nasbench201", path, tmp_path / "a.parquet")
    with pytest.raises(UserError, match="no 'arch_str'"):
        convert("nasbench201", table(tmp_path / "u.csv", [{"a": 1}]), tmp_path / "a.npz")
    with pytest.raises(UserError, match="a source ends in"):
        convert("nasbench201", table(tmp_path / "t.xls", [{"a": 1}]), tmp_path / "a.npz")
    with pytest.raises(UserError, match="is a folder"):
        convert("transnas", tmp_path, tmp_path / "a.npz")
    (tmp_path / "t.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="neither a list of rows"):
        convert("ecnas", tmp_path / "t.json", tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


def test_the_command_line(tmp_path: Path, capsys) -> None:
    path = table(tmp_path / "t.csv", nasbench201_rows())
    assert main(["nasbench201", str(path), str(tmp_path / "a.npz")]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 8
    assert main(["nasbench201", str(tmp_path / "b.csv"), str(tmp_path / "a.npz")]) == 2
    assert "there is no" in capsys.readouterr().err


# -- the publishers' layouts -----------------------------------------------------------------------


def run(epochs: int, sets: dict[str, float], params: float = 0.5, number=float) -> dict:
    """One training as NAS-Bench-201 keeps it: accuracies rise by one a epoch to the given last
    value."""
    return {
        "epochs": epochs,
        "params": number(params),
        "flop": number(2 * params),
        "net_state_dict": None,
        "train_times": collections.OrderedDict((epoch, number(10.0)) for epoch in range(epochs)),
        "eval_acc1es": {
            f"{s}@{e}": number(last - epochs + 1 + e)
            for s, last in sets.items()
            for e in range(epochs)
        },
        "eval_times": {f"{s}@{e}": number(2.0) for s in sets for e in range(epochs)},
    }


def nasbench201_content(short: str = "12", full: str = "200", number=float) -> dict:
    infos = {}
    for index in (0, 1):
        few = {
            ("cifar10-valid", 777): run(
                12, {"x-valid": 80.0 + index, "ori-test": 7.0}, number=number
            )
        }
        few |= {("cifar100", 777): run(12, {"x-valid": 40.0 + index, "x-test": 7.0}, number=number)}
        many = {
            ("cifar10", seed): run(20, {"ori-test": 90.0 + index + seed / 1000}, number=number)
            for seed in (888, 777)
        }
        many |= {
            ("cifar100", 777): run(
                20, {"x-valid": 7.0, "x-test": 70.0 + index, "ori-test": 7.0}, number=number
            )
        }
        infos[index] = {
            short: {"all_results": few, "arch_index": index},
            full: {"all_results": many, "arch_index": index},
        }
    return {"meta_archs": CELLS, "arch2infos": infos, "evaluated_indexes": {0, 1}}


def check_nasbench201(path: Path) -> None:
    recorded = load("nasbench201:cifar10", path)
    second = nasbench201_arch(CELLS[1])
    assert recorded.archs() == (nasbench201_arch(CELLS[0]), second)
    assert recorded.score(second) == 81.0
    assert recorded.truth(second) == pytest.approx(91 + (0.777 + 0.888) / 2)
    assert recorded.records["accuracy_seed1"](second) == pytest.approx(91.777)
    assert recorded.score.cost(second) == {"simulated_seconds": 122.0}
    assert (recorded.records["params"](second), recorded.records["macs"](second)) == (
        500000,
        1000000,
    )
    other = load("nasbench201:cifar100", path)
    assert (other.score(second), other.truth(second)) == (41.0, 71.0)
    assert "as recorded" in other.facts["simulated_seconds"]
    with pytest.raises(UserError, match="in16_valid_acc_12ep"):
        load("nasbench201:imagenet16", path)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("number", [float, np.float64])
def test_nasbench201_as_its_publishers_pickle_it(tmp_path: Path, protocol: int, number) -> None:
    content = pickle.dumps(nasbench201_content(number=number), protocol=protocol)
    (tmp_path / "a.pickle.pbz2").write_bytes(bz2.compress(content))
    convert("nasbench201", tmp_path / "a.pickle.pbz2", tmp_path / "a.npz")
    check_nasbench201(tmp_path / "a.npz")


def test_nasbench201_as_torch_saves_it(tmp_path: Path) -> None:
    """The zip form of torch files, and the older one of several pickles after another, with the
    first benchmark's names."""
    content = nasbench201_content("less", "full")
    with zipfile.ZipFile(tmp_path / "new.pth", "w") as file:
        file.writestr("new/data.pkl", pickle.dumps(content, protocol=2))
        file.writestr("new/version", "3\n")
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, content, [])
    (tmp_path / "old.pth").write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    for name in ("new", "old"):
        convert("nasbench201", tmp_path / f"{name}.pth", tmp_path / f"{name}.npz")
        check_nasbench201(tmp_path / f"{name}.npz")


def test_nasbench201_as_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "NATS-tss-simple"
    folder.mkdir()
    content = nasbench201_content()
    (folder / "meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps({"meta_archs": CELLS})))
    for index, info in content["arch2infos"].items():
        (folder / f"{index:06d}.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(info)))
    convert("nasbench201", folder, tmp_path / "a.npz")
    check_nasbench201(tmp_path / "a.npz")
    shutil.move(folder / "meta.pickle.pbz2", tmp_path)
    with pytest.raises(UserError, match="meta.pickle.pbz2"):
        convert("nasbench201", folder, tmp_path / "a.npz")


def test_transnas_as_its_publishers_pickle_it(tmp_path: Path) -> None:
    codes = [row["arch_str"] for row in transnas_rows(2)]
    metrics = {
        "valid_top1": [1.0, 2.0, 50.0],
        "test_top1": [1.0, 2.0, 49.0],
        "valid_loss": [3.0, 2.0, 1.0],
    }
    layout = {"metrics": {"valid_neg_loss": [-2.0, -0.5]}}
    micro = {
        code: {"jigsaw": {"metrics": metrics, "total_epochs": 3}, "room_layout": layout}
        for code in codes
    }
    content = {"data": {"micro": micro, "macro": {"64-1234-basic": {}}}, "task_list": ["jigsaw"]}
    (tmp_path / "t.pth").write_bytes(gzip.compress(pickle.dumps(content, protocol=2)))
    convert("transnas", tmp_path / "t.pth", tmp_path / "t.npz")
    recorded = load("transnas:jigsaw", tmp_path / "t.npz")
    assert [recorded.truth(arch) for arch in recorded.archs()] == [50.0, 50.0]
    columns = read(KINDS["transnas"], tmp_path / "t.npz")
    assert (
        columns["jigsaw_test"][0] == 49.0
        and columns["room_layout_valid"][0] == -0.5
        and "normal_valid" not in columns
    )
    (tmp_path / "t.pkl").write_bytes(pickle.dumps({"micro": {}}))
    with pytest.raises(UserError, match="not the layout of TransNAS"):
        convert("transnas", tmp_path / "t.pkl", tmp_path / "t.npz")


# -- pickles of strangers --------------------------------------------------------------------------


def pickled(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_containers_numbers_and_arrays_come_through_as_plain_values(
    tmp_path: Path, protocol: int
) -> None:
    content = {
        "list": [1, 2.5, None, True, "text", (1, 2), 10**30],
        "set": {1, 2},
        "frozen": frozenset({"a"}),
        "ordered": collections.OrderedDict(b=1, a=2),
        "default": collections.defaultdict(list, x=[1]),
        "bytes": b"\x00\xff",
        "scalars": [np.float64(0.1), np.float32(0.5), np.int64(-3), np.bool_(True), np.uint8(200)],
        "array": np.arange(6, dtype=np.int32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big_endian": np.array([1.5, -2.0], dtype=">f8"),
        "texts": np.array(["ab", "c"]),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3)),
    }
    found = read_pickle(pickled(tmp_path / "a.pkl", content, protocol))
    assert found["scalars"] == [0.1, 0.5, -3, True, 200] and type(found["scalars"][0]) is float
    assert found["array"] == [[0, 1, 2], [3, 4, 5]] and found["fortran"] == [
        [0.0, 1.0, 2.0],
        [3.0, 4.0, 5.0],
    ]
    assert (
        found["big_endian"] == [1.5, -2.0]
        and found["texts"] == ["ab", "c"]
        and found["flags"] == [True, False]
    )
    assert found["empty"] == []
    plain = ("list", "set", "frozen", "ordered", "default", "bytes")
    assert {name: found[name] for name in plain} == {name: content[name] for name in plain}


class Evil:
    """Asks for a call when it is read."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {}",)),
        (eval, ("open('{}', 'w')",)),
        (exec, ("open('{}', 'w')",)),
        (getattr, ({}, "__class__")),
        (open, ("{}", "w")),
        (__import__, ("os",)),
        (np.load, ("{}",)),
        (np.fromfile, ("{}",)),
        (pickle.loads, (b"N.",)),
        (bytes, (10,)),
        (type, ("X", (), {})),
    ],
)
def test_a_pickle_that_calls_anything_else_is_refused_and_nothing_happens(
    tmp_path: Path, protocol, function, arguments
) -> None:
    mark = tmp_path / "mark"
    evil = Evil(function, *(a.format(mark) if isinstance(a, str) else a for a in arguments))
    with pytest.raises(UserError, match="the file asks for .*only containers, numbers and texts"):
        read_pickle(pickled(tmp_path / "a.pkl", {"data": [evil]}, protocol))
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        datetime.date(2020, 1, 1),
        Path("a"),
        np.random.default_rng(0),
        np.array([1, "a"], dtype=object),
        np.zeros(2, dtype=[("a", "f8")]),
        np.datetime64("2020-01-01"),
        slice(1),
    ],
)
def test_other_objects_are_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(UserError, match="a.pkl"):
        read_pickle(pickled(tmp_path / "a.pkl", [content]))


HANDMADE = {
    "a dotted name": b"\x80\x04\x8c\x08builtins\x8c\x0cdict.__init__\x93.",
    "a name from the registry of extensions": b"\x80\x02\x82\x01.",
    "a tensor": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "the old way to make an instance": b"(i__main__\nX\n.",
    "flags set on a type of "
    "number": b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI63\ntb.",
    "a type of objects": b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.",
    "records": b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nN(S'a'\nt}I-1\nI-1\nI0\ntb.",
    "half a file": b"\x80\x04\x95",
    "a text file": b"arch_str,accuracy\n",
    "nothing": b"",
}


@pytest.mark.parametrize("what", HANDMADE)
def test_handmade_pickles_do_no_harm(tmp_path: Path, what: str) -> None:
    (tmp_path / "a.pkl").write_bytes(HANDMADE[what])
    # read as far as it means something: the flags are not
    if what == "flags set on a type of number":
        assert read_pickle(tmp_path / "a.pkl").values(np.float64(1.5).tobytes(), (), "C") == 1.5
        assert np.dtype("f8").flags == 0
    else:
        with pytest.raises(UserError, match="a.pkl"):
            read_pickle(tmp_path / "a.pkl")


def test_sizes_that_the_file_only_claims_cost_nothing(tmp_path: Path) -> None:
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    state = (
        b"(I1\n(I1000000000000\nI0\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntRI00\n"
        b"c_codecs\nencode\n(V\nS'latin1'\ntRtb."
    )
    (tmp_path / "a.pkl").write_bytes(array + state)
    assert read_pickle(tmp_path / "a.pkl") == []
    (tmp_path / "a.pkl").write_bytes(b"cnumpy\nndarray\n((I1000000000000\nttR.")
    assert read_pickle(tmp_path / "a.pkl") == []
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match="a.zip"):
        read_pickle(tmp_path / "a.zip")
