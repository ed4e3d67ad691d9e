"""AOTInductor's packages in a bare loop: the embedded server's own engine class in a process of its own."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from photofinish.errors import ConfigError
from photofinish.machine.started_program import StartedProgram
from photofinish.model_card import ModelCard
from photofinish.perf.engine.tensorrt import config_from_card
from photofinish.perf.record.samples import Samples

LOAD_TIMEOUT_S = 600.0
"""How long loading may take: every batch size is warmed and recorded as a CUDA graph."""
_GRACE_S = 60.0
_END_TIMEOUT_S = 10.0
_WARM_UPS = 5
_SCRIPT = Path(__file__).with_name("packages_child.py")


def holds_packages(directory: Path) -> bool:
    """Whether the version directory holds compiled packages in place of a TorchScript module."""
    return any(directory.glob("model_b*.pt2"))


@contextmanager
def package_loop(
    card: ModelCard,
    directory: Path,
    batch_size: int,
    *,
    seed: int,
    backend_package: Path,
    load_timeout_s: float = LOAD_TIMEOUT_S,
) -> Iterator[Callable[[float], Samples]]:
    """A function that runs the packages in `directory` for so many seconds, warm, in their own process.

    All batch sizes are prepared, as served. backend_package: the folder of the embedded server's package.
    Raises ConfigError where the server would refuse the packages, and when the process dies: the message says of what.
    """
    config = config_from_card(card, card.batch_buckets)
    width, height = card.input_wh
    job = {
        "backend_package": str(backend_package),
        "arguments": {
            "model_config": json.dumps(config),
            "model_instance_kind": "GPU" if card.device == "cuda" else "CPU",
            "model_instance_device_id": "0",
            "model_repository": str(directory.parent),
            "model_version": directory.name,
        },
        "shape": [batch_size, height, width, 3],
        "seed": seed,
        "warm_ups": _WARM_UPS,
    }
    with tempfile.TemporaryFile() as errors:
        # -I: the script's own folder must not come before the standard library.
        command = [sys.executable, "-I", str(_SCRIPT), json.dumps(job)]
        process: StartedProgram[bytes] = StartedProgram(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )

        def ask(timeout_s: float) -> dict[str, Any]:
            if process.stdout is None or not select.select([process.stdout], [], [], timeout_s)[0]:
                raise ConfigError(f"{card.variant} was not measured: no answer from its process in {timeout_s:g} s")
            line = process.stdout.readline()
            if not line.endswith(b"\n"):
                raise ConfigError(f"{card.variant} was not measured: {_death(process, errors)}")
            answer: dict[str, Any] = json.loads(line)
            return answer

        def measure(seconds: float) -> Samples:
            if process.stdin is None:
                raise ConfigError("the process was started without pipes")
            try:
                process.stdin.write(f"{seconds}\n".encode())
                process.stdin.flush()
            except BrokenPipeError as exc:
                raise ConfigError(f"{card.variant} was not measured: {_death(process, errors)}") from exc
            done_ns = ask(seconds + _GRACE_S)["done_ns"]
            begun_ns = (0, *done_ns[:-1])
            return Samples(
                scheduled_ns=begun_ns,
                sent_ns=begun_ns,
                done_ns=tuple(done_ns),
                window_ns=done_ns[-1],
                frames_per_request=batch_size,
            )

        try:
            answer = ask(load_timeout_s)
            if "refused" in answer:
                raise ConfigError(f"the server would refuse {card.variant}: {answer['refused']}")
            yield measure
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _death(process: StartedProgram[bytes], errors: Any) -> str:
    """How the process ended, its last words, and what to do."""
    try:
        code = process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:  # it has closed its answers and does not end
        process.kill()
        code = process.wait()
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    words = next((line.strip() for line in reversed(lines) if line.strip()), "")
    said = f', saying "{words[:300]}"' if words else ""
    return f"its process {how}{said}; export it again on this machine, or leave it out with --variant"
