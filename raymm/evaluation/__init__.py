"""Metrics, slices and the blessing."""
