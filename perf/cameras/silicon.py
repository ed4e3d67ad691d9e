"""What is published of GPUs and was measured of two: decoder rates, tensor and memory rates, the engine's rate."""

from __future__ import annotations

from dataclasses import dataclass

from photofinish.errors import ConfigError
from photofinish.machine.nvdec import NVDEC, Nvdec, known_name

DECODER_SHARE = 0.85
"""Of the published rate that is planned with: one H200 gave 0.89 of it at 1280 x 720, and machines need some headroom.
"""
SESSIONS_MEASURED = 285
"""Where `cuvidCreateDecoder` refused on one H200 with driver 580."""
SESSIONS_PUBLISHED = 200
"""Above so many streams NVIDIA's DeepStream notes ask for settings of the driver on Ampere, Ada and Hopper."""
SESSION_MIB_720P = 26.0
"""Memory of one session at 1280 x 720 on one H200; taken to grow with the pixels."""
ENGINE_MIB = 1024
"""A served small detector and its process's context, rounded up."""
CPU_MS_720P = 3.0
"""One core's time for a picture of 1280 x 720, decoded by FFmpeg from a clip with noise in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRate:
    """Pictures a second through the server, as a committed record has it. record: its name under results/."""

    images_per_s: float
    what: str
    record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Silicon:
    """One GPU. memory_gib: what the driver tells, not the data sheet's GB. tensor_tflops: dense FP16 with FP32 sums;
    bandwidth_gb_s: of its memory; both from its data sheet.

    engine: its own measured rate, None where the one of ENGINE_BASE is scaled. sessions: decoders that can be open at
    once.
    """

    name: str
    memory_gib: float
    tensor_tflops: float
    bandwidth_gb_s: float
    sessions: int = SESSIONS_PUBLISHED
    engine: EngineRate | None = None

    @property
    def decoder(self) -> Nvdec:
        """Its video decoders."""
        return NVDEC[self.name]


ENGINE_H100 = EngineRate(
    images_per_s=5079.5,
    what="demo detector, 640 x 640, FP16 compiled, batches of 8 from 8 clients",
    record="h100_bridge_server_check.json",
)
ENGINE_H200 = EngineRate(
    images_per_s=4159.6,
    what="demo detector, 640 x 640, FP16 in ONNX Runtime, batches of 8 from 8 clients",
    record="h200_scale_1.json",
)
GPUS = (
    Silicon(name="T4", memory_gib=15.0, tensor_tflops=65, bandwidth_gb_s=320),
    Silicon(
        name="V100",  # as PCIe, 16 GB
        memory_gib=16.0,
        tensor_tflops=112,
        bandwidth_gb_s=900,
    ),
    Silicon(name="A10", memory_gib=22.5, tensor_tflops=125, bandwidth_gb_s=600),
    Silicon(
        name="A100",  # of 40 GB
        memory_gib=40.0,
        tensor_tflops=312,
        bandwidth_gb_s=1555,
    ),
    Silicon(
        name="A100 80GB",  # as PCIe; SXM has 2039 GB/s
        memory_gib=80.0,
        tensor_tflops=312,
        bandwidth_gb_s=1935,
    ),
    Silicon(name="L4", memory_gib=22.5, tensor_tflops=121, bandwidth_gb_s=300),
    Silicon(name="RTX 4090", memory_gib=24.0, tensor_tflops=165, bandwidth_gb_s=1008),
    Silicon(name="RTX 5070", memory_gib=11.9, tensor_tflops=62, bandwidth_gb_s=672),
    *(
        Silicon(
            name=name,
            memory_gib=memory_gib,
            tensor_tflops=tensor_tflops,
            bandwidth_gb_s=bandwidth_gb_s,
            sessions=SESSIONS_MEASURED,
            engine=engine,
        )
        for name, memory_gib, tensor_tflops, bandwidth_gb_s, engine in (
            ("H100 PCIe", 79.6, 756, 2000, None),
            ("H100 NVL", 93.5, 835, 3900, None),
            ("H100", 79.6, 989, 3350, ENGINE_H100),
            ("H200 NVL", 140.4, 835, 4800, None),
            ("H200", 140.4, 989, 4800, ENGINE_H200),
        )
    ),
)
ENGINE_BASE = "H200"
"""The GPU whose measured rate is scaled for those that nobody has measured."""


def gpu_named(name: str) -> Silicon:
    """The GPU that `known_name` finds. Raises ConfigError with those known."""
    found = known_name(name, [gpu.name for gpu in GPUS])
    if found is None:
        raise ConfigError(f"nothing is known of {name!r}; known are {', '.join(gpu.name for gpu in GPUS)}")
    return next(gpu for gpu in GPUS if gpu.name == found)


def measured_for(gpu: Silicon) -> tuple[Silicon, EngineRate]:
    """The committed rate for a GPU, and the GPU it was measured on: its own, else the base that is scaled."""
    if gpu.engine is not None:
        return gpu, gpu.engine
    base = gpu_named(ENGINE_BASE)
    if base.engine is None:
        raise ValueError(f"{ENGINE_BASE} must have a rate of its own")
    return base, base.engine


def scaled_share(measured_on: Silicon, gpu: Silicon) -> float:
    """Of a rate measured elsewhere: the smaller ratio of tensor rate and memory rate, never above 1. It guesses low."""
    tensor, memory = gpu.tensor_tflops / measured_on.tensor_tflops, gpu.bandwidth_gb_s / measured_on.bandwidth_gb_s
    return 1.0 if gpu is measured_on else min(tensor, memory, 1.0)
