"""Trials fit on the nodes they are given, or the search says so before it begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.errors import ClusterError
from raymm.search.share import share

NODES = st.lists(
    st.fixed_dictionaries({"CPU": st.integers(0, 8), "GPU": st.integers(0, 2)}), max_size=4
)


@given(NODES, st.just("auto") | st.integers(1, 6), st.just("auto") | st.integers(1, 4))
def test_what_is_shared_out_can_be_had(nodes, parallel, cpus) -> None:
    least = 1 if cpus == "auto" else cpus
    if not any(node["CPU"] >= least for node in nodes):
        with pytest.raises(ClusterError, match=f"{least} CPU"):
            share(nodes, parallel=parallel, cpus=cpus)
        return
    made = share(nodes, parallel=parallel, cpus=cpus)
    places = sum(node["CPU"] // made.cpus for node in nodes)
    assert any(node["CPU"] >= made.cpus for node in nodes)
    assert made.workers == (places if parallel == "auto" else parallel)
    # CPUs are given to threads only while all trials find a place.
    assert made.cpus == least or places >= made.workers


def test_a_gpu_that_is_nowhere_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ClusterError, match=r"1 CPU and 1 GPUs .* search\.gpus"):
        share([{"CPU": 4}], parallel="auto", gpus=1)
    made = share([{"CPU": 4}, {"CPU": 4, "GPU": 1}], parallel="auto", gpus=0.5)
    assert (made.workers, made.gpus) == (2, 0.5)
    assert made.said == "1 CPU and 0.5 GPU"


def test_a_trial_gets_no_more_cpus_than_the_largest_node_has() -> None:
    assert share([{"CPU": 2}, {"CPU": 2}], parallel=1).cpus == 2
    assert share([{"CPU": 3}, {"CPU": 3}], parallel=4).cpus == 1
