from __future__ import annotations

import socket
import threading
import time

import pytest

from photofinish.client.triton.served import TritonClient, grpc_target
from photofinish.errors import ConfigError, ModelNotFoundError, ModelRepositoryError, ServerUnavailableError
from tests.builders import build_card
from tests.client.fake_triton import FakeModel, FakeTriton
from tests.ports import free_port


@pytest.mark.parametrize("url", ["127.0.0.1:8001", "grpc://127.0.0.1:8001", "grpc://127.0.0.1:8001/"])
def test_addresses(url):
    assert grpc_target(url) == "127.0.0.1:8001"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8001", "127.0.0.1", "host:port", ":8001", "h:99999", ""])
def test_other_addresses_are_refused(url):
    with pytest.raises(ConfigError, match="host:port"):
        grpc_target(url)


def test_models_are_described():
    with (
        FakeTriton(FakeModel(), FakeModel(name="broken", is_ready=False)) as server,
        TritonClient(server.url) as client,
    ):
        (model,) = client.models()
        assert model.card == build_card()
        assert model.has_own_card
        assert model.inputs[0].dims == (64, 64, 3)
        assert model.outputs[0].name == "detections"
        assert model.input_dims() == (64, 64, 3)
        assert model.max_batch_size == 32


def test_an_unknown_model_names_what_is_served():
    with FakeTriton() as server, TritonClient(server.url) as client:
        with pytest.raises(ModelNotFoundError, match=r"nope is not served at .*; ready there: toy_onnx_fp32"):
            client.model("nope")


def test_a_plain_ultralytics_export_needs_no_card():
    plain = FakeModel(
        name="plain",
        card=None,
        inputs=(("images", "FP32", (3, -1, -1)),),
        outputs=(("output0", "FP32", (6, 8400)),),
        parameters={"metadata": "{'names': {0: 'cat', 1: 'dog'}, 'imgsz': [320, 640]}"},
    )
    with FakeTriton(plain) as server, TritonClient(server.url) as client:
        model = client.model("plain")
    card = model.require_card()
    assert not model.has_own_card
    assert (card.head, card.nms, card.contract, card.role) == ("yolo_raw", "client", "tensor", "baseline")
    assert card.class_names == ("cat", "dog")
    assert card.input_wh == (640, 320)
    assert model.input_dims() == (3, 320, 640)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"inputs": (("ids", "INT64", (128,)),)}, r"input ids is INT64 \[128\]"),
        ({"outputs": (("logits", "FP32", (2, 3, 4)),)}, r"output logits is FP32"),
        ({"outputs": (("a", "FP32", (300, 6)), ("b", "FP32", (1,)))}, "1 inputs and 2 outputs"),
        ({"parameters": {"photofinish": "{}"}}, "metadata cannot be read"),
    ],
)
def test_a_model_of_another_kind_says_what_is_missing(change, found):
    other = FakeModel(**{"card": None, "inputs": (("images", "FP32", (3, 64, 64)),), **change})
    with FakeTriton(other) as server, TritonClient(server.url) as client:
        model = client.model(other.name)
        assert model.card is None
        with pytest.raises(ModelRepositoryError, match=found):
            model.require_card()


def test_no_server_is_one_clear_error_at_once():
    url = f"127.0.0.1:{free_port()}"
    begun = time.monotonic()
    with TritonClient(url) as client, pytest.raises(ServerUnavailableError, match=rf"{url}.*photofinish serve"):
        client.models()
    assert time.monotonic() - begun < 20


def test_a_port_that_never_answers_ends_at_the_deadline():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        with TritonClient(f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.5) as client:
            with pytest.raises(ServerUnavailableError, match=r"within 0\.5 s"):
                client.models()


def test_waiting_ends_when_the_model_is_ready():
    with FakeTriton() as server, TritonClient(server.url) as client:
        server.models["toy_onnx_fp32"].is_ready = False
        timer = threading.Timer(0.3, lambda: setattr(server.models["toy_onnx_fp32"], "is_ready", True))
        timer.start()
        client.wait_until_ready(5, ("toy_onnx_fp32",))
        timer.join()
        assert client.is_ready()
        assert client.server_version() == "2.51.0"


def test_waiting_says_what_is_not_ready():
    with FakeTriton(FakeModel(is_ready=False)) as server, TritonClient(server.url) as client:
        with pytest.raises(ModelNotFoundError, match=r"toy_onnx_fp32 is not ready \(broken on purpose\)"):
            client.wait_until_ready(0.3, ("toy_onnx_fp32",))
        server.is_ready = False
        with pytest.raises(ServerUnavailableError, match="live but not ready"):
            client.wait_until_ready(0.3)
