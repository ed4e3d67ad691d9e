"""One embedded server with the toy models for all tests that only ask it something."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.models import (
    config_text,
    fill_toy_repository,
    save_lookup_onnx,
    save_two_inputs_onnx,
    write_model,
)


@pytest.fixture(scope="session")
def toy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("toy")
    repository = fill_toy_repository(folder / "repository")
    config = config_text(
        "lookup",
        "onnxruntime",
        inputs='{name: "index" data_type: TYPE_INT64 dims: [1]}',
        outputs='{name: "looked_up" data_type: TYPE_FP32 dims: [1]}',
    ).replace("20000", "300000")
    save_lookup_onnx(write_model(repository, "lookup", config))
    config = config_text(
        "two_inputs",
        "onnxruntime",
        inputs='{name: "b" data_type: TYPE_FP32 dims: [4]}, {name: "a" data_type: TYPE_FP32 dims: [4]}',
        outputs='{name: "total" data_type: TYPE_FP32 dims: [4]}, {name: "difference" data_type: TYPE_FP32 dims: [4]}',
    )
    save_two_inputs_onnx(write_model(repository, "two_inputs", config))
    cores = {"lookup": [max(os.sched_getaffinity(0))]}
    with EmbeddedServer(repository, log_path=folder / "server.log", cores=cores) as server:
        yield server
