"""Comparisons for researchers: proxies on recorded benchmarks, searchers at equal cost, speed."""
