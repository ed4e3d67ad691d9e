"""`photofinish perf cameras`: the server, one step for each number of cameras, the check lists, the record."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from photofinish.client.cameras.streams.clip import BIT_RATE, keyframe_every, size_from_text
from photofinish.client.cameras.streams.process import DIFFERENT_CLIPS
from photofinish.client.cameras.supervise.gpus import DecodePlan, decode_plan
from photofinish.client.cameras.values.camera import DecodeChoice
from photofinish.client.choosing.networks import VARIANT_FLAG
from photofinish.client.pipeline.opening import choose_model
from photofinish.client.triton.served import TritonClient
from photofinish.errors import ConfigError, VerdictError
from photofinish.flows import tell
from photofinish.flows.bench import cards_in, repeat_command, server_version
from photofinish.flows.camera.servers import address_of, named_servers, own_servers
from photofinish.machine.addresses import is_loopback
from photofinish.machine.gpu import bytes_in_use, count_as_nvidia_smi, driver_numbers, opened_nvml
from photofinish.model_card import ModelCard
from photofinish.perf.cameras.checks import DEFAULT_LIMITS, MIN_GPU_DECODE
from photofinish.perf.cameras.lists import faults_of, head_line, lines_from_step
from photofinish.perf.cameras.measuring import StepPlan, measure_step
from photofinish.perf.record.cameras import CamerasRecord, write_cameras_record
from photofinish.perf.record.environment import environment_fingerprint, utc_now
from photofinish.perf.record.record import require_writable

STREAM_CODECS = ("h264", "hevc")


def measure_cameras(
    *,
    counts: tuple[int, ...],
    seconds: float,
    urls: tuple[str, ...],
    http_urls: tuple[str, ...],
    gpus: str,
    variant: str,
    repository: Path,
    source: str,
    stream_fps: float,
    stream_size: str,
    codec: str,
    frames_per_s: float,
    decode: DecodeChoice,
    limits: dict[str, float],
    out: Path,
) -> None:
    """One check list for each number of cameras on stdout. Raises VerdictError when a line is missed."""
    size_wh = required_stream(stream_size, codec, stream_fps, frames_per_s)
    require_writable(out)
    if not counts:
        raise ConfigError("--streams needs a number of cameras, such as 1,10,30")
    decoding = planned_decoding(gpus, decode)
    with (
        opened_nvml() as nvml,
        served_for_cameras(urls, http_urls, variant, repository, decoding, nvml) as (at, card, server),
    ):
        plan = replace(
            at,
            seconds=seconds,
            wanted_fps=frames_per_s,
            stream_fps=stream_fps,
            size_wh=size_wh,
            source=source,
            codec=codec,
        )
        record = CamerasRecord(
            command=repeat_command(),
            created_utc=utc_now(),
            environment=environment_fingerprint(nvml, server=server),
            variant=plan.variant,
            stream=stream_facts(size_wh, stream_fps, codec, source),
            wanted_fps=frames_per_s,
            limits={**DEFAULT_LIMITS, **({MIN_GPU_DECODE: 100.0} if decode == "gpu" else {}), **limits},
            accuracy=dict(card.accuracy),
            gpus=gpus_of(at),
            decode=decode,
        )
        click.echo(head_line(record))
        for place, count in enumerate(counts, 1):
            tell(f"step {place} of {len(counts)}: {count} cameras, {seconds:g} s after the warm-up")
            step = asyncio.run(measure_step(count, plan, tell))
            record = record.with_step(step)
            write_cameras_record(record, out)
            for line in lines_from_step(step, record):
                click.echo(line)
    write_cameras_record(replace(record, is_complete=True), out)
    click.echo(f"\n{out}")
    if faults := faults_of(record):
        raise VerdictError(f"not everything holds: {'; '.join(faults)}")


def required_stream(stream_size: str, codec: str, stream_fps: float, frames_per_s: float) -> tuple[int, int]:
    """The streams' width and height. Raises ConfigError for those that cannot be made, or send less than is wanted."""
    size_wh = size_from_text(stream_size)
    if codec not in STREAM_CODECS:
        raise ConfigError(f"test streams are of {' or '.join(STREAM_CODECS)}; {codec} is for --plan")
    if frames_per_s > stream_fps:
        raise ConfigError(f"--fps {frames_per_s:g} is more than the streams send; raise --stream-fps {stream_fps:g}")
    return size_wh


def gpus_of(plan: StepPlan) -> tuple[int, ...]:
    """The GPUs over which cameras are spread, as the driver numbers them."""
    return tuple(plan.driver_numbers.values())


def stream_facts(size_wh: tuple[int, int], frames_per_s: float, codec: str, source: str) -> dict[str, Any]:
    """What every test stream sends, for the record."""
    return {
        "size_wh": size_wh,
        "frames_per_s": frames_per_s,
        "codec": codec,
        "source": source or "synthetic",
        "bits_per_s": BIT_RATE,
        "keyframe_every_s": keyframe_every(frames_per_s) / frames_per_s,
        "clips": DIFFERENT_CLIPS,
    }


@contextlib.contextmanager
def served_for_cameras(
    urls: tuple[str, ...],
    http_urls: tuple[str, ...],
    variant: str,
    repository: Path,
    decoding: DecodePlan,
    nvml: Any | None,
) -> Iterator[tuple[StepPlan, ModelCard, dict[str, Any]]]:
    """The servers of the user, or one of our own for each GPU, with what every step needs of them."""
    tell(f"Decoding: {decoding.sentence}")
    numbers = decoding.numbers
    seen = numbers if decoding.is_rehearsed else driver_numbers(nvml, numbers, os.environ)
    plan = StepPlan(addresses=(), decoding=decoding, driver_numbers=dict(zip(numbers, seen, strict=True)))
    if named := named_servers(urls, http_urls, decoding, tell):
        with TritonClient(urls[0]) as client:
            models = {model.name: model for model in client.models()}
        cards = {name: model.card for name, model in models.items()}
        name = choose_model(cards, variant or None, where=urls[0], flag=VARIANT_FLAG, on_notice=tell)
        card = models[name].require_card()
        is_here = all(map(is_loopback, urls))
        plan = replace(plan, addresses=tuple(named), variant=name, nvml=nvml if is_here else None)
        yield plan, card, {"kind": "external", "version": server_version(urls[0])}
        return
    found, _ = cards_in(repository)
    name = choose_model(found, variant or None, where=str(repository), flag=VARIANT_FLAG, on_notice=tell)
    idle = bytes_in_use(nvml) if nvml is not None else {}
    with contextlib.ExitStack() as stack:
        made = own_servers(repository, name, found[name], decoding, tell)
        at = [stack.enter_context(server).endpoint for server in made]
        plan = replace(
            plan,
            addresses=tuple(map(address_of, made)),
            variant=name,
            server_pids=tuple(item.pid for item in at),
            nvml=nvml,
            idle_gpu_bytes=idle,
            gpus=() if decoding.is_rehearsed else tuple(seen),
        )
        yield plan, found[name], {"kind": at[0].kind, "version": at[0].version, "count": len(at)}


def planned_decoding(gpus: str, decode: DecodeChoice) -> DecodePlan:
    """What infers and decodes, with GPUs numbered as the driver does. Raises ConfigError for one that is not there."""
    count_as_nvidia_smi(os.environ)
    return decode_plan(decode, gpus)
