"""Batches without content are whole all the same."""

from __future__ import annotations

from raymm.artifacts import Batch


def test_batches_do_not_share_their_defaults():
    one, other = (Batch(rows=0, version=1, seconds=0.0, error="InputError") for _ in range(2))
    assert one.tensors is not other.tensors
    assert one.predictions.shape == (0,)
