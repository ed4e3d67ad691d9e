"""How many cameras a GPU would carry, by arithmetic: decoder, sessions, engine, memory. Nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from photofinish.errors import ConfigError
from photofinish.machine.nvdec import VideoCodec
from photofinish.perf.cameras.silicon import (
    CPU_MS_720P,
    DECODER_SHARE,
    ENGINE_MIB,
    GPUS,
    SESSION_MIB_720P,
    EngineRate,
    Silicon,
    gpu_named,
    measured_for,
    scaled_share,
)
from photofinish.perf.record.record import Record, read_record

PlanWall = Literal["decoder", "sessions", "engine", "memory", "no decoder"]
EngineSource = Literal["measured", "scaled"]
PIXELS_720P = 1280 * 720
ENGINE_SHARE = 0.85
"""Of the engine's rate that is planned with: above it requests queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraNeed:
    """What is wanted. cameras: how many, 0 to ask only for the most. codec, size_wh, send_fps: what each sends."""

    size_wh: tuple[int, int] = (1280, 720)
    codec: VideoCodec = "h264"
    send_fps: float = 25.0
    infer_fps: float = 5.0
    cameras: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for what no camera does."""
        if self.infer_fps > self.send_fps:
            raise ConfigError(
                f"--infer-fps {self.infer_fps:g} is more than the cameras send; raise --send-fps {self.send_fps:g}"
            )

    @property
    def megapixels(self) -> float:
        """Of 1280 x 720."""
        return self.size_wh[0] * self.size_wh[1] / PIXELS_720P

    @property
    def cpu_cores_a_camera(self) -> float:
        """Cores that decode one camera's every picture without a GPU's decoder."""
        return self.send_fps * CPU_MS_720P / 1000 * self.megapixels


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One GPU. by_…: cameras that each part carries by itself. wall: the part that ends it first.

    engine_fps: pictures a second that are planned with; engine_source: of a record of this GPU, or scaled from another.
    """

    gpu: str
    decoder_fps: float
    by_decoder: int
    by_sessions: int
    by_engine: int
    by_memory: int
    engine_fps: float
    engine_source: EngineSource
    engine_record: str
    carries: int
    wall: PlanWall

    @property
    def is_bound(self) -> bool:
        """Whether it carries that many at least: the wall is a rate that was scaled, on the low side."""
        return self.wall == "engine" and self.engine_source == "scaled"

    def fits(self, cameras: int) -> bool | None:
        """Whether it carries so many; None where only a measurement can tell."""
        if self.carries >= cameras:
            return True
        others = min(self.by_decoder, self.by_sessions, self.by_memory)
        return None if self.is_bound and others >= cameras else False


def plan_rows(need: CameraNeed, *, own: tuple[Silicon, EngineRate] | None = None) -> list[PlanRow]:
    """A row for each GPU. own: a rate that the user measured, and on what; it takes the place of the committed ones."""
    return [_row(gpu, need, own) for gpu in GPUS]


def _row(gpu: Silicon, need: CameraNeed, own: tuple[Silicon, EngineRate] | None) -> PlanRow:
    decoder_fps = gpu.decoder.frames_per_s(need.codec, need.size_wh)
    on, rate = own or measured_for(gpu)
    engine_fps = rate.images_per_s * scaled_share(on, gpu)
    session_mib = SESSION_MIB_720P * need.megapixels
    by: dict[PlanWall, int] = {
        "decoder": _whole(DECODER_SHARE * decoder_fps / need.send_fps),
        "sessions": gpu.sessions,
        "engine": _whole(ENGINE_SHARE * engine_fps / need.infer_fps),
        "memory": _whole((gpu.memory_gib * 1024 - ENGINE_MIB) / session_mib),
    }
    wall: PlanWall = min(by, key=lambda part: by[part])
    return PlanRow(
        gpu=gpu.name,
        decoder_fps=decoder_fps,
        by_decoder=by["decoder"],
        by_sessions=by["sessions"],
        by_engine=by["engine"],
        by_memory=by["memory"],
        engine_fps=engine_fps,
        engine_source="measured" if on is gpu else "scaled",
        engine_record=rate.record,
        carries=by[wall],
        wall=wall if decoder_fps else "no decoder",
    )


def _whole(value: float) -> int:
    return math.floor(value + 1e-9)


def own_rate(path: Path) -> tuple[Silicon, EngineRate]:
    """The most pictures a second in a record of `photofinish perf sweep` or `engine`, and the GPU it was taken on.

    Raises ConfigError where it has none, or was taken without a GPU that is known here.
    """
    record = read_record(path)
    names = [str(gpu.get("name", "")) for gpu in record.environment.get("gpus") or []]
    if not names:
        raise ConfigError(f"{path} was taken on a machine without a GPU; take it on the one you plan with")
    gpu = gpu_named(names[0])
    rates = sorted(_rates(record), reverse=True)
    if not rates:
        raise ConfigError(f"{path} holds no throughput; `photofinish perf sweep --batch 1,8` measures it")
    images_per_s, what = rates[0]
    return gpu, EngineRate(images_per_s=images_per_s, what=what, record=path.name)


def _rates(record: Record) -> Iterable[tuple[float, str]]:
    """Pictures a second of every arm that was asked in a closed loop on a GPU."""
    for section in record.sections:
        if section.load.mode not in ("closed", "loop"):
            continue
        for arm in section.arms:
            blocks = section.blocks_of(arm.key)
            done = [block.samples.frames_per_s for block in blocks]
            if done and arm.device != "cpu":
                yield sum(done) / len(done), f"{arm.model}, batch {arm.batch_size}, {arm.concurrency} in flight"
