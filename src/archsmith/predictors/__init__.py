"""Predictors of a measured value from an architecture, and how well one ranking agrees with
another. No torch here."""
