"""Signals at random moments of every command: how long until it has ended, and what it left.

    python -m experiments.faults.signals --times 10 --out .photofinish/signals.json

Each trial starts a command in a folder with a temporary folder of its own, waits a random part of the time that the
command takes undisturbed, and sends SIGINT, SIGTERM or SIGHUP. Afterwards no process of it may live, the temporary
folder and the shared memory must be empty, and the repository must hold whole variants only. Exit 1 when not.

Backs: docs/reliability.md, "signals at random moments"
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from photofinish.server.triton.supervisor import SHARED_MEMORY

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_S = 60.0
SMALL = ("--input-size", "96", "--variant", "onnx_fp32", "--variant", "torch_fp32_tensor", "--device", "cpu")
ANY_PORTS = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "export": ("export", *SMALL, "--no-gate"),
    "publish": ("export", *SMALL, "--no-gate"),
    "serve": ("serve", *ANY_PORTS),
    "demo": ("demo", "--headless", "--seconds", "2", "--optimised", "onnx_fp32", "--device", "cpu"),
    "perf": (
        "perf",
        "comparison",
        "--optimised",
        "onnx_fp32",
        "--rounds",
        "200",
        "--seconds",
        "0.3",
        "--out",
        "c.json",
    ),
}
"""By name. publish: the export again, whose artifacts are fresh, so that it does little but publish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One signal to one command. exit_code is None when it had to be killed; left: what should not be there."""

    command: str
    signal: str
    after_s: float
    ended_in_s: float
    exit_code: int | None
    left: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """It ended by the signal, or was done before it, and left nothing."""
        number = signal.Signals[self.signal].value
        return not self.left and self.exit_code in (0, 128 + number)


def tried(
    name: str, folder: Path, number: signal.Signals, after_s: float, begun: Callable[[], bool] = lambda: True
) -> Trial:
    """Run a command in `folder`, signal it so long after it has `begun`, and look at what is left."""
    scratch = folder / "tmp"
    scratch.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "photofinish.cli", *COMMANDS[name]],
        cwd=folder, env={**os.environ, "TMPDIR": str(scratch)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=_listen,
    )  # fmt: skip
    try:
        _wait_until_it_listens(process.pid)
        until = time.monotonic() + END_S
        while not begun() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(after_s)
        below = _below(process.pid)
        process.send_signal(number)
        sent = time.monotonic()
        try:
            _, said = process.communicate(timeout=END_S)
            code = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
            code = None
        ended_in_s = time.monotonic() - sent
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(below, timeout=15)
    left = [f"process {item.pid}" for item in alive if item.status() != psutil.STATUS_ZOMBIE]
    left += [f"temporary {path.name}" for path in scratch.iterdir() if path.name.startswith("photofinish")]
    left += [f"shared memory {path.name}" for path in SHARED_MEMORY.glob(f"photofinish_*{process.pid}_*")]
    left += [f"half {name}" for name in half_variants(folder / "model_repository")]
    left += ["a traceback"] if "Traceback" in said else []
    return Trial(command=name, signal=number.name, after_s=round(after_s, 2), ended_in_s=round(ended_in_s, 2),
                 exit_code=code, left=tuple(left))  # fmt: skip


def half_variants(repository: Path) -> list[str]:
    """What lies in a repository and is no whole variant."""
    if not repository.is_dir():
        return []
    return [
        path.name
        for path in repository.iterdir()
        if path.name.startswith(".") or not (path / "config.pbtxt").is_file() or not any((path / "1").glob("model.*"))
    ]


def _listen() -> None:
    """Undo what a shell does to commands in the background: Ctrl-C and SIGHUP are ignored there."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait_until_it_listens(pid: int) -> None:
    """Until the command's own handlers are there: an interpreter that only begins ends as any program does."""
    until = time.monotonic() + END_S
    while time.monotonic() < until:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        caught = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt")), 0)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.02)


def _below(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def main() -> int:
    """Time each command undisturbed, then disturb it `--times` times with each signal in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="a command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--longest", type=float, default=20.0, help="seconds after which the signal comes at the latest"
    )
    parser.add_argument("--command", action="append", choices=sorted(COMMANDS), default=[])
    parser.add_argument("--out", type=Path, default=Path(".photofinish/signals.json"))
    options = parser.parse_args()
    generator = random.Random(options.seed)
    trials = []
    with tempfile.TemporaryDirectory(prefix="signals-") as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "photofinish.cli", *COMMANDS["publish"]], cwd=folder, check=True)
        for command in options.command or COMMANDS:
            for number in range(options.times):
                if command == "export":  # its artifacts are to be made again
                    subprocess.run(["rm", "-rf", str(folder / ".photofinish" / "staging")], check=True)
                after_s = generator.uniform(0.3, options.longest)
                trial = tried(command, folder, SIGNALS[number % len(SIGNALS)], after_s)
                trials.append(trial)
                sys.stderr.write(f"{trial}\n")
    document = {
        "trials": [asdict(trial) for trial in trials],
        "clean": sum(trial.is_clean for trial in trials),
        "longest_s": {name: max((t.ended_in_s for t in trials if t.command == name), default=0) for name in COMMANDS},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{document['clean']} of {len(trials)} clean; longest {document['longest_s']}\n")
    return int(document["clean"] != len(trials))


if __name__ == "__main__":
    sys.exit(main())
