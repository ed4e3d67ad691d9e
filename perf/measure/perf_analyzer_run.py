"""One run of perf_analyzer: real frames in, raw request times out."""

from __future__ import annotations

import base64
import csv
import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.access.hidden_words import command_hiding
from photofinish.access.token import access_to
from photofinish.machine.scratch import scratch_folder
from photofinish.machine.started_program import StartedProgram
from photofinish.percentiles import missing_samples
from photofinish.perf.measure.perf_analyzer_program import PerfAnalyzer, PerfAnalyzerError
from photofinish.perf.record.changes import NotRun
from photofinish.perf.record.samples import Samples

_STOP_TIMEOUT_S = 10.0
_HEADER_VARIABLE = "PHOTOFINISH_PERF_HEADER"


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfAnalyzerResult:
    """samples: every request after the warm-up. figures: perf_analyzer's own CSV row, by column name."""

    samples: Samples
    figures: dict[str, float]


def write_input_data(path: Path, input_name: str, inputs: Sequence[npt.NDArray[Any]]) -> None:
    """perf_analyzer's --input-data file: one step per picture (without the batch dimension), sent in turn."""
    steps = [
        {
            input_name: {
                "b64": base64.b64encode(np.ascontiguousarray(item).tobytes()).decode(),
                "shape": list(item.shape),
            }
        }
        for item in inputs
    ]
    path.write_text(json.dumps({"data": steps}))


def run_perf_analyzer(
    program: PerfAnalyzer,
    *,
    model: str,
    url: str,
    input_data: Path,
    concurrency: int,
    requests: int,
    warm_up: int,
    shared_memory: bool,
    batch_size: int = 1,
    timeout_s: float = 120.0,
) -> PerfAnalyzerResult:
    """Send `warm_up + requests` requests and keep the last `requests`. Raises PerfAnalyzerError.

    perf_analyzer warms nothing up by itself, and its own percentiles include the first requests, so both are computed
    here from its request times. These exist with shared memory only: without it perf_analyzer writes every picture
    into its profile, and there the figures of its CSV are all there is.
    """
    with scratch_folder() as folder:
        csv_path, profile_path = folder / "summary.csv", folder / "profile.json"
        command = [str(program.path), "-m", model, "-u", url, "-i", "grpc", "-b", str(batch_size)]
        command += ["--input-data", str(input_data), "--concurrency-range", str(concurrency)]
        command += ["--request-count", str(warm_up + requests), "-f", str(csv_path)]
        headers = access_to(url).grpc_headers or {}
        command += [word for _ in headers for word in ("-H", f"${_HEADER_VARIABLE}")]
        if shared_memory:
            command += ["--shared-memory", "system", "--output-shared-memory-size", "16777216"]
            command += ["--profile-export-file", str(profile_path)]
        _run(program, command, timeout_s, [f"{name}:{value}" for name, value in headers.items()])
        summary = csv_path.read_text() if csv_path.is_file() else ""
        figures = figures_from_csv(summary) if summary.strip() else {}
        if shared_memory:
            profile = profile_path.read_text() if profile_path.is_file() else ""
            samples = samples_from_profile(profile, skip=warm_up, batch_size=batch_size)
        else:
            samples = Samples(scheduled_ns=(), sent_ns=(), done_ns=(), window_ns=0)
            figures = carried_figures(figures, warm_up + requests)
    return PerfAnalyzerResult(samples=samples, figures=figures)


def samples_from_profile(text: str, *, skip: int, batch_size: int = 1) -> Samples:
    """Samples from --profile-export-file, without the first `skip` requests. Latency runs from the actual send.

    perf_analyzer was seen to end with exit code 0 and no profile, an empty one, or one without requests.
    """
    if not text.strip():
        raise PerfAnalyzerError(NotRun(key="empty"))
    try:
        requests = [item for experiment in json.loads(text)["experiments"] for item in experiment["requests"]]
        times = sorted((int(item["timestamp"]), [int(done) for done in item["response_timestamps"]])
                       for item in requests)  # fmt: skip
    except (ValueError, KeyError, TypeError) as exc:
        raise PerfAnalyzerError(NotRun(key="profile", values={"said": str(exc)})) from exc
    if not times:
        raise PerfAnalyzerError(NotRun(key="empty"))
    kept = times[skip:]
    failed = tuple(index for index, (_, answers) in enumerate(kept) if not answers)
    if len(failed) == len(kept):
        answered = sum(bool(answers) for _, answers in times)
        raise PerfAnalyzerError(NotRun(key="answers", values={"count": answered, "least": skip}))
    begin_ns = kept[0][0]
    sent_ns = tuple(sent - begin_ns for sent, _ in kept)
    done_ns = tuple((answers[-1] if answers else sent) - begin_ns for sent, answers in kept)
    return Samples(
        scheduled_ns=sent_ns,
        sent_ns=sent_ns,
        done_ns=done_ns,
        window_ns=max(done_ns),
        failed=failed,
        error_counts={"without an answer": len(failed)} if failed else {},
        frames_per_request=batch_size,
    )


def figures_from_csv(text: str) -> dict[str, float]:
    """The one row of perf_analyzer's -f file as numbers."""
    rows = list(csv.DictReader(text.splitlines()))
    if len(rows) != 1:
        raise PerfAnalyzerError(NotRun(key="rows", values={"count": len(rows)}))
    figures = {}
    for key, value in rows[0].items():
        try:
            figures[key] = float(value)
        except (TypeError, ValueError):
            continue
    return figures


def carried_figures(figures: dict[str, float], requests: int) -> dict[str, float]:
    """Without the percentiles that so many requests cannot carry: perf_analyzer prints a P99 of twenty."""
    shares = {"p90 latency": 0.90, "p95 latency": 0.95, "p99 latency": 0.99}
    return {key: value for key, value in figures.items() if not missing_samples(requests, shares.get(key, 0.5))}


def _run(program: PerfAnalyzer, command: list[str], timeout_s: float, headers: Sequence[str] = ()) -> None:
    """headers: the secret one that the command's variable stands for; its command line does not show it."""
    environment = program.full_environment()
    if headers:
        environment, command = {**environment, _HEADER_VARIABLE: headers[0]}, command_hiding(command)
    try:
        process = StartedProgram(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as exc:
        raise PerfAnalyzerError(
            f"{program.path} cannot be run: {exc}; put a perf_analyzer of your own on PATH"
        ) from exc
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except BaseException as exc:
        _stop(process)
        if not isinstance(exc, subprocess.TimeoutExpired):
            raise
        raise PerfAnalyzerError(NotRun(key="timeout", values={"seconds": f"{timeout_s:g}"})) from exc
    if process.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        complaint = next((line for line in lines if "error" in line.lower() or "fail" in line.lower()), "")
        said = complaint or (lines[-1] if lines else "no output")
        raise PerfAnalyzerError(NotRun(key="exited", values={"code": process.returncode, "said": said}))


def _stop(process: StartedProgram[str]) -> None:
    """Interrupt it, so that it gives its shared memory back; end it when it does not listen."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
