"""Bundles behind HTTP, plain or on Ray Serve."""
