"""Batches without content are whole all the same."""

from __future__ import annotations

from raymm.artifacts import Batch, Schema, Target


def test_batches_do_not_share_their_defaults():
    one, other = (Batch(rows=0, version=1, seconds=0.0, error="InputError") for _ in range(2))
    assert one.tensors is not other.tensors
    assert one.predictions.shape == (0,)


def test_a_target_is_what_the_schema_says_of_it():
    schema = Schema(columns=(), target="y", task="binary", classes=("n", "y"), decision=(1.0, 2.0))
    made = Target.of(schema, "f1")
    assert (made.task, made.classes, made.decision, made.metric) == (
        "binary", ("n", "y"), (1.0, 2.0), "f1",
    )  # fmt: skip
