"""Steps of a simulated machine: so many cameras are served in time, more are late and lose frames."""

from __future__ import annotations

from photofinish.perf.record.cameras import CamerasStep, CameraWindow
from photofinish.perf.record.find import FindRecord
from photofinish.perf.record.observation import GpuObservation

MS = 1_000_000


def window(
    camera: str,
    *,
    frames: int = 1000,
    dropped: int = 0,
    ms: float = 40,
    cause: str = "superseded",
    decode: str = "",
) -> CameraWindow:
    return CameraWindow(
        camera=camera,
        due=frames,
        inferred=frames - dropped,
        dropped={cause: dropped} if dropped else {},
        latencies_ns=(round(ms * MS),) * (frames - dropped),
        clock="rtcp",
        decode=decode,
    )


def machine_step(
    cameras: int, capacity: float, *, frames: int = 1000, late_ms: float = 1.0, wall: str = "NVDEC"
) -> CamerasStep:
    """Up to `capacity` cameras have a P99 of 40 ms and no drop; above, one camera loses 5 % and all are slow."""
    is_full = cameras > capacity
    rows = [window(f"test-{number:03d}", frames=frames, ms=400 if is_full else 40) for number in range(1, cameras + 1)]
    if is_full:
        rows[-1] = window(rows[-1].camera, frames=frames, dropped=frames // 20, ms=400)
    use = min(100.0, 97.0 * cameras / capacity)
    gpu = GpuObservation(index=0, name="toy", utilisation_mean=20.0, decoder_mean=use if wall == "NVDEC" else 1.0)
    return CamerasStep(
        cameras=cameras,
        window_s=frames / 5,
        warm_up_s=2.0,
        is_warm=True,
        rows=tuple(rows),
        cores={"server": 0.2, "owner": 0.1, "ingest": 0.1, "decode": 0.1, "generator": 0.2},
        memory_bytes={"server": 2**28},
        gpus=(gpu,),
        late_p99_ms=late_ms,
        late_max_ms=late_ms,
        sent=frames * cameras,
    )


def find_record(**fields: object) -> FindRecord:
    values: dict[str, object] = {
        "goal": {"p99_ms": 150.0, "max_drops": 0.01},
        "search": {"start": 4, "most": 100},
        "environment": {"cpu": "toy", "cpu_cores": 8, "gpus": [{"name": "toy"}], "memory_gib": 8.0},
        **fields,
    }
    return FindRecord(
        command="photofinish perf cameras --find",
        created_utc="2026-11-30T00:00:00Z",
        variant="toy",
        stream={"size_wh": [1280, 720], "frames_per_s": 25.0, "codec": "h264", "source": "synthetic"},
        wanted_fps=5.0,
        seconds=60.0,
        confirm_seconds=600.0,
        **values,  # type: ignore[arg-type]
    )
