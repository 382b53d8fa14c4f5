"""From files to a dataset: ingest, statistics, schema, validation, split."""
