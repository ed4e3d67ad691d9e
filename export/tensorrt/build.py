"""One TensorRT build: network in, serialized engine out, with progress and a way to stop."""

from __future__ import annotations

import contextlib
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

from photofinish.errors import ExportError
from photofinish.export.tensorrt.library import TensorRTLibrary
from photofinish.export.tensorrt.network import EngineRefusedError, ParsedNetwork
from photofinish.export.tensorrt.progress import OnBuildStep, progress_monitor

logger = logging.getLogger(__name__)
BatchProfile = tuple[int, int, int]
"""Smallest, preferred and largest batch."""
POLL_S = 0.2


def profile_from_buckets(buckets: tuple[int, ...]) -> BatchProfile:
    """The batch profile of a variant: its smallest bucket, the largest one up to a quarter of the largest, the largest.

    (1, 2, 4, 8, 16, 32) gives 1/8/32: kernels are chosen for a batch between the single frame and the full server.
    """
    preferred = max((size for size in buckets if 4 * size <= buckets[-1]), default=buckets[0])
    return buckets[0], preferred, buckets[-1]


def build_engine(
    parsed: ParsedNetwork,
    *,
    target: str,
    profile: BatchProfile,
    tf32: bool,
    timing_cache_path: Path | None,
    trt_logger: Any,
    on_step: OnBuildStep,
    stop: threading.Event | None = None,
) -> bytes:
    """The serialized engine. Ctrl-C ends the build at TensorRT's next step and is raised again as KeyboardInterrupt.

    Raises EngineRefusedError with TensorRT's reason when it cannot build, ExportError when `stop` was set.
    """
    stop = stop or threading.Event()
    config = _config(parsed, target, profile, tf32)
    config.progress_monitor = progress_monitor(parsed.library, on_step, stop)
    cache = attach_timing_cache(config, timing_cache_path) if timing_cache_path else None
    # TensorRT runs in a thread of its own: the main thread stays in Python and hears Ctrl-C.
    with ThreadPoolExecutor(1, thread_name_prefix="tensorrt-build") as pool:
        serialized = _wait(pool.submit(parsed.builder.build_serialized_network, parsed.network, config), stop)
    library = parsed.library
    if stop.is_set():
        raise ExportError(f"the {library.name} build for {target} was stopped; nothing was written")
    if serialized is None:
        reason = trt_logger.last_error or "it gave no reason"
        raise EngineRefusedError(
            f"{library.name} {library.version} cannot build an engine for {target}: {reason}; "
            "`photofinish -vv export …` shows its whole log"
        )
    if timing_cache_path and cache is not None:
        keep_timing_cache(config, timing_cache_path)
    return bytes(serialized)


def _wait(build: Future[Any], stop: threading.Event) -> Any:
    while True:
        try:
            return build.result(timeout=POLL_S)
        except FutureTimeoutError:
            continue
        except KeyboardInterrupt:
            stop.set()
            build.exception()  # returns at TensorRT's next step
            raise


def _config(parsed: ParsedNetwork, target: str, profile: BatchProfile, tf32: bool) -> Any:
    trt = parsed.library.module
    config = parsed.builder.create_builder_config()
    if not tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    # Layer names and types stay in the engine, so that the inspector can show what was built.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if parsed.library.targets:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), 0)
    shapes = parsed.builder.create_optimization_profile()
    for index in range(parsed.network.num_inputs):
        tensor = parsed.network.get_input(index)
        dims = tuple(int(side) for side in tensor.shape)
        _check_dims(tensor.name, dims)
        shapes.set_shape(tensor.name, *((batch, *dims[1:]) for batch in profile))
    if config.add_optimization_profile(shapes) < 0:
        raise ExportError(
            f"{parsed.library.name} refuses the batch profile {'/'.join(map(str, profile))}; "
            "correct batch_buckets in variants.toml"
        )
    return config


def _check_dims(name: str, dims: tuple[int, ...]) -> None:
    if not dims or dims[0] != -1 or any(side < 1 for side in dims[1:]):
        raise ExportError(
            f"input {name!r} has the shape {list(dims)}; an engine needs a dynamic first dimension and no other: "
            "export the ONNX file with a dynamic batch and a fixed picture size"
        )


def attach_timing_cache(config: Any, path: Path) -> Any:
    """The timing cache now in use: what earlier builds measured, or an empty one."""
    try:
        kept = path.read_bytes()
    except OSError:
        kept = b""
    cache = config.create_timing_cache(kept)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        logger.warning("the timing cache %s does not fit this TensorRT and is begun again", path)
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def keep_timing_cache(config: Any, path: Path) -> None:
    """Write the cache for the next build. It only saves time, so a failure is a warning."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(bytes(config.get_timing_cache().serialize()))
        partial.replace(path)
    except OSError as exc:
        logger.warning("the timing cache %s cannot be kept: %s", path, exc)
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def timing_cache_name(library: TensorRTLibrary, target: str, gpu_name: str) -> str:
    """A file name for each library version and GPU: timings of one mean nothing on another."""
    card = "-".join(gpu_name.lower().split())
    return f"{library.name}-{library.version}-{target}-{card}.timing"
