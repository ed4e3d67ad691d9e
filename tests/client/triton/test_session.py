from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from photofinish.client.triton.grpc_caller import GrpcCaller
from photofinish.client.triton.regions import BytesRegion, is_orphaned, machine_key, unregister_when_idle
from photofinish.client.triton.served import ServedModel, TritonClient
from photofinish.client.triton.session import Session
from photofinish.client.triton.tensors import TensorInfo
from photofinish.client.triton.transport import GRPC, SYSTEM_SHM, SYSTEM_SHM_HTTP
from photofinish.errors import (
    ConfigError,
    InferenceError,
    ModelNotFoundError,
    RequestRejectedError,
    RequestTimeoutError,
    ServerUnavailableError,
)
from photofinish.letterbox import letterboxed_from_image
from tests.builders import build_card
from tests.client.fake_triton import FakeModel, FakeTriton, wait_for
from tests.client.triton.test_http_caller import answer, scripted


def echo_sums(inputs):
    """Row 0 of each picture's answer starts with the sum of its pixels."""
    frames = inputs["frames"]
    rows = np.zeros((len(frames), 300, 6), np.float32)
    rows[:, 0, 0] = frames.reshape(len(frames), -1).sum(axis=1)
    return {"detections": rows}


def served(server: FakeTriton) -> ServedModel:
    with TritonClient(server.url) as client:
        return client.model("toy_onnx_fp32")


def shared_memory_names() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob(f"photofinish-region-{os.getpid()}-*")}


@pytest.mark.parametrize("transport", [GRPC, SYSTEM_SHM, "auto"])
def test_pixels_arrive(transport):
    with FakeTriton(FakeModel(infer=echo_sums)) as server:
        with Session(server.url, served(server), transport=transport, slots=2, batch_size=3) as session:
            assert session.transport == (GRPC if transport == GRPC else SYSTEM_SHM)
            slots = [session.acquire(), session.acquire()]
            for value, slot in enumerate(slots, start=1):
                slot.input_array[:] = 0
                slot.input_array[:, 0, 0, 0] = (value, 2 * value, 3 * value)
            first, second = session.submit(slots[0]), session.submit(slots[1])
            assert first.result()[:, 0, 0].tolist() == [1, 2, 3]
            assert second.result()[:, 0, 0].tolist() == [2, 4, 6]
            assert session.infer(slots[1], 2)[:, 0, 0].tolist() == [2, 4]
            assert session.infer(slots[1])[:, 0, 0].tolist() == [2, 4, 6]
            assert slots[1].received_ns > slots[1].sent_ns > 0
            assert not shared_memory_names()
        assert not server.regions


def test_refused_shared_memory_falls_back_and_says_so():
    notices: list[str] = []
    with FakeTriton(FakeModel(infer=echo_sums), refuse_shared_memory=True) as server:
        with Session(server.url, served(server), on_notice=notices.append) as session:
            assert session.transport == GRPC
            slot = session.acquire()
            slot.input_array[:] = 1
            assert session.infer(slot)[0, 0, 0] == 64 * 64 * 3
        assert len(notices) == 1
        assert "grpc instead" in notices[0]
        assert "client shared memory is disabled" in notices[0]
        assert not shared_memory_names()
        with pytest.raises(RequestRejectedError, match="disabled"):
            Session(server.url, served(server), transport=SYSTEM_SHM)
    assert not shared_memory_names()


def test_no_shared_memory_on_this_machine(monkeypatch, tmp_path):
    monkeypatch.setattr("photofinish.client.triton.regions.SHARED_MEMORY_FOLDER", tmp_path / "missing")
    with FakeTriton() as server:
        with Session(server.url, served(server)) as session:
            assert session.transport == GRPC
        with pytest.raises(ConfigError, match="no shared memory on this machine"):
            Session(server.url, served(server), transport=SYSTEM_SHM)


def test_http_is_asked_where_the_server_is_said_to_have_it():
    known = answer(b"[]")
    with FakeTriton() as server, scripted(known) as ((host, port), heard):
        with Session(server.url, served(server), http_url=f"{host}:{port}", slots=1) as session:
            assert session.transport == SYSTEM_SHM_HTTP
        assert heard[0].startswith(b"GET /v2/systemsharedmemory/region/")


def test_foreign_words_in_a_notice_stay_words():
    """A server on the HTTP port that is no Triton may answer what it likes."""
    notices: list[str] = []
    refusal = answer(b'{"error": {"code": 404}}', 404)
    with FakeTriton() as server, scripted(refusal) as ((host, port), _):
        url = f"{host}:{port}"
        with Session(server.url, served(server), http_url=url, slots=1, on_notice=notices.append) as session:
            assert session.transport == SYSTEM_SHM
    assert len(notices) == 1
    assert notices[0].startswith("no system_shm_http with the server, pictures go by system_shm instead (")
    assert "{'code': 404}" in notices[0]


def test_slots_run_out_and_come_back():
    with FakeTriton() as server, Session(server.url, served(server), slots=1) as session:
        slot = session.acquire()
        with pytest.raises(RequestTimeoutError, match="all 1 requests"):
            session.acquire(timeout_s=0.05)
        session.release(slot)
        assert session.acquire(timeout_s=1) is slot


@pytest.mark.parametrize("change", [{"slots": 0}, {"batch_size": 0}, {"batch_size": 33}])
def test_values_out_of_range_are_refused(change):
    with FakeTriton() as server, pytest.raises(ConfigError):
        Session(server.url, served(server), **change)


def test_a_slow_server_meets_the_deadline():
    with FakeTriton(delay_s=30) as server, Session(server.url, served(server), timeout_s=0.3) as session:
        begun = time.monotonic()
        with pytest.raises(RequestTimeoutError, match="deadline"):
            session.infer(session.acquire())
        assert time.monotonic() - begun < 20


def test_a_server_that_vanishes_fails_what_is_in_flight_and_leaves_nothing():
    with FakeTriton(delay_s=30) as server, Session(server.url, served(server), timeout_s=20) as session:
        future = session.submit(session.acquire())
        wait_for(lambda: bool(server.requests))
        begun = time.monotonic()
        server.vanish()
        with pytest.raises(ServerUnavailableError):
            future.result(timeout=18)
        session.close()
        assert time.monotonic() - begun < 18
    assert not shared_memory_names()


def test_a_model_that_is_deleted_meanwhile():
    with FakeTriton() as server, Session(server.url, served(server)) as session:
        slot = session.acquire()
        session.infer(slot)
        del server.models["toy_onnx_fp32"]
        with pytest.raises(ModelNotFoundError, match="toy_onnx_fp32"):
            session.infer(slot)


@pytest.mark.parametrize(("refusals", "is_released"), [(0, True), (3, True), (10_000, False)])
def test_a_region_in_use_is_asked_for_again_and_not_for_ever(refusals, is_released):
    """Triton refuses to let go of memory that a request uses whose client timed out."""
    asked = []
    seconds = itertools.count(0, 0.1)

    def unregister(name):
        asked.append(name)
        if len(asked) <= refusals:
            raise RequestRejectedError(f"Cannot unregister shared memory region '{name}', it is currently in use.")

    clock = lambda: next(seconds)  # noqa: E731
    assert unregister_when_idle(unregister, "region", clock=clock, sleep=lambda s: None) is is_released
    assert len(asked) == (refusals + 1 if is_released else 20)


def test_a_server_that_is_gone_is_asked_once():
    asked = []

    def unregister(name):
        asked.append(name)
        raise ServerUnavailableError("gone")

    assert unregister_when_idle(unregister, "region")
    assert len(asked) == 1


def test_a_closed_session_says_so():
    with FakeTriton() as server:
        session = Session(server.url, served(server))
        slot = session.acquire()
        session.close()
        for send in (session.submit, session.infer):
            with pytest.raises(InferenceError, match="the session is closed"):
                send(slot)


def test_regions_of_killed_clients_are_released_and_no_others():
    dead = 2**22 + 1  # above the kernel's largest process id
    key = machine_key()
    assert key
    orphan = f"photofinish-region-{dead}-{key}-abc"
    others = {
        f"photofinish-region-{dead}-0badc0de-abc": "another machine's or container's",
        f"photofinish-region-{os.getpid()}-{key}-abc": "alive",
        f"photofinish-region-{dead}-abc": "of an older version",
        "somebody_elses": "not ours",
    }
    with FakeTriton() as server:
        server.regions |= dict.fromkeys([orphan, *others], b"")
        with Session(server.url, served(server), transport=SYSTEM_SHM, slots=2):
            assert orphan not in server.regions
            assert len(server.regions) == len(others) + 2
        assert set(server.regions) == set(others)


def test_a_machine_that_cannot_be_told_has_no_orphans(monkeypatch):
    monkeypatch.setattr("photofinish.client.triton.regions.machine_key", lambda: "")
    assert not is_orphaned(f"photofinish-region-{2**22 + 1}--abc")


def test_padding_is_written_once_and_again_where_somebody_wrote():
    with FakeTriton() as server, Session(server.url, served(server)) as session:
        slot = session.acquire()
        card = session.model.require_card()
        wide, square = (np.full((h, w, 3), 9, np.uint8) for h, w in ((32, 64), (64, 64)))
        expected = letterboxed_from_image(wide, (64, 64), swap_channels=True)[0]
        for before in (wide, wide, square):
            slot.write(0, before, card)
            slot.write(0, wide, card)
            np.testing.assert_array_equal(slot.input_array[0], expected)
        slot.write(0, wide, card)
        slot.input_array[0] = 1
        slot.write(0, wide, card)
        np.testing.assert_array_equal(slot.input_array[0], expected)
        session.release(slot)


class SilentChannel:
    """A channel that keeps what is sent and gives no answer."""

    def __init__(self):
        self.heard = []

    def unary_unary(self, path, response_deserializer):
        return lambda request, **options: self.heard.append(request)


def test_a_message_that_is_joined_is_what_protobuf_would_write():
    model = ServedModel(
        name="toy", card=build_card(), has_own_card=True, problem="", max_batch_size=8,
        inputs=(TensorInfo(name="frames", datatype="UINT8", dims=(9, 7, 3)),),
        outputs=(TensorInfo(name="detections", datatype="FP32", dims=(300, 6)),),
    )  # fmt: skip
    for batch in (1, 3, 90):
        region = BytesRegion((batch, 9, 7, 3), np.uint8)
        region.array[...] = np.arange(region.array.size, dtype=np.uint8).reshape(region.array.shape)
        channel = SilentChannel()
        with pytest.raises(AttributeError):  # there is no answer
            GrpcCaller(channel, "x:1", model, region).call(batch, region.array.nbytes, 1.0)
        request = service_pb2.ModelInferRequest.FromString(channel.heard[0])
        assert request.raw_input_contents == [region.array.tobytes()]
        assert list(request.inputs[0].shape) == [batch, 9, 7, 3]
        assert request.SerializeToString(deterministic=True) == channel.heard[0]
