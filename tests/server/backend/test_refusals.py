"""The Python-based backends through the real server: right values, refusals at load, a bad request alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto
from tritonclient.utils import InferenceServerException

from photofinish.errors import ModelRepositoryError
from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.asking import asking
from tests.server.models import (
    config_text,
    random_frames,
    save_doubling_onnx,
    write_model,
)

IO_NAMES = {
    "doubling_onnx": ("frames", "detections"),
    "doubling_openvino": ("frames", "detections"),
    "doubling_torch": ("INPUT__0", "OUTPUT__0"),
}
DATATYPES = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32"}


def infer(client: triton.InferenceServerClient, model: str, **arrays: np.ndarray) -> triton.InferResult:
    inputs = []
    for name, array in arrays.items():
        item = triton.InferInput(name, list(array.shape), DATATYPES[array.dtype.name])
        item.set_data_from_numpy(array)
        inputs.append(item)
    return client.infer(model, inputs, client_timeout=30)


@pytest.fixture
def client(toy_server: EmbeddedServer) -> triton.InferenceServerClient:
    with asking(toy_server.endpoint.grpc_url) as opened:
        yield opened


@pytest.mark.parametrize("model", IO_NAMES)
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_values_survive(client: triton.InferenceServerClient, model: str, batch_size: int) -> None:
    given, wanted = IO_NAMES[model]
    frames = random_frames(batch_size, batch_size)
    found = infer(client, model, **{given: frames}).as_numpy(wanted)
    np.testing.assert_array_equal(found, frames.astype(np.float32) * 2)


@pytest.mark.parametrize("model", IO_NAMES)
def test_joined_batches_are_split_to_their_owners(client: triton.InferenceServerClient, model: str) -> None:
    given, wanted = IO_NAMES[model]

    def is_right(seed: int) -> bool:
        frames = random_frames(seed, 1 + seed % 3)
        found = infer(client, model, **{given: frames}).as_numpy(wanted)
        return np.array_equal(found, frames.astype(np.float32) * 2)

    before = statistics(client, model)
    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(is_right, range(300)))
    after = statistics(client, model)
    executions = after.execution_count - before.execution_count
    inferences = after.inference_count - before.inference_count
    assert inferences == sum(1 + seed % 3 for seed in range(300))
    assert inferences / executions > 2, "requests were not joined into batches"


def statistics(client: triton.InferenceServerClient, model: str) -> object:
    return client.get_inference_statistics(model).model_stats[0]


def test_inputs_and_outputs_go_by_name(client: triton.InferenceServerClient) -> None:
    a, b = np.full((2, 4), 5, np.float32), np.full((2, 4), 3, np.float32)
    answer = infer(client, "two_inputs", a=a, b=b)
    np.testing.assert_array_equal(answer.as_numpy("difference"), a - b)
    np.testing.assert_array_equal(answer.as_numpy("total"), a + b)


def test_one_bad_request_in_a_batch_fails_alone(client: triton.InferenceServerClient) -> None:
    before = statistics(client, "lookup")

    def ask(index: int) -> float | str:
        try:
            return float(infer(client, "lookup", index=np.array([[index]], np.int64)).as_numpy("looked_up")[0, 0])
        except InferenceServerException as exc:
            return str(exc.message())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [0, 1, 2, 99, 4, 5, 6, 7]))
    after = statistics(client, "lookup")
    assert after.execution_count - before.execution_count < 8, "requests were not joined into batches"
    assert "lookup failed on this request" in str(answers[3])
    assert [answer for index, answer in enumerate(answers) if index != 3] == [0, 1, 2, 4, 5, 6, 7]


REFUSED = {
    "wrong_input_dtype": (
        {"inputs": '{name: "frames" data_type: TYPE_FP32 dims: [8, 8, 3]}'},
        "input 'frames' is uint8 in the model, config.pbtxt states float32",
    ),
    "wrong_input_name": (
        {"inputs": '{name: "images" data_type: TYPE_UINT8 dims: [8, 8, 3]}'},
        "config.pbtxt names the inputs ['images'], the model has ['frames']",
    ),
    "wrong_input_count": (
        {
            "inputs": '{name: "frames" data_type: TYPE_UINT8 dims: [8, 8, 3]}, '
            '{name: "more" data_type: TYPE_UINT8 dims: [1]}'
        },
        "config.pbtxt names the inputs ['frames', 'more'], the model has ['frames']",
    ),
    "wrong_input_dims": (
        {"inputs": '{name: "frames" data_type: TYPE_UINT8 dims: [8, 8, 4]}'},
        "input 'frames' has the dims [8, 8, 3] in the model, config.pbtxt states [8, 8, 4]",
    ),
    "wrong_output_name": (
        {"outputs": '{name: "boxes" data_type: TYPE_FP32 dims: [8, 8, 3]}'},
        "config.pbtxt names the outputs ['boxes'], the model has ['detections']",
    ),
    "wrong_output_dims": (
        {"outputs": '{name: "detections" data_type: TYPE_FP32 dims: [-1, 8, 3]}'},
        "output 'detections' has the dims [8, 8, 3] in the model, config.pbtxt states [-1, 8, 3]",
    ),
    "wrong_output_dtype": (
        {"outputs": '{name: "detections" data_type: TYPE_FP16 dims: [8, 8, 3]}'},
        "output 'detections' is float32 in the model, config.pbtxt states float16",
    ),
}


def test_onnx_models_that_disagree_with_their_config_are_refused(tmp_path: Path) -> None:
    for name, (changes, _) in REFUSED.items():
        save_doubling_onnx(write_model(tmp_path, name, config_text(name, "onnxruntime", **changes)))
    save_doubling_onnx(write_model(tmp_path, "static_batch", config_text("static_batch", "onnxruntime")), batch=1)
    (write_model(tmp_path, "not_onnx", config_text("not_onnx", "onnxruntime"))).write_bytes(b"no model")
    write_model(tmp_path, "no_artifact", config_text("no_artifact", "onnxruntime"))
    (tmp_path / "bad_config").mkdir()
    (tmp_path / "bad_config/config.pbtxt").write_text("max_batch_size: many")
    said = refusal(tmp_path)
    for name, (_, reason) in REFUSED.items():
        assert f"model {name} cannot be loaded: {reason}" in said
    assert "model static_batch cannot be loaded: input 'frames' has the shape [1, 8, 8, 3] in the model; with " in said
    assert "model not_onnx cannot be loaded: ONNX Runtime" in said
    assert "no_artifact/1/model.onnx does not exist" in said
    assert "model bad_config cannot be loaded: failed to read text proto" in said
    assert "Expected integer, got: many" in said


def test_card_for_another_device_is_refused(tmp_path: Path) -> None:
    card = 'parameters { key: "photofinish" value { string_value: "{\\"device\\": \\"cuda\\"}" } }'
    save_doubling_onnx(write_model(tmp_path, "for_gpu", config_text("for_gpu", "onnxruntime", extra=card)))
    assert "for_gpu is made for cuda and its instance_group asks for cpu" in refusal(tmp_path)


def test_openvino_models_that_cannot_run_as_stated_are_refused(tmp_path: Path) -> None:
    import openvino

    name = {"extra": 'default_model_filename: "model.onnx"'}
    wrong = {"outputs": '{name: "detections" data_type: TYPE_FP32 dims: [8, 8, 4]}', **name}
    save_doubling_onnx(write_model(tmp_path, "wrong_dims", config_text("wrong_dims", "openvino", **wrong)))
    write_model(tmp_path, "not_onnx", config_text("not_onnx", "openvino", **name)).write_bytes(b"no model")
    card = 'parameters { key: "photofinish" value { string_value: "{\\"precision\\": \\"fp8\\"}" } }'
    save_doubling_onnx(write_model(tmp_path, "fp8", config_text("fp8", "openvino", extra=card)))
    bf16 = card.replace("fp8", "bf16")
    save_doubling_onnx(write_model(tmp_path, "bf16", config_text("bf16", "openvino", extra=bf16)))
    said = refusal(tmp_path)
    assert "output 'detections' has the dims [8, 8, 3] in the model, config.pbtxt states [8, 8, 4]" in said
    assert "not_onnx cannot be loaded: OpenVINO" in said
    assert "the card of fp8 says 'fp8'" in said
    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert ("bf16 is made for bf16, and this processor (" in said) is not has_bf16


def refusal(repository: Path) -> str:
    with (
        pytest.raises(ModelRepositoryError) as caught,
        EmbeddedServer(repository, log_path=repository.parent / "refused.log"),
    ):
        pass
    return str(caught.value)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.INT64])
def test_models_without_a_batch_dimension(tmp_path: Path, dtype: int) -> None:
    kind = {TensorProto.FLOAT: "FP32", TensorProto.INT64: "INT64"}[dtype]
    config = config_text(
        "unbatched",
        "onnxruntime",
        max_batch_size=0,
        inputs=f'{{name: "frames" data_type: TYPE_{kind} dims: [1, 8, 8, 3]}}',
        outputs='{name: "detections" data_type: TYPE_FP32 dims: [1, 8, 8, 3]}',
    )
    save_doubling_onnx(write_model(tmp_path / "models", "unbatched", config), batch=1, dtype=dtype)
    with (
        EmbeddedServer(tmp_path / "models", log_path=tmp_path / "log") as server,
        asking(server.endpoint.grpc_url) as client,
    ):
        frames = random_frames(0, 1).astype({"FP32": np.float32, "INT64": np.int64}[kind])
        found = infer(client, "unbatched", frames=frames).as_numpy("detections")
        np.testing.assert_array_equal(found, frames * 2.0)
