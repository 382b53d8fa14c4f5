"""Search algorithms, the ledger, and trials run on Ray Tune."""
