"""Dominance, fronts, crowding and hypervolume of points whose every coordinate is the better the
smaller."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archsmith.errors import UserError

Points = Sequence[Sequence[float]]


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is nowhere worse than `b` and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(
        x < y for x, y in zip(a, b, strict=True)
    )


def front(points: Points) -> list[int]:
    """Indices, ascending, of the points that no other dominates; of equal points all."""
    return _front(_array(points))


def _front(array: np.ndarray) -> list[int]:
    if not len(array):
        return []
    if array.shape[1] == 1:
        return np.flatnonzero(array[:, 0] == array[:, 0].min()).tolist()
    if array.shape[1] == 2:
        return _front_2d(array)
    alive = np.ones(len(array), dtype=bool)
    # a point can only be dominated by one that comes before it in this order
    for i in np.lexsort(array.T[::-1]):
        if alive[i]:
            alive &= ~((array >= array[i]).all(axis=1) & (array > array[i]).any(axis=1))
    return np.flatnonzero(alive).tolist()


def _front_2d(array: np.ndarray) -> list[int]:
    best, kept, last = np.inf, [], None
    for i in np.lexsort((array[:, 1], array[:, 0])):
        point = tuple(array[i])
        if point[1] < best or point == last:
            kept.append(int(i))
            best, last = point[1], point
    return sorted(kept)


def fronts(points: Points) -> list[list[int]]:
    """All indices, sorted into fronts: the non-dominated, those non-dominated without them, and so
    on (Deb et al. 2002)."""
    array, left = _array(points), np.arange(len(points))
    result = []
    while len(left):
        first = _front(array[left])
        result.append(left[first].tolist())
        left = np.delete(left, first)
    return result


def crowding(points: Points) -> list[float]:
    """The crowding distance of each point of one front (Deb et al. 2002, section III-B); inf at the
    ends of each objective."""
    array = _array(points)
    distance = np.zeros(len(array))
    for column in array.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if span > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance.tolist()


def hypervolume(points: Points, reference: Sequence[float]) -> float:
    """The volume that the points dominate below `reference`; points that are not below it in every
    coordinate add nothing."""
    limit = np.asarray(reference, dtype=float)
    array = _array(points)
    if len(array) and array.shape[1] != len(limit):
        raise UserError(
            f"a reference point of {len(limit)} coordinates for points of {array.shape[1]}"
        )
    array = array[(array < limit).all(axis=1)] if len(array) else array
    if not len(array):
        return 0.0
    if len(limit) == 1:
        return float(limit[0] - array.min())
    if len(limit) == 2:
        volume, floor = 0.0, limit[1]
        for x, y in array[np.lexsort((array[:, 1], array[:, 0]))]:
            if y < floor:
                volume += (limit[0] - x) * (floor - y)
                floor = y
        return float(volume)
    from pymoo.indicators.hv import HV

    return float(HV(ref_point=limit)(array))


def _array(points: Points) -> np.ndarray:
    array = np.asarray(points, dtype=float)
    if array.size and np.isnan(array).any():
        raise UserError("a point has a coordinate that is not a number; leave failed trials out")
    return array.reshape(len(points), -1) if len(points) else array.reshape(0, 0)
