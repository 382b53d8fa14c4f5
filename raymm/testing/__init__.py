"""Conformance suites for parts that users write."""
