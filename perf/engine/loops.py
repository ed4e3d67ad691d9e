"""Bare loops: one artifact in this process, without a server, called again and again."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.errors import ConfigError
from photofinish.letterbox import images_nchw_from_frames
from photofinish.model_card import ModelCard
from photofinish.perf.engine.tensorrt import tensorrt_loop
from photofinish.perf.load.loops import run_closed_loop
from photofinish.perf.record.changes import NotRun, NotRunError
from photofinish.perf.record.samples import Samples
from photofinish.variant import ARTIFACT_NAMES

Loop = Callable[[], object]
"""One execution, finished when it returns: the host clock sees all of it."""
WARM_UPS = 5


class NoLoopError(NotRunError, ConfigError):
    """This machine, or this command, cannot run the artifact in a bare loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One variant of the repository. directory: the version directory that holds the model file.

    backend_package: the folder of the embedded server's package whose engines run TensorRT plans and compiled packages.
    """

    card: ModelCard
    directory: Path
    backend_package: Path | None = None

    @property
    def path(self) -> Path:
        """The model file."""
        return self.directory / ARTIFACT_NAMES.get(self.card.backend, "model")


def loop_from_artifact(artifact: Artifact, batch_size: int, seed: int) -> Loop:
    """A warm loop in this process. Raises ConfigError when this machine or this command cannot run the artifact."""
    card = artifact.card
    make = _LOOPS.get(card.backend)
    if make is None:
        raise NoLoopError(NotRun(key="loop", values={"backend": card.backend, "known": ", ".join(_LOOPS)}))
    if not artifact.path.is_file():
        raise NoLoopError(NotRun(key="file", values={"path": str(artifact.path)}))
    return warmed(make(artifact, _input(card, batch_size, seed)))


def warmed(loop: Loop, executions: int = WARM_UPS) -> Loop:
    """The same loop, after so many executions."""
    for _ in range(executions):
        loop()
    return loop


def timed_loop(loop: Loop, seconds: float, batch_size: int = 1) -> Samples:
    """The times of all executions that begin within so many seconds."""
    return run_closed_loop(lambda index: _call(loop), seconds=seconds, frames_per_request=batch_size)


def torch_loop(module: Callable[[Any], object], picture: Any) -> Loop:
    """A module of PyTorch on a tensor, on the device that the tensor lies on."""
    torch = library("torch", "export")
    is_on_gpu = picture.device.type == "cuda"

    def run() -> object:
        with torch.inference_mode():
            output = module(picture)
        if is_on_gpu:
            torch.cuda.synchronize()
        return output

    return run


def onnxruntime_loop(
    path: Path, pixels: npt.NDArray[Any], *, threads: int = 0, level: str = "ORT_ENABLE_ALL", spins: bool = True
) -> Loop:
    """An ONNX file in ONNX Runtime on the CPU.

    threads: 0 for its own choice; level: how far the graph is optimised; spins: whether idle threads spin.
    """
    ort = library("onnxruntime", "server")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spins else "0")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: pixels}
    return lambda: session.run(None, inputs)


def openvino_loop(
    path: Path, pixels: npt.NDArray[Any], settings: Mapping[str, str], *, has_fixed_shape: bool = False
) -> Loop:
    """An ONNX file in OpenVINO on the CPU. has_fixed_shape: the batch is closed to that of the pixels."""
    openvino = library("openvino", "server")
    core = openvino.Core()
    network = core.read_model(str(path))
    if has_fixed_shape:
        network.reshape(list(pixels.shape))
    request = core.compile_model(network, "CPU", dict(settings)).create_infer_request()
    return lambda: request.infer([pixels], share_inputs=True, share_outputs=True)


def library(name: str, extra: str) -> Any:
    """An engine's library. Raises ConfigError with the command that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        command = f"pip install 'photofinish[{extra}]'"
        raise NoLoopError(NotRun(key="missing", values={"name": name, "command": command})) from exc


def package_of(artifact: Artifact) -> Path:
    """The folder of the embedded server's backend package."""
    if artifact.backend_package is None:
        raise ConfigError("the embedded server's backends were not given; run it by `photofinish perf engine`")
    return artifact.backend_package


def _call(loop: Loop) -> None:
    loop()


def _input(card: ModelCard, batch_size: int, seed: int) -> npt.NDArray[Any]:
    width, height = card.input_wh
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (batch_size, height, width, 3), dtype=np.uint8)
    return pixels if card.contract == "frames" else images_nchw_from_frames(pixels)


def _torch_loop(artifact: Artifact, pixels: npt.NDArray[Any]) -> Loop:
    torch = library("torch", "export")
    card = artifact.card
    if card.device == "cuda" and not torch.cuda.is_available():
        raise NoLoopError(NotRun(key="torch_gpu"))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = card.tf32
    picture = torch.from_numpy(pixels).to(card.device)
    module = torch.jit.load(str(artifact.path), map_location=card.device).eval()
    return torch_loop(_captured(torch, module, picture) if card.cuda_graphs else module, picture)


def _captured(torch: Any, module: Any, picture: Any) -> Callable[[Any], object]:
    """The module's work as one CUDA graph, warmed on a stream of its own first, as PyTorch asks for."""
    with torch.inference_mode():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                module(picture)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            module(picture)
    return lambda picture: graph.replay()


def _onnx_loop(artifact: Artifact, pixels: npt.NDArray[Any]) -> Loop:
    card = artifact.card
    if card.device != "cuda":
        return onnxruntime_loop(artifact.path, pixels)
    ort = library("onnxruntime", "server")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    kind = "TensorRT" if card.accelerator == "tensorrt" else "CUDA"
    provider, settings = _PROVIDERS[kind](card)
    if provider not in ort.get_available_providers():
        raise NoLoopError(NotRun(key="provider", values={"kind": kind}))
    library("torch", "export")  # brings the CUDA libraries in
    # Nodes that the provider leaves would run on the CPU, and their time stand under its name.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1" if kind == "TensorRT" else "0")
    for name in _open_dimensions(ort, artifact.path):
        # With an open batch dimension some shape operators stay on the CPU, and no graph can be captured.
        options.add_free_dimension_override_by_name(name, len(pixels))
    try:
        session = ort.InferenceSession(str(artifact.path), options, providers=[(provider, settings)], enable_fallback=0)
    except Exception as exc:  # ONNX Runtime raises classes of its own, all derived from Exception
        values = {"kind": kind, "said": " ".join(str(exc).split())}
        raise NoLoopError(NotRun(key="refused", values=values)) from exc
    if session.get_providers()[0] != provider:
        raise NoLoopError(NotRun(key="fell_back"))
    source, sink = session.get_inputs()[0], session.get_outputs()[0]
    shape = [len(pixels), *(int(side) for side in sink.shape[1:])]
    binding = session.io_binding()
    binding.bind_ortvalue_input(source.name, ort.OrtValue.ortvalue_from_numpy(pixels, "cuda", 0))
    binding.bind_ortvalue_output(sink.name, ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cuda", 0))
    return lambda: session.run_with_iobinding(binding)


def _cuda_provider(card: ModelCard) -> tuple[str, dict[str, str]]:
    return "CUDAExecutionProvider", {
        "enable_cuda_graph": "1" if card.cuda_graphs else "0",
        "use_tf32": "1" if card.tf32 else "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "prefer_nhwc": "1" if card.precision == "fp16" else "0",
    }


def _tensorrt_provider(card: ModelCard) -> tuple[str, dict[str, str]]:
    """Without a precision among the settings the provider builds what the graph says."""
    return "TensorrtExecutionProvider", {"trt_cuda_graph_enable": "1" if card.cuda_graphs else "0"}


_PROVIDERS = {"CUDA": _cuda_provider, "TensorRT": _tensorrt_provider}


def _open_dimensions(ort: Any, path: Path) -> set[str]:
    """Names of the input dimensions that the model leaves open: the batch."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return {side for item in session.get_inputs() for side in item.shape if isinstance(side, str)}


def _openvino_loop(artifact: Artifact, pixels: npt.NDArray[Any]) -> Loop:
    hint = {"bf16": "bf16", "fp16": "f16"}.get(artifact.card.precision, "f32")
    return openvino_loop(artifact.path, pixels, {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint})


def _tensorrt_loop(artifact: Artifact, pixels: npt.NDArray[Any]) -> Loop:
    return tensorrt_loop(artifact.card, artifact.directory, pixels, package_of(artifact))


_LOOPS: Mapping[str, Callable[[Artifact, npt.NDArray[Any]], Loop]] = {
    "pytorch": _torch_loop,
    "onnxruntime": _onnx_loop,
    "openvino": _openvino_loop,
    "tensorrt": _tensorrt_loop,
}
