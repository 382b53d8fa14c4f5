"""Models that were trained elsewhere: read from their files, and made bundles of."""
