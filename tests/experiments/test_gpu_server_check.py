"""The measurements of the check, against a small Triton in this process."""

from __future__ import annotations

import time

import numpy as np
import pytest

from experiments.gpu_server_check import latencies_ms, throughput
from photofinish.client.triton.served import TritonClient
from photofinish.client.triton.transport import GRPC
from tests.client.fake_triton import FakeTriton

FRAMES = np.zeros((4, 64, 64, 3), np.uint8)


def test_images_are_counted_over_the_measured_seconds() -> None:
    with FakeTriton() as server, TritonClient(server.url) as client:
        model = client.model("toy_onnx_fp32")
        found = throughput(server.url, model, FRAMES, GRPC, 2, 2, 0.2, sleep=lambda seconds: time.sleep(0.2))
        assert (found["transport"], found["batch"], found["clients"]) == ("grpc", 2, 2)
        assert found["images_per_s"] > 0
        few = latencies_ms(server.url, model, FRAMES, GRPC, 1, 0.05)
        assert few["p50_ms"] is not None
        assert few["p99_ms"] is None, "too few requests for it"


def test_ctrl_c_while_it_measures_ends_the_clients() -> None:
    waits = iter([0.05])

    def sleep(seconds: float) -> None:
        try:
            time.sleep(next(waits))
        except StopIteration:
            raise KeyboardInterrupt from None

    with FakeTriton() as server, TritonClient(server.url) as client:
        model = client.model("toy_onnx_fp32")
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            throughput(server.url, model, FRAMES, GRPC, 1, 3, 60.0, sleep=sleep)
        assert time.monotonic() - begun < 30
