"""Whole runs here look at few lower bounds."""

from quick import few_bounds as few_bounds
