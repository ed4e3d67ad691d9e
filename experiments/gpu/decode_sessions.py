"""Decoding sessions of a GPU: how many open, how long one takes to open, and how many pictures all of them decode.

Backs: docs/benchmarking-gpu.md, "how many decoders open, how long each takes, and what they decode together"

The sessions are those of the decode process, fed from memory without a
network. `--device stand-in` rehearses it on the CPU.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import click

from photofinish.client.cameras.decode.gpu.device import (
    DecodeSession,
    GpuDevice,
    GpuLane,
    SessionLimitError,
    StreamFacts,
)
from photofinish.client.cameras.decode.gpu.probing import facts_from_keyframe
from photofinish.client.cameras.decode.gpu.process import THREADS, device_from_name
from photofinish.client.cameras.rtsp.assembly import PictureAssembler
from photofinish.client.cameras.rtsp.rtp import RtpPacket
from photofinish.client.cameras.streams.clip import Clip, ClipCodec, clip_from_source, size_from_text, synthetic_spec
from photofinish.client.cameras.values.access_unit import StreamInfo
from photofinish.machine.gpu import bytes_in_use, gpu_handles, opened_nvml, told
from photofinish.machine.processes import CpuMeter


@dataclass(slots=True)
class Shared:
    """What the threads share."""

    units: list[bytes]
    facts: StreamFacts
    wanted: int
    opened: list[float] = field(default_factory=list)
    limit: str = ""
    decoded: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    open_lock: threading.Lock = field(default_factory=threading.Lock)
    measuring: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


def units_from_clip(clip: Clip) -> list[bytes]:
    """The clip's coded pictures, as ingest hands them over."""
    assembler = PictureAssembler(clip.codec, clip.parameter_sets)
    units, sequence = [], 0
    for number, picture in enumerate(clip.pictures):
        for at, payload in enumerate(picture.payloads):
            is_last = at == len(picture.payloads) - 1
            units += [
                item.data for item in assembler.push(RtpPacket(is_last, 96, sequence & 0xFFFF, number, 1, payload))
            ]
            sequence += 1
    return units


@click.command()
@click.option("--device", default="0", show_default=True, help="The GPU's number, or stand-in.")
@click.option("--sessions", default="8,64,200,400", show_default=True, help="How many, one row each.")
@click.option("--size", default="1280x720", show_default=True)
@click.option("--codec", type=click.Choice(["h264", "hevc"]), default="h264", show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--threads", default=f"8,{THREADS}", show_default=True, help="How many decode, one row each.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(device: str, sessions: str, size: str, codec: ClipCodec, seconds: float, threads: str, out: Path) -> None:
    """One row for each number of sessions."""
    size_wh = size_from_text(size)
    clip = clip_from_source(synthetic_spec(1, size_wh, 25), size_wh=size_wh, frames_per_s=25, seconds=4, codec=codec)
    units = units_from_clip(clip)
    gpu = device_from_name(device)
    rows = []
    for count, of_threads in product(_numbers(sessions), _numbers(threads)):
        rows.append(_row(gpu, units, codec, count, of_threads, seconds))
        click.echo(rows[-1])
        values = {"device": gpu.name, "size": size, "codec": codec, "seconds": seconds, "rows": rows}
        out.write_text(json.dumps(values, indent=1) + "\n")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _row(gpu: GpuDevice, units: list[bytes], codec: str, count: int, threads: int, seconds: float) -> dict[str, object]:
    facts = facts_from_keyframe(StreamInfo(codec=codec), units[0])
    shared = Shared(units=units, facts=facts, wanted=count)
    with opened_nvml() as nvml:
        before = sum(bytes_in_use(nvml).values()) if nvml is not None else 0
        workers = [threading.Thread(target=_work, args=(gpu, shared), daemon=True) for _ in range(threads)]
        for worker in workers:
            worker.start()
        while len(shared.opened) < count and not shared.limit and any(worker.is_alive() for worker in workers):
            time.sleep(0.05)
        memory = sum(bytes_in_use(nvml).values()) - before if nvml is not None else 0
        meter = CpuMeter(time.process_time)
        shared.measuring.set()
        began = time.perf_counter()
        time.sleep(seconds)
        clocks_mhz = [_video_clock_mhz(nvml, handle) for handle in gpu_handles(nvml)]
        decoded, elapsed, cores = shared.decoded, time.perf_counter() - began, meter.cores()
        shared.over.set()
        for worker in workers:
            worker.join(30)
    return {
        "asked": count,
        "threads": threads,
        "open": len(shared.opened),
        "limit": shared.limit,
        "open_ms_p50": round(sorted(shared.opened)[len(shared.opened) // 2] * 1e3, 1) if shared.opened else None,
        "open_ms_max": round(max(shared.opened) * 1e3, 1) if shared.opened else None,
        "frames_per_s": round(decoded / elapsed),
        "cpu_cores": round(cores, 2),
        "gpu_mib": memory >> 20,
        "video_clocks_mhz": clocks_mhz,
    }


def _video_clock_mhz(nvml: Any, handle: Any) -> int | None:
    """Of the decoders: with nothing else on a GPU they may run at a fraction of their rate."""
    return told(nvml, lambda: int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_VIDEO)))


def _work(gpu: GpuDevice, shared: Shared) -> None:
    lane = gpu.lane()
    sessions: list[DecodeSession] = []
    while not shared.limit:
        with shared.open_lock:
            if len(shared.opened) >= shared.wanted or shared.limit:
                break
            _open(lane, sessions, shared)
    shared.measuring.wait()
    places = [0] * len(sessions)
    while not shared.over.is_set() and sessions:
        for number, session in enumerate(sessions):
            places[number] = (places[number] + 1) % len(shared.units)
            surfaces = session.decode(shared.units[places[number]], 1)
            with shared.lock:
                shared.decoded += len(surfaces)
    for session in sessions:
        session.close()


def _open(lane: GpuLane, sessions: list[DecodeSession], shared: Shared) -> None:
    began = time.perf_counter()
    session = None
    try:
        session = lane.open_session(shared.facts)
        session.decode(shared.units[0], 0)
    except SessionLimitError as exc:
        shared.limit = str(exc)
        if session is not None:
            session.close()
        return
    shared.opened.append(time.perf_counter() - began)
    sessions.append(session)


if __name__ == "__main__":
    main()
