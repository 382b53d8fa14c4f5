"""Smaller and faster bundles within an allowed loss."""
