"""Models with cores of their own: where they compute, and that nothing measures them as if they had all."""

from __future__ import annotations

import os

import pytest

from photofinish.errors import ConfigError
from photofinish.flows.showing.core_groups import require_all_cores
from photofinish.machine.processes import ProcessTree
from photofinish.server.triton.embedded import EmbeddedServer
from tests.builders import cores_of_threads


def test_a_model_with_cores_of_its_own_computes_there_with_all_its_threads(toy_server: EmbeddedServer) -> None:
    allowed = os.sched_getaffinity(0)
    tree = ProcessTree(toy_server.endpoint.pid)
    for model, cores in (("lookup", {max(allowed)}), ("two_inputs", allowed)):
        (pid,) = tree.pids_of_model(model)
        assert cores_of_threads(pid) == {frozenset(cores)}, model


def test_a_model_with_cores_of_its_own_is_not_measured_from_outside(toy_server: EmbeddedServer) -> None:
    url = toy_server.endpoint.grpc_url
    require_all_cores(url, ["two_inputs"])
    require_all_cores("127.0.0.1:1", ["lookup"])
    with pytest.raises(ConfigError, match=r"lookup computes on 1 of \d+ cores.*Measure properly"):
        require_all_cores(url, ["two_inputs", "lookup"])
