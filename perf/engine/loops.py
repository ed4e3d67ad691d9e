"""Each artifact in a bare loop, without a server: the floor that serving is compared with."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.errors import ConfigError, PhotofinishError
from photofinish.letterbox import images_nchw_from_frames
from photofinish.model_card import ModelCard
from photofinish.perf.engine.packages import holds_packages, package_loop
from photofinish.perf.engine.tensorrt import tensorrt_loop
from photofinish.perf.load.loops import run_closed_loop
from photofinish.perf.measure.comparison import Progress, reason_to_stop
from photofinish.perf.record.record import Arm, Block, Load, NotRun, Section
from photofinish.perf.record.samples import Samples
from photofinish.perf.watch.watcher import Watcher
from photofinish.variant import ARTIFACT_NAMES

Loop = Callable[[], object]
"""One execution, finished when it returns: the host clock sees all of it."""
_WARM_UPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One variant of the repository. directory: the version directory that holds the model file.

    backends: the folder of the embedded server's backends, whose classes run TensorRT engines and compiled packages.
    """

    card: ModelCard
    directory: Path
    backends: Path | None = None

    @property
    def path(self) -> Path:
        """The model file."""
        return self.directory / ARTIFACT_NAMES.get(self.card.backend, "model")


def measure_engines(
    artifacts: Sequence[Artifact],
    *,
    batch_sizes: Sequence[int] = (1,),
    seconds: float = 4.0,
    seed: int = 0,
    nvml: Any | None = None,
    on_progress: Progress,
    on_section: Callable[[Section], None] = lambda section: None,
) -> Section:
    """The section of kind "engine": every artifact at every batch size it takes, warm, one after the other.

    On a GPU the input already lies on the device and every execution is waited for. Input is noise of the right shape:
    a detector's time does not depend on its pixels.
    """
    _settle_tf32([artifact.card for artifact in artifacts])
    load = Load(mode="loop", block_s=seconds, seed=seed)
    watcher = Watcher(nvml=nvml, no_server=True)
    arms: list[Arm] = []
    blocks: list[Block] = []
    not_run: list[NotRun] = []
    for artifact in artifacts:
        for batch_size in batch_sizes:
            card = artifact.card
            label = f"{card.variant}, batch {batch_size}"
            on_progress(f"engine: {label}")
            try:
                with _warm(artifact, batch_size, seed) as measure:
                    samples, observed = watcher.watch("", partial(measure, seconds))
            except KeyboardInterrupt as exc:
                stopped = _section(load, arms, blocks, not_run, complete=False)
                on_section(replace(stopped, stopped_by=reason_to_stop(exc)))
                raise
            except Exception as exc:  # every engine raises classes of its own; the others go on
                reason = str(exc) if isinstance(exc, PhotofinishError) else f"{type(exc).__name__}: {exc}"
                reason = " ".join(reason.split())[:500]
                not_run.append(NotRun(label=label, reason=reason))
                on_progress(f"engine: {label}: not run: {reason}")
                continue
            arm = _arm(card, batch_size)
            arms.append(arm)
            blocks.append(Block(arm=arm.key, round=0, began_ns=0, samples=samples, observed=observed))
            on_section(_section(load, arms, blocks, not_run, complete=False))
    section = _section(load, arms, blocks, not_run, complete=True)
    on_section(section)
    return section


@contextmanager
def _warm(artifact: Artifact, batch_size: int, seed: int) -> Iterator[Callable[[float], Samples]]:
    """A function that runs the artifact for so many seconds. Compiled packages run in a process of their own."""
    card = artifact.card
    if batch_size > card.batch_buckets[-1]:
        raise ConfigError(f"{card.variant} takes batches of {card.batch_buckets[-1]} at most")
    if card.backend == "pytorch" and holds_packages(artifact.directory):
        with package_loop(card, artifact.directory, batch_size, seed=seed, backends=_backends_of(artifact)) as measure:
            yield measure
    else:
        loop = loop_from_artifact(artifact, batch_size, seed)
        yield lambda seconds: _timed(loop, seconds, batch_size)


def loop_from_artifact(artifact: Artifact, batch_size: int, seed: int) -> Loop:
    """A warm loop in this process. Raises ConfigError when this machine or this command cannot run the artifact."""
    card = artifact.card
    make = _LOOPS.get(card.backend)
    if make is None:
        raise ConfigError(f"no bare loop for backend {card.backend}; there is one for {', '.join(_LOOPS)}")
    if not artifact.path.is_file():
        raise ConfigError(f"{artifact.path} does not exist; run `photofinish export`")
    loop = make(artifact, _input(card, batch_size, seed))
    for _ in range(_WARM_UPS):
        loop()
    return loop


def _settle_tf32(cards: Sequence[ModelCard]) -> None:
    """Switch TF32 off for the whole process unless the variants ask for it.

    torch's own switches leave cuDNN's convolutions in TF32 on some GPUs; only this variable, read at CUDA's first
    use, turns it off (measured on an H100 with torch 2.11).
    """
    asked = {card.tf32 for card in cards if card.device == "cuda"}
    if len(asked) > 1:
        raise ConfigError("variants with and without TF32 cannot share a process; use --variant, in two runs")
    if asked == {False}:
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def _input(card: ModelCard, batch_size: int, seed: int) -> npt.NDArray[Any]:
    width, height = card.input_wh
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (batch_size, height, width, 3), dtype=np.uint8)
    if card.contract == "frames":
        return pixels
    return images_nchw_from_frames(pixels)


def _torch_loop(artifact: Artifact, pixels: npt.NDArray[Any]) -> Loop:
    torch = _import("torch", "export")
    card = artifact.card
    if card.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("exported for a GPU, and torch sees none here")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = card.tf32
    picture = torch.from_numpy(pixels).to(card.device)
    module = torch.jit.load(str(artifact.path), map_location=card.device).eval()
    execute = _captured(torch, module, picture) if card.cuda_graphs else lambda: module(picture)

    def run() -> object:
        with torch.inference_mode():
            output = execute()
        if card.device == "cuda":
            torch.cuda.synchronize()
        return output

    return run


def _captured(torch: Any, module: Any, picture: Any) -> Loop:
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
    return lambda: graph.replay()


def _onnx_loop(artifact: Artifact, pixels: npt.NDArray[Any]) -> Loop:
    ort = _import("onnxruntime", "server")
    card = artifact.card
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if card.device != "cuda":
        session = ort.InferenceSession(str(artifact.path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda: session.run(None, {name: pixels})
    kind = "TensorRT" if card.accelerator == "tensorrt" else "CUDA"
    provider, settings = _PROVIDERS[kind](card)
    if provider not in ort.get_available_providers():
        raise ConfigError(f"exported for a GPU, and this ONNX Runtime has no {kind} provider; install onnxruntime-gpu")
    _import("torch", "export")  # brings the CUDA libraries in
    # Nodes that the provider leaves would run on the CPU, and their time stand under its name.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1" if kind == "TensorRT" else "0")
    for name in _open_dimensions(ort, artifact.path):
        # With an open batch dimension some shape operators stay on the CPU, and no graph can be captured.
        options.add_free_dimension_override_by_name(name, len(pixels))
    try:
        session = ort.InferenceSession(str(artifact.path), options, providers=[(provider, settings)], enable_fallback=0)
    except Exception as exc:  # ONNX Runtime raises classes of its own, all derived from Exception
        raise ConfigError(f"ONNX Runtime cannot use its {kind} provider: {' '.join(str(exc).split())}") from exc
    if session.get_providers()[0] != provider:
        raise ConfigError("ONNX Runtime fell back to the CPU; `photofinish doctor` says why")
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
    openvino = _import("openvino", "server")
    card = artifact.card
    hint = {"bf16": "bf16", "fp16": "f16"}.get(card.precision, "f32")
    compiled = openvino.Core().compile_model(
        str(artifact.path), "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    )
    request = compiled.create_infer_request()
    return lambda: request.infer([pixels], share_inputs=True, share_outputs=True)


def _tensorrt_loop(artifact: Artifact, pixels: npt.NDArray[Any]) -> Loop:
    return tensorrt_loop(artifact.card, artifact.directory, pixels, _backends_of(artifact))


def _backends_of(artifact: Artifact) -> Path:
    if artifact.backends is None:
        raise ConfigError("the embedded server's backends were not given; run it by `photofinish perf engine`")
    return artifact.backends


_LOOPS: Mapping[str, Callable[[Artifact, npt.NDArray[Any]], Loop]] = {
    "pytorch": _torch_loop,
    "onnxruntime": _onnx_loop,
    "openvino": _openvino_loop,
    "tensorrt": _tensorrt_loop,
}


def _import(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise ConfigError(f"{name} is not installed; run `pip install 'photofinish[{extra}]'`") from exc


def _arm(card: ModelCard, batch_size: int) -> Arm:
    return Arm(
        key=f"{card.variant}/{batch_size}",
        label=card.variant,
        model=card.variant,
        role=card.role,
        backend=card.backend,
        precision=card.precision,
        contract=card.contract,
        device=card.device,
        batch_size=batch_size,
        span="engine",
        untrained=card.untrained,
        tf32=card.tf32,
        weights=card.weights,
        weights_sha256=card.weights_sha256,
    )


def _section(
    load: Load, arms: Sequence[Arm], blocks: Sequence[Block], not_run: Sequence[NotRun], *, complete: bool
) -> Section:
    return Section(
        kind="engine",
        name="engine",
        load=load,
        arms=tuple(arms),
        blocks=tuple(blocks),
        not_run=tuple(not_run),
        complete=complete,
    )


def _timed(loop: Loop, seconds: float, batch_size: int) -> Samples:
    def send(index: int) -> None:
        loop()

    return run_closed_loop(send, seconds=seconds, frames_per_request=batch_size)
