"""Fairness of a bundle across groups."""
