"""Cells of NAS-Bench-101 (Ying et al., ICML 2019), an operation on every node: NAS-Bench-1Shot1,
EC-NAS."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archsmith.errors import UserError, shown
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces.catalog.edges import reachable
from archsmith.spaces.catalog.entry import Format, Space
from archsmith.spaces.catalog.plain import among, mapping_of, value_of

NASBENCH101_OPS = ("maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")
Matrix = Sequence[Sequence[int]]
# parents of nodes 1 to 4 and of the output, by search space
_PARENTS = {1: (1, 2, 2, 2, 2), 2: (1, 1, 2, 2, 3)}


def _nasbench1shot1(which: int) -> SearchSpace:
    options: dict[str, tuple] = {f"node{node}.op": NASBENCH101_OPS for node in (1, 2, 3, 4)}
    for node, count in enumerate(_PARENTS[which][1:], start=2):
        options[f"node{node}.parents" if node < 5 else "output.parents"] = tuple(
            itertools.combinations(range(node), count)
        )
    return SearchSpace(options)


# Zela et al., ICLR 2020: spaces 1 and 2. Node 0 is the input, node 1's only parent; 14,580 and
# 29,160 cells, many isomorphic.
NASBENCH1SHOT1 = {which: _nasbench1shot1(which) for which in _PARENTS}


def nasbench1shot1_cell(arch: Mapping[str, Any]) -> tuple[list[list[int]], list[str]]:
    """Adjacency matrix of six nodes (input, 1 to 4, output) and their operations, as in
    NAS-Bench-101, nothing removed."""
    matrix = [[0] * 6 for _ in range(6)]
    matrix[0][1] = 1
    for node in (2, 3, 4, 5):
        for parent in arch[f"node{node}.parents" if node < 5 else "output.parents"]:
            matrix[parent][node] = 1
    return matrix, ["input", *(arch[f"node{node}.op"] for node in (1, 2, 3, 4)), "output"]


def nasbench1shot1_arch(which: int, matrix: Matrix, operations: Sequence[str]) -> Architecture:
    """The architecture of the publishers' 7 x 7 matrix (its sixth node is unused), canonical;
    UserError where it is none.

    Nodes without parents are removed ones: their decisions take the first option.
    """
    space = NASBENCH1SHOT1[which]
    if (
        len(matrix) != 7
        or any(len(row) != 7 for row in matrix)
        or len(operations) != 7
        or any(row[5] for row in matrix)
    ):
        raise UserError(
            f"a NAS-Bench-1Shot1 cell is a 7 x 7 matrix whose node 5 has no parents, with 7 "
            f"operations; got {matrix}"
        )
    known: dict[str, Any] = {}
    for node in (1, 2, 3, 4, 6):
        parents = tuple(other for other in range(7) if matrix[other][node])
        name = "output" if node == 6 else f"node{node}"
        if node < 6:
            known[f"{name}.op"] = operations[node] if parents else NASBENCH101_OPS[0]
        if node > 1:
            known[f"{name}.parents"] = parents if parents else space[f"{name}.parents"][0]
    return nasbench1shot1_canonical(
        space.check(Architecture({name: known[name] for name in space}))
    )


def nasbench1shot1_read(which: int, matrix: Matrix, operations: Sequence[str]) -> Architecture:
    """The architecture of any NAS-Bench-101 cell that the space holds; UserError naming what it
    does not hold.

    A matrix of six nodes, input and output included, is taken as it is, with nodes that nothing
    reads. Of any other, e.g. the publishers' 7 x 7 ones, the live nodes find places among the four:
    what is missing has the first options.
    """
    size, space = len(matrix), NASBENCH1SHOT1[which]
    _check_cell(matrix, operations)
    if size == 6:
        known = _decided(matrix, operations, range(6))
        if all(option in space.get(name, ()) for name, option in known.items()):
            return Architecture({name: known[name] for name in space})
    live = live_nodes(matrix)
    if not live:
        raise UserError("the cell has no path from input to output")
    inner = live[1:-1]
    for places in itertools.permutations(range(1, 5), len(inner)):  # none for more than four
        place = dict(zip(live, (0, *places, 5), strict=True))
        if any(place[a] >= place[b] for a in live for b in live if matrix[a][b]):
            continue
        moved = [[0] * 6 for _ in range(6)]
        for a, b in itertools.combinations(live, 2):
            moved[place[a]][place[b]] = int(bool(matrix[a][b]))
        named = {place[node]: operations[node] for node in live}
        known = _decided(
            moved,
            [named.get(node, NASBENCH101_OPS[0]) for node in range(6)],
            [place[node] for node in live],
        )
        if all(option in space.get(name, ()) for name, option in known.items()):
            return nasbench1shot1_canonical(
                {name: known.get(name, options[0]) for name, options in space.items()}
            )
    counts = ", ".join(map(str, _PARENTS[which]))
    raise UserError(
        f"space {which} of NAS-Bench-1Shot1 holds no such cell: its nodes 1 to 4 and the output "
        f"read {counts} nodes, those of "
        f"the cell {', '.join(str(sum(bool(matrix[a][b]) for a in live)) for b in live[1:])}"
    )


def _decided(matrix: Matrix, operations: Sequence[str], nodes: Iterable[int]) -> dict[str, Any]:
    """What a cell of six nodes decides of these."""
    known: dict[str, Any] = {}
    for node in nodes:
        parents = tuple(other for other in range(6) if matrix[other][node])
        if node in (1, 2, 3, 4):
            known[f"node{node}.op"] = operations[node]
        if node > 1:
            known[f"node{node}.parents" if node < 5 else "output.parents"] = parents
        elif node == 1 and parents != (0,):
            # the input alone: no space has a decision of this name
            known["node1.parents"] = parents
    return known


def _check_cell(matrix: Any, operations: Any) -> None:
    """UserError naming what is no cell of 2 to 7 nodes."""
    if (
        not isinstance(matrix, list)
        or not 2 <= len(matrix) <= 7
        or any(len(row) != len(matrix) for row in matrix)
    ):
        raise UserError(
            f"a cell of NAS-Bench-101 has a square matrix of 2 to 7 nodes; got {shown(matrix)}"
        )
    if any(matrix[a][b] for a in range(len(matrix)) for b in range(a + 1)):
        raise UserError(
            "the matrix has entries on or below its diagonal; nodes are listed after "
            "those that they read"
        )
    if len(operations) != len(matrix) or (operations[0], operations[-1]) != ("input", "output"):
        raise UserError(
            f"the operations are {shown(operations)}; there is one a node, from 'input' to 'output'"
        )
    for node, operation in enumerate(operations[1:-1], start=1):
        among(f"operation {node}", operation, NASBENCH101_OPS)


_MATRIX, _OPERATIONS = (
    ("module_adjacency", "matrix", "adjacency"),
    ("module_operations", "ops", "operations"),
)


def nasbench101_cell_of(text: str) -> tuple[Any, Any]:
    """Matrix and operations of a text; UserError where they are not both there.

    {"module_adjacency": ..., "module_operations": ...} as in the benchmark's records,
    `ModelSpec(matrix=..., ops=...)`, or the matrix and the operations one after the other.
    """
    fields = mapping_of(text)
    if not fields:
        split = re.search(r"\]\s*\]\s*,?", text)
        if split:
            halves = (text[: split.end()], text[split.end() :])
            fields = {
                name: _list_of(half) for name, half in zip(("matrix", "ops"), halves, strict=True)
            }
    matrix, operations = (
        next((fields[n] for n in names if n in fields), None) for names in (_MATRIX, _OPERATIONS)
    )
    if (
        not isinstance(operations, list)
        or not isinstance(matrix, list)
        or not all(isinstance(row, list) for row in matrix)
    ):
        raise UserError(
            f"'{shown(text, 80)}' is no cell; write "
            '{"module_adjacency": [[0, 1, ...], ...], "module_operations": ["input", ...]}'
        )
    return matrix, operations


def _list_of(text: str) -> Any:
    """The list in a text such as `matrix=[...],`."""
    return value_of(re.sub(r"^[^\[]*", "", text).rstrip(" ,)\n"))


def nasbench1shot1_text(arch: Mapping[str, Any]) -> str:
    """Matrix and operations of all six nodes under the names of NAS-Bench-101's records, as
    JSON."""
    matrix, operations = nasbench1shot1_cell(arch)
    return json.dumps({"module_adjacency": matrix, "module_operations": operations})


def nasbench1shot1_canonical(arch: Mapping[str, Any]) -> Architecture:
    """The same function with every decision of a node that the output does not read at its first
    option.

    Isomorphic cells stay different; `cell_class` tells them together.
    """
    which = next(
        which
        for which, space in NASBENCH1SHOT1.items()
        if len(arch["output.parents"]) == _PARENTS[which][-1]
    )
    used = set(live_nodes(nasbench1shot1_cell(arch)[0]))
    dead = {
        f"node{node}.{what}"
        for node in (1, 2, 3, 4)
        if node not in used
        for what in ("op", "parents")
    }
    return Architecture(
        {name: o[0] if name in dead else arch[name] for name, o in NASBENCH1SHOT1[which].items()}
    )


def nasbench1shot1_class(arch: Mapping[str, Any]) -> str:
    """`cell_class` of the architecture."""
    return cell_class(*nasbench1shot1_cell(arch))


def live_nodes(matrix: Matrix) -> tuple[int, ...]:
    """The nodes on some path from the first to the last, in order; () where there is none."""
    size = len(matrix)
    edges = [(a, b) for b in range(size) for a in range(b) if matrix[a][b]]
    nodes = reachable(edges, 0) & reachable(
        [(b, a) for a, b in sorted(edges, reverse=True)], size - 1
    )
    return tuple(sorted(nodes)) if {0, size - 1} <= nodes else ()


def cell_class(matrix: Matrix, operations: Sequence[str]) -> str:
    """A text that two NAS-Bench-101 cells share exactly when, dead nodes removed, they are
    isomorphic; "" without a path."""
    nodes = live_nodes(matrix)
    if not nodes:
        return ""
    up = {v: [u for u in nodes if matrix[u][v]] for v in nodes}
    down = {v: [u for u in nodes if matrix[v][u]] for v in nodes}
    colors: dict[int, Any] = {v: operations[v] for v in nodes}
    for _ in range(2):  # two rounds of colour refinement leave few orders to compare
        signs = {
            v: (colors[v], sorted(colors[u] for u in up[v]), sorted(colors[u] for u in down[v]))
            for v in nodes
        }
        ranks = sorted({repr(sign) for sign in signs.values()})
        colors = {v: ranks.index(repr(signs[v])) for v in nodes}
    groups = [
        [v for v in nodes[1:-1] if colors[v] == color] for color in sorted(set(colors.values()))
    ]
    forms = []
    for orders in itertools.product(*(itertools.permutations(group) for group in groups)):
        order = [nodes[0], *itertools.chain(*orders), nodes[-1]]
        bits = "".join(str(int(bool(matrix[a][b]))) for a in order for b in order)
        forms.append(f"{' '.join(operations[v] for v in order[1:-1])}|{bits}")
    return min(forms)


# -- small NAS-Bench-101 cells, every edge a decision: EC-NAS ------------------------------------


def _connected(arch: Architecture) -> bool:
    matrix, _ = nasbench101_cell(arch)
    return bool(live_nodes(matrix)) and sum(map(sum, matrix)) <= 9


def _nasbench101(nodes: int) -> SearchSpace:
    options: dict[str, tuple] = {f"node{node}.op": NASBENCH101_OPS for node in range(1, nodes - 1)}
    options |= {f"edge{a}to{b}": (False, True) for b in range(nodes) for a in range(b)}
    return SearchSpace(options, predicates=(_connected,))


# Ying et al., ICML 2019, cells of at most 4 or 5 nodes, input and output included, and 9 edges,
# that connect the two.
NASBENCH101_SMALL = {nodes: _nasbench101(nodes) for nodes in (4, 5)}


def nasbench101_cell(arch: Mapping[str, Any]) -> tuple[list[list[int]], list[str]]:
    """Adjacency matrix and operations, nothing removed."""
    inner = [option for name, option in arch.items() if name.endswith(".op")]
    size = len(inner) + 2
    matrix = [[int(a < b and arch[f"edge{a}to{b}"]) for b in range(size)] for a in range(size)]
    return matrix, ["input", *(arch[f"node{node}.op"] for node in range(1, size - 1)), "output"]


def nasbench101_arch(nodes: int, matrix: Matrix, operations: Sequence[str]) -> Architecture:
    """The architecture of a cell of at most so many nodes, canonical: what is missing in the middle
    has no edges."""
    size, space = len(matrix), NASBENCH101_SMALL[nodes]
    if not 2 <= size <= nodes or len(operations) != size or any(len(row) != size for row in matrix):
        raise UserError(
            f"a cell of 2 to {nodes} nodes has a square matrix and an operation for each; got "
            f"{matrix}, {operations}"
        )
    place = [*range(size - 1), nodes - 1]
    known: dict[str, Any] = {name: options[0] for name, options in space.items()}
    known |= {f"node{node}.op": operations[node] for node in range(1, size - 1)}
    known |= {
        f"edge{place[a]}to{place[b]}": bool(matrix[a][b]) for b in range(size) for a in range(b)
    }
    return nasbench101_canonical(space.check(Architecture(known)))


def nasbench101_canonical(arch: Mapping[str, Any]) -> Architecture:
    """The same function without dead edges, with the first operation on dead nodes; isomorphic
    cells stay different."""
    matrix, _ = nasbench101_cell(arch)
    used = {str(node) for node in live_nodes(matrix)}

    def kept(name: str) -> bool:
        return set(re.findall(r"\d+", name)) <= used

    return Architecture(
        {
            n: o if kept(n) else (NASBENCH101_OPS[0] if n.endswith(".op") else False)
            for n, o in arch.items()
        }
    )


def nasbench101_class(arch: Mapping[str, Any]) -> str:
    """`cell_class` of the architecture."""
    return cell_class(*nasbench101_cell(arch))


def _means_a_cell(text: str) -> bool:
    return re.match(r"\s*(ModelSpec\(|\[\s*\[)", text) is not None or any(
        name in mapping_of(text) for name in _MATRIX
    )


def _space(which: int, what: str) -> Space:
    return Space(
        f"nasbench1shot1-space{which}",
        f"archsmith.spaces.oneshot:nasbench1shot1{'' if which == 1 else '_space2'}",
        what,
        f"{NASBENCH1SHOT1[which].size:,}",
        images="small images, made for 32 pixels",
        formats=(
            Format(
                "matrix and operations of NAS-Bench-101",
                nasbench1shot1_text,
                lambda text: nasbench1shot1_read(which, *nasbench101_cell_of(text)),
                _means_a_cell,
            ),
        ),
        canonical=nasbench1shot1_canonical,
        ensemble="archsmith",
    )


SPACE1 = _space(1, "a cell of four nodes with an operation each, repeated (Zela et al., ICLR 2020)")
SPACE2 = _space(2, "the same with other connections")
