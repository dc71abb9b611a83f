"""Cell spaces as their benchmarks publish them: decisions, options, the publishers' strings both ways, canonical forms."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from archsmith.errors import UserError
from archsmith.problem import Constraint, Term
from archsmith.space import Architecture, Condition, Gate, SearchSpace

# -- four nodes, an operation on every edge: NAS-Bench-201 and TransNAS-Bench-101 micro ------------------------------------

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # from node, to node; by the node they enter, as in the strings
EDGE_NAMES = tuple(f"edge{a}to{b}" for a, b in EDGES)
NASBENCH201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
TRANSNAS_OPS = ("none", "skip", "conv1x1", "conv3x3")  # digits 0 to 3 of the code

NASBENCH201 = SearchSpace({name: NASBENCH201_OPS for name in EDGE_NAMES})  # Dong and Yang, ICLR 2020: 15,625 cells
TRANSNAS = SearchSpace({name: TRANSNAS_OPS for name in EDGE_NAMES})  # Duan et al., CVPR 2021: 4,096 cells

_NASBENCH201 = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
_NASBENCH201_TEXT = re.compile(re.sub(r"\\\{\\\}", r"(\\w+)", re.escape(_NASBENCH201)))
_TRANSNAS = "64-41414-{}_{}{}_{}{}{}"
_TRANSNAS_TEXT = re.compile(r"64-41414-([0-3])_([0-3])([0-3])_([0-3])([0-3])([0-3])")


def nasbench201_text(arch: Mapping[str, Any]) -> str:
    """The publishers' string `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""
    return _NASBENCH201.format(*(arch[name] for name in EDGE_NAMES))


def nasbench201_arch(text: str) -> Architecture:
    """The cell of the publishers' string; UserError where it is none."""
    found = _NASBENCH201_TEXT.fullmatch(text.strip())
    if not found or not set(found.groups()) <= set(NASBENCH201_OPS):
        allowed = ", ".join(NASBENCH201_OPS)
        raise UserError(f"{text!r} is no NAS-Bench-201 cell; write {_NASBENCH201.format(*['op'] * 6)} with op one of {allowed}")
    return Architecture(dict(zip(EDGE_NAMES, found.groups(), strict=True)))


def transnas_text(arch: Mapping[str, Any]) -> str:
    """The publishers' code `64-41414-a_bc_def`."""
    return _TRANSNAS.format(*(TRANSNAS_OPS.index(arch[name]) for name in EDGE_NAMES))


def transnas_arch(text: str) -> Architecture:
    """The cell of the publishers' code; UserError where it is none."""
    found = _TRANSNAS_TEXT.fullmatch(text.strip())
    if not found:
        raise UserError(
            f"{text!r} is no TransNAS micro cell; write 64-41414-a_bc_def with digits 0 to 3 ({', '.join(TRANSNAS_OPS)})"
        )
    return Architecture({name: TRANSNAS_OPS[int(digit)] for name, digit in zip(EDGE_NAMES, found.groups(), strict=True)})


def live_edges(arch: Mapping[str, Any]) -> tuple[str, ...]:
    """The edges on some path from node 0 to node 3 through operations other than "none"."""
    present = [(a, b) for (a, b), name in zip(EDGES, EDGE_NAMES, strict=True) if arch[name] != "none"]
    reached = _reached(present, 0)
    useful = _reached([(b, a) for a, b in reversed(present)], 3)
    return tuple(f"edge{a}to{b}" for a, b in present if a in reached and b in useful)


def _reached(edges: Sequence[tuple[int, int]], start: int) -> set[int]:
    """Nodes with a path from `start`; edges come in an order in which those into a node stand before those out of it."""
    nodes = {start}
    for a, b in edges:
        if a in nodes:
            nodes.add(b)
    return nodes


def nasbench201_canonical(arch: Mapping[str, Any]) -> Architecture:
    """The same function with every operation on a dead edge made "none"; also for TransNAS cells.

    Cells of one canonical form compute the same; isomorphic ones (through skip connections) stay different.
    """
    live = live_edges(arch)
    return Architecture({name: arch[name] if name in live else "none" for name in EDGE_NAMES})


transnas_canonical = nasbench201_canonical


def has_path(arch: Mapping[str, Any]) -> bool:
    """Whether anything gets from input to output; also for TransNAS cells. In 341 of the NAS-Bench-201 cells nothing does."""
    return bool(live_edges(arch))


def longest_convolutions(arch: Mapping[str, Any]) -> int:
    """How many convolutions stand on the path from input to output that has most; also for TransNAS cells.

    (Oh, Lee and Ham, 2024, group networks by such a count of non-linearities.) 0 where there is no path.
    """
    live, most = live_edges(arch), {0: 0}
    for (a, b), name in zip(EDGES, EDGE_NAMES, strict=True):
        if name in live:
            most[b] = max(most.get(b, 0), most[a] + ("conv" in arch[name]))
    return most.get(3, 0)


# -- five widths: the size space of NATS-Bench -----------------------------------------------------------------------------

NATS_WIDTHS = tuple(range(8, 65, 8))
NATS_SIZE = SearchSpace({f"width{i}": NATS_WIDTHS for i in range(1, 6)})  # Dong et al., TPAMI 2021: 32,768 networks


def nats_size_text(arch: Mapping[str, Any]) -> str:
    """The publishers' string `8:16:24:32:40`."""
    return ":".join(str(arch[name]) for name in NATS_SIZE)


def nats_size_arch(text: str) -> Architecture:
    """The network of the publishers' string; UserError where it is none."""
    widths = text.strip().split(":")
    if len(widths) != len(NATS_SIZE) or not set(widths) <= {str(w) for w in NATS_WIDTHS}:
        raise UserError(f"{text!r} is no network of the size space; write five widths such as 8:16:24:32:40, of {NATS_WIDTHS}")
    return Architecture(dict(zip(NATS_SIZE, map(int, widths), strict=True)))


# -- two inputs per node: DARTS --------------------------------------------------------------------------------------------

DARTS_OPS = (
    *("max_pool_3x3", "avg_pool_3x3", "skip_connect"),
    *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
)
_DARTS_CELLS, _DARTS_NODES = ("normal", "reduce"), (2, 3, 4, 5)


def _darts() -> SearchSpace:
    options: dict[str, tuple] = {}
    for cell, node in itertools.product(_DARTS_CELLS, _DARTS_NODES):
        options[f"{cell}.node{node}.inputs"] = tuple(itertools.combinations(range(node), 2))
        options[f"{cell}.node{node}.op1"] = options[f"{cell}.node{node}.op2"] = DARTS_OPS
    return SearchSpace(options)


DARTS = _darts()  # Liu et al., ICLR 2019, without "none": (180 x 7^8)^2; nodes 0 and 1 are the outputs of the two cells before

Genotype = dict[str, list[tuple[str, int]]]


def darts_genotype(arch: Mapping[str, Any]) -> Genotype:
    """Per cell the eight (operation, input) of nodes 2 to 5 in turn, the smaller input first."""
    genotype: Genotype = {}
    for cell in _DARTS_CELLS:
        names = [f"{cell}.node{node}" for node in _DARTS_NODES]
        genotype[cell] = [(arch[f"{n}.op{k + 1}"], arch[f"{n}.inputs"][k]) for n in names for k in (0, 1)]
    return genotype


def darts_arch_of(normal: Sequence[Sequence[Any]], reduce: Sequence[Sequence[Any]]) -> Architecture:
    """The architecture of two lists of eight (operation, input), in either order within a node; UserError where it is none."""
    known: dict[str, Any] = {}
    for cell, pairs in (("normal", normal), ("reduce", reduce)):
        if len(pairs) != 2 * len(_DARTS_NODES):
            raise UserError(f"the {cell} cell has {len(pairs)} edges; a DARTS cell has eight, two into each of nodes 2 to 5")
        for position, node in enumerate(_DARTS_NODES):
            (op1, first), (op2, second) = sorted(pairs[2 * position : 2 * position + 2], key=lambda pair: int(pair[1]))
            known |= {
                f"{cell}.node{node}.inputs": (first, second),
                f"{cell}.node{node}.op1": op1,
                f"{cell}.node{node}.op2": op2,
            }
    return DARTS.check(Architecture(known))


def darts_text(arch: Mapping[str, Any]) -> str:
    """The string of the publishers' Genotype: `Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), ...)`."""
    genotype = darts_genotype(arch)
    return "Genotype(" + ", ".join(f"{cell}={genotype[cell]!r}, {cell}_concat=range(2, 6)" for cell in _DARTS_CELLS) + ")"


def darts_arch(text: str) -> Architecture:
    """The architecture of a Genotype string; what it concatenates is not read: always nodes 2 to 5."""
    cells = {}
    for cell in _DARTS_CELLS:
        found = re.search(rf"\b{cell}\s*=\s*\[([^\]]*)\]", text)
        if not found:
            raise UserError(
                f"{text[:80]!r} names no {cell} cell; write Genotype(normal=[('sep_conv_3x3', 0), ...], reduce=[...])"
            )
        cells[cell] = [(op, int(i)) for op, i in re.findall(r"\(\s*['\"](\w+)['\"]\s*,\s*(\d+)\s*\)", found[1])]
    return darts_arch_of(cells["normal"], cells["reduce"])


# -- an operation on every node: NAS-Bench-101 cells -----------------------------------------------------------------------

NASBENCH101_OPS = ("maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")
Matrix = Sequence[Sequence[int]]
_PARENTS = {1: (1, 2, 2, 2, 2), 2: (1, 1, 2, 2, 3)}  # parents of nodes 1 to 4 and of the output, by search space


def _nasbench1shot1(which: int) -> SearchSpace:
    options: dict[str, tuple] = {f"node{node}.op": NASBENCH101_OPS for node in (1, 2, 3, 4)}
    for node, count in enumerate(_PARENTS[which][1:], start=2):
        options[f"node{node}.parents" if node < 5 else "output.parents"] = tuple(itertools.combinations(range(node), count))
    return SearchSpace(options)


# Zela et al., ICLR 2020: spaces 1 and 2. Node 0 is the input, node 1's only parent; 14,580 and 29,160 cells, many isomorphic.
NASBENCH1SHOT1 = {which: _nasbench1shot1(which) for which in _PARENTS}


def nasbench1shot1_cell(arch: Mapping[str, Any]) -> tuple[list[list[int]], list[str]]:
    """Adjacency matrix of six nodes (input, 1 to 4, output) and their operations, as in NAS-Bench-101, nothing removed."""
    matrix = [[0] * 6 for _ in range(6)]
    matrix[0][1] = 1
    for node in (2, 3, 4, 5):
        for parent in arch[f"node{node}.parents" if node < 5 else "output.parents"]:
            matrix[parent][node] = 1
    return matrix, ["input", *(arch[f"node{node}.op"] for node in (1, 2, 3, 4)), "output"]


def nasbench1shot1_arch(which: int, matrix: Matrix, operations: Sequence[str]) -> Architecture:
    """The architecture of the publishers' 7 x 7 matrix (its sixth node is unused), canonical; UserError where it is none.

    Nodes without parents are removed ones: their decisions take the first option.
    """
    space = NASBENCH1SHOT1[which]
    if len(matrix) != 7 or any(len(row) != 7 for row in matrix) or len(operations) != 7 or any(row[5] for row in matrix):
        raise UserError(
            f"a NAS-Bench-1Shot1 cell is a 7 x 7 matrix whose node 5 has no parents, with 7 operations; got {matrix}"
        )
    known: dict[str, Any] = {}
    for node in (1, 2, 3, 4, 6):
        parents = tuple(other for other in range(7) if matrix[other][node])
        name = "output" if node == 6 else f"node{node}"
        if node < 6:
            known[f"{name}.op"] = operations[node] if parents else NASBENCH101_OPS[0]
        if node > 1:
            known[f"{name}.parents"] = parents if parents else space[f"{name}.parents"][0]
    return nasbench1shot1_canonical(space.check(Architecture({name: known[name] for name in space})))


def nasbench1shot1_canonical(arch: Mapping[str, Any]) -> Architecture:
    """The same function with every decision of a node that the output does not read at its first option.

    Isomorphic cells stay different; `cell_class` tells them together.
    """
    which = next(which for which, space in NASBENCH1SHOT1.items() if len(arch["output.parents"]) == _PARENTS[which][-1])
    used = set(live_nodes(nasbench1shot1_cell(arch)[0]))
    dead = {f"node{node}.{what}" for node in (1, 2, 3, 4) if node not in used for what in ("op", "parents")}
    return Architecture({name: o[0] if name in dead else arch[name] for name, o in NASBENCH1SHOT1[which].items()})


def nasbench1shot1_class(arch: Mapping[str, Any]) -> str:
    """`cell_class` of the architecture."""
    return cell_class(*nasbench1shot1_cell(arch))


def live_nodes(matrix: Matrix) -> tuple[int, ...]:
    """The nodes on some path from the first to the last, in order; () where there is none."""
    size = len(matrix)
    edges = [(a, b) for b in range(size) for a in range(b) if matrix[a][b]]
    nodes = _reached(edges, 0) & _reached([(b, a) for a, b in sorted(edges, reverse=True)], size - 1)
    return tuple(sorted(nodes)) if {0, size - 1} <= nodes else ()


def cell_class(matrix: Matrix, operations: Sequence[str]) -> str:
    """A text that two NAS-Bench-101 cells share exactly when, dead nodes removed, they are isomorphic; "" without a path."""
    nodes = live_nodes(matrix)
    if not nodes:
        return ""
    up = {v: [u for u in nodes if matrix[u][v]] for v in nodes}
    down = {v: [u for u in nodes if matrix[v][u]] for v in nodes}
    colors: dict[int, Any] = {v: operations[v] for v in nodes}
    for _ in range(2):  # two rounds of colour refinement leave few orders to compare
        signs = {v: (colors[v], sorted(colors[u] for u in up[v]), sorted(colors[u] for u in down[v])) for v in nodes}
        ranks = sorted({repr(sign) for sign in signs.values()})
        colors = {v: ranks.index(repr(signs[v])) for v in nodes}
    groups = [[v for v in nodes[1:-1] if colors[v] == color] for color in sorted(set(colors.values()))]
    forms = []
    for orders in itertools.product(*(itertools.permutations(group) for group in groups)):
        order = [nodes[0], *itertools.chain(*orders), nodes[-1]]
        bits = "".join(str(int(bool(matrix[a][b]))) for a in order for b in order)
        forms.append(f"{' '.join(operations[v] for v in order[1:-1])}|{bits}")
    return min(forms)


# -- small NAS-Bench-101 cells, every edge a decision: EC-NAS --------------------------------------------------------------


def _connected(arch: Architecture) -> bool:
    matrix, _ = nasbench101_cell(arch)
    return bool(live_nodes(matrix)) and sum(map(sum, matrix)) <= 9


def _nasbench101(nodes: int) -> SearchSpace:
    options: dict[str, tuple] = {f"node{node}.op": NASBENCH101_OPS for node in range(1, nodes - 1)}
    options |= {f"edge{a}to{b}": (False, True) for b in range(nodes) for a in range(b)}
    return SearchSpace(options, predicates=(_connected,))


# Ying et al., ICML 2019, cells of at most 4 or 5 nodes, input and output included, and 9 edges, that connect the two.
NASBENCH101_SMALL = {nodes: _nasbench101(nodes) for nodes in (4, 5)}


def nasbench101_cell(arch: Mapping[str, Any]) -> tuple[list[list[int]], list[str]]:
    """Adjacency matrix and operations, nothing removed."""
    inner = [option for name, option in arch.items() if name.endswith(".op")]
    size = len(inner) + 2
    matrix = [[int(a < b and arch[f"edge{a}to{b}"]) for b in range(size)] for a in range(size)]
    return matrix, ["input", *(arch[f"node{node}.op"] for node in range(1, size - 1)), "output"]


def nasbench101_arch(nodes: int, matrix: Matrix, operations: Sequence[str]) -> Architecture:
    """The architecture of a cell of at most so many nodes, canonical: what is missing in the middle has no edges."""
    size, space = len(matrix), NASBENCH101_SMALL[nodes]
    if not 2 <= size <= nodes or len(operations) != size or any(len(row) != size for row in matrix):
        raise UserError(
            f"a cell of 2 to {nodes} nodes has a square matrix and an operation for each; got {matrix}, {operations}"
        )
    place = [*range(size - 1), nodes - 1]
    known: dict[str, Any] = {name: options[0] for name, options in space.items()}
    known |= {f"node{node}.op": operations[node] for node in range(1, size - 1)}
    known |= {f"edge{place[a]}to{place[b]}": bool(matrix[a][b]) for b in range(size) for a in range(b)}
    return nasbench101_canonical(space.check(Architecture(known)))


def nasbench101_canonical(arch: Mapping[str, Any]) -> Architecture:
    """The same function without dead edges, with the first operation on dead nodes; isomorphic cells stay different."""
    matrix, _ = nasbench101_cell(arch)
    used = {str(node) for node in live_nodes(matrix)}

    def kept(name: str) -> bool:
        return set(re.findall(r"\d+", name)) <= used

    return Architecture({n: o if kept(n) else (NASBENCH101_OPS[0] if n.endswith(".op") else False) for n, o in arch.items()})


def nasbench101_class(arch: Mapping[str, Any]) -> str:
    """`cell_class` of the architecture."""
    return cell_class(*nasbench101_cell(arch))


# -- no cell, but published the same way: Once-For-All ---------------------------------------------------------------------

OFA_KERNELS, OFA_EXPANSIONS, OFA_DEPTHS = (3, 5, 7), (3, 4, 6), (2, 3, 4)
_OFA_SLOTS = [(stage, block) for stage in range(1, 6) for block in range(1, 5)]


def _ofa() -> SearchSpace:
    options: dict[str, tuple] = {}
    conditions: dict[str, Condition] = {}
    for stage, block in _OFA_SLOTS:
        options.setdefault(f"stage{stage}.depth", OFA_DEPTHS)
        for what, values in (("expand", OFA_EXPANSIONS), ("kernel", OFA_KERNELS)):
            options[f"stage{stage}.block{block}.{what}"] = values
            if block > OFA_DEPTHS[0]:
                deep = frozenset((depth,) for depth in OFA_DEPTHS if depth >= block)
                conditions[f"stage{stage}.block{block}.{what}"] = ((Gate((f"stage{stage}.depth",), deep),),)
    return SearchSpace(options, conditions)


OFA = _ofa()  # Cai et al., ICLR 2020: the decisions of models/mobilenet.py, 2.2e19 networks


def ofa_settings(arch: Mapping[str, Any]) -> dict[str, list[int]]:
    """The publishers' lists `ks` and `e` (20 slots, 0 in those beyond a stage's depth) and `d` (5 stages)."""
    names = [f"stage{stage}.block{block}" for stage, block in _OFA_SLOTS]
    return {
        "ks": [arch.get(f"{name}.kernel", 0) for name in names],
        "e": [arch.get(f"{name}.expand", 0) for name in names],
        "d": [arch[f"stage{stage}.depth"] for stage in range(1, 6)],
    }


def ofa_arch(ks: Sequence[int], e: Sequence[int], d: Sequence[int]) -> Architecture:
    """The network of the publishers' lists; slots beyond a stage's depth are not read. UserError where it is none."""
    _lengths(ks=(ks, 20), e=(e, 20), d=(d, 5))
    known: dict[str, Any] = {f"stage{stage}.depth": depth for stage, depth in enumerate(d, start=1)}
    for (stage, block), kernel, expand in zip(_OFA_SLOTS, ks, e, strict=True):
        if block <= d[stage - 1]:
            known |= {f"stage{stage}.block{block}.expand": expand, f"stage{stage}.block{block}.kernel": kernel}
    return OFA.check(Architecture({name: known[name] for name in OFA if name in known}))


def _lengths(**lists: tuple[Collection[int], int]) -> None:
    for name, (values, length) in lists.items():
        if len(values) != length:
            raise UserError(f"{name} has {len(values)} entries; a Once-For-All network has {length}")


# -- what the shape of a cell is -------------------------------------------------------------------------------------------

_FREE = re.compile("skip|pool")  # in the names of operations without parameters; "none" is no operation
Counter = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True)
class CellShape:
    """Metric: architecture -> per cell its height, its operations without parameters (`free`) and its other edges (`rest`).

    Height: the most intermediate nodes on a path from the inputs of the cell (DDPNAS's code; of cells with an operation on
    every edge: to its output). Parts are called "height.normal" and so on; each is a term, so that limits on them are exact.
    """

    cells: Mapping[str, tuple[tuple[str, ...], Counter, tuple[str, ...]]]  # cell -> what height reads, height, operations

    @property
    def terms(self) -> tuple[Term, ...]:
        """Height reads all connections of a cell, the counts one operation each."""
        found = []
        for cell, (names, height, operations) in self.cells.items():
            others = {f"free.{cell}": 0.0, f"rest.{cell}": 0.0}
            found.append(Term(names, partial(_height, cell, height, self._nothing)))
            found += [Term((name,), partial(_kind, cell, name, self._nothing | others)) for name in operations]
        return tuple(found)

    @property
    def _nothing(self) -> dict[str, float]:
        return {f"{what}.{cell}": 0.0 for cell in self.cells for what in ("height", "free", "rest")}

    def __call__(self, arch: Mapping[str, Any]) -> dict[str, float]:
        """All parts."""
        total = self._nothing
        for term in self.terms:
            for part, value in term.value(arch).items():  # type: ignore[arg-type]
                total[part] += value
        return total

    def limits(self, height: int | None, free: int | None) -> tuple[Constraint, ...]:
        """Every cell at most so high, with exactly so many operations without parameters; None: as it comes.

        UserError where no cell can be so.
        """
        found: list[Constraint] = []
        for cell, (_, _, operations) in self.cells.items():
            if free is not None and not 0 <= free <= len(operations):
                raise UserError(
                    f"free={free}: a cell of this space has {len(operations)} operations; give a number from 0 to that"
                )
            if height is not None and height < 0:
                raise UserError(f"height={height}: give the most nodes on a path, 1 or more")
            bounds = {"height": height, "free": free, "rest": None if free is None else len(operations) - free}
            found += [Constraint(f"{what}.{cell}", self, high=float(high)) for what, high in bounds.items() if high is not None]
        return tuple(found)


def _height(cell: str, height: Counter, nothing: Mapping[str, float], arch: Mapping[str, Any]) -> dict[str, float]:
    return {**nothing, f"height.{cell}": height(arch)}


def _kind(cell: str, name: str, nothing: Mapping[str, float], arch: Mapping[str, Any]) -> dict[str, float]:
    return {**nothing, f"{'free' if _FREE.search(arch[name]) else 'rest'}.{cell}": 1.0}


def _edges_height(arch: Mapping[str, Any]) -> float:
    live, longest = live_edges(arch), {0: 0}
    for (a, b), name in zip(EDGES, EDGE_NAMES, strict=True):
        if name in live:
            longest[b] = max(longest.get(b, 0), longest[a] + (b < 3))
    return float(longest.get(3, 0))


def _darts_height(cell: str, arch: Mapping[str, Any]) -> float:
    longest = {0: 0, 1: 0}
    for node in _DARTS_NODES:
        longest[node] = 1 + max(longest[i] for i in arch[f"{cell}.node{node}.inputs"])
    return float(max(longest.values()))


def _darts_shape(cell: str) -> tuple[tuple[str, ...], Counter, tuple[str, ...]]:
    nodes = [f"{cell}.node{node}" for node in _DARTS_NODES]
    operations = tuple(f"{node}.op{k}" for node in nodes for k in (1, 2))
    return tuple(f"{node}.inputs" for node in nodes), partial(_darts_height, cell), operations


# -- by name of the space in archsmith.spaces.SPACES ------------------------------------------------------------------------

CANONICAL = {  # architecture -> the one of its function; routing and caching go by it
    "nasbench201": nasbench201_canonical,
    "transnas": transnas_canonical,
    "nasbench1shot1-space1": nasbench1shot1_canonical,
    "nasbench1shot1-space2": nasbench1shot1_canonical,
}
_EDGES_SHAPE = CellShape({"cell": (EDGE_NAMES, _edges_height, EDGE_NAMES)})
_DARTS_SHAPE = CellShape({cell: _darts_shape(cell) for cell in _DARTS_CELLS})
SHAPES = {"nasbench201": _EDGES_SHAPE, "transnas": _EDGES_SHAPE, "darts": _DARTS_SHAPE, "darts-small": _DARTS_SHAPE}
STATISTIC = {"nasbench201": longest_convolutions, "transnas": longest_convolutions}  # to balance samples by
LIVE = {"nasbench201": has_path, "transnas": has_path}  # which architectures compute anything; elsewhere all do
