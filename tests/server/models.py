"""Small models for the embedded server, written into a repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper


class Doubling(torch.nn.Module):
    """Twice the input, as float32."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.float() * 2


def config_text(
    name: str,
    backend: str,
    *,
    inputs: str = '{name: "frames" data_type: TYPE_UINT8 dims: [8, 8, 3]}',
    outputs: str = '{name: "detections" data_type: TYPE_FP32 dims: [8, 8, 3]}',
    max_batch_size: int = 8,
    extra: str = "",
) -> str:
    batching = "dynamic_batching { max_queue_delay_microseconds: 20000 }" if max_batch_size else ""
    return (
        f'name: "{name}"\nbackend: "{backend}"\nmax_batch_size: {max_batch_size}\ninput [{inputs}]\n'
        f"output [{outputs}]\ninstance_group [{{count: 1 kind: KIND_CPU}}]\n{batching}\n{extra}\n"
    )


def write_model(repository: Path, name: str, config: str, artifact_name: str | None = None) -> Path:
    """The artifact's path; its folder exists, it does not."""
    version = repository / name / "1"
    version.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)
    return version / (artifact_name or "model.onnx")


def save_doubling_onnx(path: Path, *, batch: str | int = "n", dtype: int = TensorProto.UINT8) -> None:
    """frames [batch, 8, 8, 3] → detections, twice as much, float32."""
    frames = helper.make_tensor_value_info("frames", dtype, [batch, 8, 8, 3])
    detections = helper.make_tensor_value_info("detections", TensorProto.FLOAT, [batch, 8, 8, 3])
    nodes = [
        helper.make_node("Cast", ["frames"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["cast", "two"], ["detections"]),
    ]
    save_graph(path, nodes, [frames], [detections], [helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])])


def save_lookup_onnx(path: Path) -> None:
    """index INT64 [n, 1] → looked_up FP32 [n, 1]; an index of 10 or more fails."""
    index = helper.make_tensor_value_info("index", TensorProto.INT64, ["n", 1])
    found = helper.make_tensor_value_info("looked_up", TensorProto.FLOAT, ["n", 1])
    table = helper.make_tensor("table", TensorProto.FLOAT, [10], [float(i) for i in range(10)])
    save_graph(path, [helper.make_node("Gather", ["table", "index"], ["looked_up"])], [index], [found], [table])


def save_two_inputs_onnx(path: Path) -> None:
    """a, b FP32 [n, 4] → difference a - b and total a + b."""
    a, b, difference, total = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("a", "b", "difference", "total")
    )
    nodes = [helper.make_node("Sub", ["a", "b"], ["difference"]), helper.make_node("Add", ["a", "b"], ["total"])]
    save_graph(path, nodes, [a, b], [difference, total], [])


def save_graph(path: Path, nodes: list, inputs: list, outputs: list, constants: list) -> None:
    graph = helper.make_graph(nodes, "toy", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def save_doubling_torchscript(path: Path) -> None:
    torch.jit.trace(Doubling(), torch.zeros(1, 8, 8, 3, dtype=torch.uint8)).save(str(path))


def save_mean(repository: Path, name: str, instances: int = 1, *, waits_us: int = 20_000) -> None:
    """Pictures of 64 × 64 → six numbers, the mean of each channel twice. waits_us: for others to join a request."""
    frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", 64, 64, 3])
    means = helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["n", 1, 6])
    nodes = [
        helper.make_node("Cast", ["frames"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Concat", ["mean", "mean"], ["twice"], axis=1),
        helper.make_node("Unsqueeze", ["twice", "axis"], ["detections"]),
    ]
    config = config_text(
        name,
        "onnxruntime",
        inputs='{name: "frames" data_type: TYPE_UINT8 dims: [64, 64, 3]}',
        outputs='{name: "detections" data_type: TYPE_FP32 dims: [1, 6]}',
    )
    config = config.replace("count: 1", f"count: {instances}").replace("20000", str(waits_us))
    path = write_model(repository, name, config)
    save_graph(path, nodes, [frames], [means], [helper.make_tensor("axis", TensorProto.INT64, [1], [1])])


def random_frames(seed: int, batch_size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch_size, 8, 8, 3), dtype=np.uint8)


TORCH_IO = {
    "inputs": '{name: "INPUT__0" data_type: TYPE_UINT8 dims: [8, 8, 3]}',
    "outputs": '{name: "OUTPUT__0" data_type: TYPE_FP32 dims: [8, 8, 3]}',
}


def fill_toy_repository(repository: Path) -> Path:
    """doubling_onnx, doubling_openvino and doubling_torch."""
    config = config_text("doubling_openvino", "openvino", extra='default_model_filename: "model.onnx"')
    save_doubling_onnx(write_model(repository, "doubling_openvino", config))
    save_doubling_onnx(write_model(repository, "doubling_onnx", config_text("doubling_onnx", "onnxruntime")))
    config = config_text("doubling_torch", "pytorch", **TORCH_IO)
    save_doubling_torchscript(write_model(repository, "doubling_torch", config, "model.pt"))
    return repository
