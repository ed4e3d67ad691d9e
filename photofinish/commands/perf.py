"""`photofinish perf`: measure, compare, report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from photofinish.errors import ConfigError

if TYPE_CHECKING:
    from perf.bench import Bench
    from perf.perf_analyzer_program import PerfAnalyzer

Command = TypeVar("Command", bound=Callable[..., Any])


def progress(line: str) -> None:
    """One line on stderr."""
    click.echo(line, err=True)


def bench_options(command: Command) -> Command:
    """The options that say what is measured."""
    for option in reversed(
        (
            click.option(
                "--url", help="A server that runs already, host:port of gRPC. Default: start the embedded one."
            ),
            click.option("--metrics-url", help="Its metrics, host:port, or `none`. Default: the host's port 8002."),
            click.option(
                "--repository",
                type=click.Path(path_type=Path),
                default=Path("model_repository"),
                show_default=True,
                help="What the embedded server serves.",
            ),
            click.option(
                "--variant", "names", multiple=True, help="Only this variant (name or suffix); may be repeated."
            ),
            click.option("--source", default="synthetic", show_default=True, help="Where the frames come from."),
            click.option(
                "--transport",
                type=click.Choice(["auto", "grpc", "system_shm", "cuda_shm"]),
                default="auto",
                show_default=True,
                help="How pictures reach the server.",
            ),
        )
    ):
        command = option(command)
    return command


@contextmanager
def open_bench(
    *,
    url: str | None,
    metrics_url: str | None,
    repository: Path,
    names: tuple[str, ...],
    source: str,
) -> Iterator[Bench]:
    """The bench on a server of our own or the given one; a server of our own is stopped afterwards."""
    from perf.bench import Bench, frames_from_source, served_models
    from perf.gpu_watch import device_bytes_in_use, load_nvml
    from perf.watch import Watcher

    nvml = load_nvml()
    frames = frames_from_source(source)
    if url is not None:
        host = url.removeprefix("grpc://").rpartition(":")[0]
        metrics = {None: f"{host}:8002", "none": ""}.get(metrics_url, metrics_url) or ""
        watcher = Watcher(metrics_url=metrics, nvml=nvml if host in ("127.0.0.1", "localhost") else None)
        yield Bench(
            url=url,
            models=served_models(url, names),
            frames=frames,
            source=source,
            server={"kind": "external", "version": "unknown"},
            watcher=watcher,
        )
        return
    from server.embedded import EmbeddedServer

    idle_bytes = device_bytes_in_use(nvml)
    with EmbeddedServer(repository, on_progress=progress) as server:
        at = server.endpoint
        yield Bench(
            url=at.grpc_url,
            models=served_models(at.grpc_url, names),
            frames=frames,
            source=source,
            server={"kind": at.kind, "version": at.version},
            watcher=Watcher(metrics_url=at.metrics_url, server_pid=at.pid, nvml=nvml, idle_gpu_bytes=idle_bytes),
        )


def find_program() -> PerfAnalyzer:
    """perf_analyzer, with the Triton wheel's libraries where it needs them."""
    from perf.perf_analyzer_program import find_perf_analyzer
    from server.triton_files import find_triton

    return find_perf_analyzer(lambda: find_triton(progress).libraries, on_progress=progress)


def repeat_command() -> str:
    """The command line that repeats this run."""
    return shlex.join(["photofinish", *sys.argv[1:]])


def whole_numbers(text: str) -> tuple[int, ...]:
    """`1,4,8` as numbers."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError as exc:
        raise ConfigError(f"expected whole numbers with commas between them, got {text!r}; try 1,4,8") from exc
    if min(values) < 1:
        raise ConfigError(f"expected numbers of at least 1, got {text!r}")
    return values


@click.group()
def perf() -> None:
    """Measure the variants, compare them, and write reports."""


@perf.command()
@bench_options
@click.option("--concurrency", default="1,4,8", show_default=True, help="Requests in flight, one row each.")
@click.option("--seconds", type=float, default=8.0, show_default=True, help="perf_analyzer's time per row, about.")
@click.option("--quick", is_flag=True, help="A quarter of the time.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/sweep.json"), show_default=True)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True)
def sweep(concurrency: str, seconds: float, quick: bool, out: Path, lang: str, transport: Any, **bench: Any) -> None:
    """perf_analyzer over every variant, with our own closed loop beside it."""
    from perf.runs import sweep_run

    program = find_program()
    with open_bench(**bench) as opened:
        text = sweep_run(
            opened,
            program,
            concurrencies=whole_numbers(concurrency),
            seconds=seconds / 4 if quick else seconds,
            transport=transport,
            command=repeat_command(),
            out=out,
            lang=lang,
            on_progress=progress,
        )
    click.echo(text)
