"""Automated model management on Ray: tune, prove, compress, serve, watch and tune again."""
