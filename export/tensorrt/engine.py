"""A TensorRT engine from an ONNX file: inspected before, built, inspected after, written whole with its sidecar."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from photofinish.engine_record import EngineRecord, record_path, write_record
from photofinish.errors import ExportError
from photofinish.export.tensorrt.build import build_engine, profile_from_buckets, timing_cache_name
from photofinish.export.tensorrt.inspect import check_engine_precision
from photofinish.export.tensorrt.library import TensorRTLibrary, choose_library
from photofinish.export.tensorrt.network import check_precision, network_from_onnx
from photofinish.export.tensorrt.progress import OnBuildStep, tensorrt_logger
from photofinish.export.tensorrt.targets import Gpu, gpu_at_hand
from photofinish.machine.architectures import ARCHITECTURES, has_precision, named
from photofinish.machine.disk import user_cache_dir
from photofinish.source_hash import sha256_from_file
from photofinish.variant import Variant

logger = logging.getLogger(__name__)


def _ignore_step(share: float, phase: str) -> None:
    """Shows no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """How to build: everything about an engine that its variant does not say.

    target: the GPU architecture, the GPU at hand when None. calibration_sha256: hash of the INT8 calibration.
    rebuild: the command that makes the engine again; it stands in the sidecar. timing_cache_dir: where measured
    kernel times are kept between builds.
    """

    target: str | None = None
    calibration_sha256: str = ""
    rebuild: str = "photofinish export"
    timing_cache_dir: Path = field(default_factory=lambda: user_cache_dir() / "tensorrt")
    on_progress: Callable[[str], None] = logger.info
    on_step: OnBuildStep = _ignore_step
    stop: threading.Event | None = None


def engine_from_onnx(
    onnx_path: Path, variant: Variant, destination: Path, request: EngineRequest | None = None
) -> EngineRecord:
    """Build `destination` and its sidecar from an ONNX file in the variant's precision. Returns the sidecar's record.

    Either both files are there and whole when it returns, or the folder is as it was before.
    Raises ExportError: no library for the target, an operator TensorRT refuses, too little of the graph in the asked
    precision, a build that failed or was stopped, a disk that is full.
    """
    request = request or EngineRequest()
    gpu = gpu_at_hand()
    library, target = choose_library(request.target, gpu)
    check_precision_on_target(variant.precision, target)
    built_on = gpu if gpu is not None and gpu.target == target else None
    trt_logger = tensorrt_logger(library)
    parsed = network_from_onnx(library, onnx_path, trt_logger)
    precision = parsed.precision
    request.on_progress(f"{variant.name}: {library.name} {library.version} for {target} reads {precision}")
    check_precision(precision, variant.precision, onnx_path)
    profile = profile_from_buckets(variant.batch_buckets)
    begun = time.perf_counter()
    engine = build_engine(
        parsed,
        target=target,
        profile=profile,
        tf32=variant.tf32,
        timing_cache_path=_timing_cache_path(request, library, target, built_on),
        trt_logger=trt_logger,
        on_step=request.on_step,
        stop=request.stop,
    )
    build_s = time.perf_counter() - begun
    if built_on is not None:
        request.on_progress(f"{variant.name}: {check_engine_precision(library, engine, variant.precision, trt_logger)}")
    record = EngineRecord(
        engine_sha256=hashlib.sha256(engine).hexdigest(),
        engine_bytes=len(engine),
        library=library.name,
        library_version=library.version,
        target=target,
        gpu_name=built_on.name if built_on else "",
        onnx_sha256=sha256_from_file(onnx_path),
        precision=variant.precision,
        profile=profile,
        tf32=variant.tf32,
        weight_shares={name: round(share, 4) for name, share in precision.weight_shares.items()},
        layer_outputs=precision.layer_outputs,
        calibration_sha256=request.calibration_sha256,
        build_s=round(build_s, 2),
        built_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        rebuild=request.rebuild,
    )
    _write_both(engine, record, destination)
    request.on_progress(f"{variant.name}: engine of {len(engine) / 1e6:.1f} MB built in {build_s:.1f} s")
    return record


def check_precision_on_target(precision: str, target: str) -> None:
    """Raise ExportError when the GPU architecture has no arithmetic in this precision."""
    if not has_precision(target, precision):
        begins = next(name for name, item in ARCHITECTURES.items() if precision in item.precisions)
        raise ExportError(
            f"{named(target)} has no {precision.upper()} arithmetic (it begins with {begins}); choose the fp16 variant"
        )


def _timing_cache_path(request: EngineRequest, library: TensorRTLibrary, target: str, gpu: Gpu | None) -> Path | None:
    """Where kernel times are kept; None for `tensorrt_rtx`, which measures kernels when it loads an engine."""
    if library.name == "tensorrt_rtx" or gpu is None:
        return None
    return request.timing_cache_dir / timing_cache_name(library, target, gpu.name)


def _write_both(engine: bytes, record: EngineRecord, destination: Path) -> None:
    """Engine and sidecar under other names first; both get their own only when both are whole on the disk."""
    partial = destination.with_name(f".{destination.name}.{os.getpid()}.partial")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            stream.write(engine)
            stream.flush()
            os.fsync(stream.fileno())
        write_record(record, partial)
        partial.replace(destination)
        record_path(partial).replace(record_path(destination))
    except OSError as exc:
        raise ExportError(
            f"the engine {destination} ({len(engine) / 1e6:.1f} MB) cannot be written: {exc.strerror or exc}; "
            "free some space or choose another folder. Nothing was left behind"
        ) from exc
    finally:
        partial.unlink(missing_ok=True)
        record_path(partial).unlink(missing_ok=True)
