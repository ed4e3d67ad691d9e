"""Mixed load with a fault a minute: does anything grow, and how long until everything works again?

    python -m experiments.faults.soak --minutes 30 --out .photofinish/soak_faults.json

`photofinish serve`, `photofinish ui` and two `photofinish detect` run as users start them, beside clients that
reconnect over every transport and a probe that asks each model ten times a second. Memory, descriptors and threads of
every process are read every few seconds and judged by their slope. Prints a summary; exit 1 when something grew, did
not recover before the next fault, or answered wrong.

Backs: docs/reliability.md, "All eight lives that lasted long enough to be judged were flat"
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.faults.injecting import STEADY, Fault, RestartedCamera, faults
from experiments.faults.load import (
    Channel,
    Kept,
    photofinish,
    probe_until,
    recovery_from_pauses,
    watch_stream,
    watch_view,
)
from experiments.faults.watching import Watch, judge
from experiments.soak import SoakTally, send_until
from photofinish.client.triton.served import TritonClient
from photofinish.errors import PhotofinishError, ServerError

SUFFIXES = ("torch_fp32_tensor", "onnx_fp32")
READ_EVERY_S = 3.0
PAUSE_S = 0.2
LINES_KEPT = 40


def export(folder: Path, input_size: int) -> tuple[Path, Path]:
    """The demo detector, small; the folder of its staged variants, and the repository."""
    staging, repository = folder / "staging", folder / "model_repository"
    words = ["export", "--input-size", str(input_size), "--no-gate", "--staging", str(staging), "--device", "cpu"]
    words += ["--repository", str(repository), *(part for name in SUFFIXES for part in ("--variant", name))]
    subprocess.run(photofinish(*words), check=True, stdout=subprocess.DEVNULL)
    (model,) = {path.parent.parent for path in staging.glob("*/*/config.pbtxt")}
    return model, repository


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]


class Soak:
    """Everything that runs, by name."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.channels = {name: Channel(name) for name in ("probe", "baseline", "optimised")}
        self.channels |= {name: Channel(name) for name in ("detect steady", "detect rtsp")}
        self.kept: dict[str, Kept] = {}
        self.viewed: dict[str, int] = {}
        self.tally = SoakTally()
        self.watch = Watch()
        self.stop = threading.Event()
        self.struck: list[dict[str, Any]] = []
        self.begun = time.monotonic()

    def run(self) -> None:
        """Load and faults for the minutes asked for."""
        staged, repository = export(self.folder, self.options.input_size)
        grpc, http, metrics, page = free_ports(4)
        self.url = f"127.0.0.1:{grpc}"
        camera = RestartedCamera(self.options.rtsp_python)
        steady = RestartedCamera(self.options.rtsp_python, (STEADY,))
        with contextlib.ExitStack() as stack:
            for each in (camera, steady):
                each.start()
                stack.callback(each.kill)
            ports = {"--grpc-port": grpc, "--http-port": http, "--metrics-port": metrics, "--repository": repository}
            serve = stack.enter_context(
                self._keep("serve", ["serve", *(str(x) for pair in ports.items() for x in pair)])
            )
            names = self._served_names()
            view_words = ["ui", "--url", self.url, "--port", str(page), "--pace", "camera"]
            view = stack.enter_context(self._keep("view", [*view_words, "--source", "synthetic?width=640&height=360"]))
            sources = {"detect steady": f"rtsp://127.0.0.1:{steady.port}/cam",
                       "detect rtsp": f"rtsp://127.0.0.1:{camera.port}/cam"}  # fmt: skip
            detectors = {name: stack.enter_context(self._detect(name, source)) for name, source in sources.items()}
            stack.enter_context(self._threads(names, f"http://127.0.0.1:{page}"))
            self.begun = time.monotonic()
            self._wait_for_all()
            kinds = faults(serve, view, self.viewed, detectors, camera, (staged, repository), random.Random(12))
            self._strike(kinds)

    def _keep(self, name: str, words: list[str]) -> Kept:
        self.kept[name] = Kept(name, photofinish(*words), self.folder / f"{name.replace(' ', '_')}.log")
        return self.kept[name]

    def _detect(self, name: str, source: str) -> Kept:
        channel = self.channels[name]
        words = photofinish("detect", source, "--url", self.url, "--variant", SUFFIXES[1], "--json")
        log = self.folder / f"{name.replace(' ', '_')}.log"
        self.kept[name] = Kept(name, words, log, lambda line: channel.work())
        return self.kept[name]

    def _served_names(self) -> list[str]:
        until = time.monotonic() + 180
        while time.monotonic() < until:
            with contextlib.suppress(PhotofinishError), TritonClient(self.url, timeout_s=5) as client:
                if len(models := client.models()) == len(SUFFIXES):
                    self.models = models
                    return [model.name for model in models]
            time.sleep(0.5)
        raise ServerError(f"photofinish serve was not ready within 180 s; see {self.folder / 'serve.log'}")

    @contextlib.contextmanager
    def _threads(self, names: list[str], page_url: str) -> Iterator[None]:
        sides = {side: self.channels[side] for side in ("baseline", "optimised")}
        probed = next(name for name in names if name.endswith(SUFFIXES[1]))
        work: list[tuple[Any, tuple[Any, ...]]] = [
            (probe_until, (self.stop, self.url, probed, self.channels["probe"])),
            (watch_view, (self.stop, page_url, sides, self.viewed)),
            (watch_stream, (self.stop, page_url)),
            (self._read, ()),
        ]
        for index in range(self.options.clients):
            work.append((send_until, (self.stop, self.url, self.models[index % 2], index, 5.0, self.tally, PAUSE_S)))
        running = [threading.Thread(target=target, args=words, daemon=True) for target, words in work]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in running:
                thread.join(30.0)

    def _wait_for_all(self) -> None:
        until = time.monotonic() + 180
        while idle := [name for name, channel in self.channels.items() if not channel.worked_at]:
            if time.monotonic() > until:
                raise ServerError(f"{', '.join(idle)} did not begin within 180 s; see the logs in {self.folder}")
            time.sleep(0.5)

    def _read(self) -> None:
        while not self.stop.wait(READ_EVERY_S):
            roots = {name: kept.pid for name, kept in self.kept.items() if kept.pid}
            names = {pid: side for side, pid in self.viewed.items()}
            second = time.monotonic() - self.begun
            self.watch.read(second, roots, names)
            self.watch.read(second, {"the clients": os.getpid()}, {}, with_children=False)

    def _strike(self, kinds: tuple[Fault, ...]) -> None:
        every_s = self.options.fault_every
        time.sleep(min(every_s / 2, 30.0))
        count = int(self.options.minutes * 60 // every_s)
        kinds = tuple(kind for kind in kinds if not self.options.only or kind.name in self.options.only)
        for number in range(count):
            fault, began = kinds[number % len(kinds)], time.monotonic()
            missed = fault.strike()
            struck_s = time.monotonic() - began
            time.sleep(max(0.0, began + every_s - time.monotonic()))
            until = time.monotonic()
            pauses = {name: self.channels[name].pauses_s(began, until) for name in fault.channels}
            recovered = {name: recovery_from_pauses(found, struck_s, until - began) for name, found in pauses.items()}
            second = round(began - self.begun, 1)
            self.struck.append(
                {"second": second, "fault": fault.name, "missed": missed, "recovery_s": recovered, "pauses_s": pauses}
            )
            sys.stderr.write(f"{second:7.1f} s  {fault.name}: {recovered} {missed}\n")

    def document(self) -> dict[str, Any]:
        """What was found. Recovery is None where the next fault came first."""
        minutes = self.options.minutes
        judged = [
            found
            for life in self.watch.lives()
            if (found := judge(life, warm_up_s=minutes * 60 / 15, least_s=minutes * 60 / 6)) is not None
        ]
        return {
            "minutes": minutes,
            "input_size": self.options.input_size,
            "clients": self.options.clients,
            "images": dict(self.tally.images),
            "sessions": self.tally.sessions,
            "worked": {name: len(channel.worked_at) for name, channel in self.channels.items()},
            "errors": {name: dict(channel.errors.most_common(8)) for name, channel in self.channels.items()},
            "session_errors": sorted({text.split(";")[0][:160] for text in self.tally.errors})[:LINES_KEPT],
            "starts": {name: kept.starts for name, kept in self.kept.items()},
            "exits": {
                name: {str(code): count for code, count in kept.exits.items()} for name, kept in self.kept.items()
            },
            "faults": self.struck,
            "recovery_s": self._by_fault(),
            "processes": judged,
            "grew": [f"{found['role']}: {', '.join(found['grew'])}" for found in judged if found["grew"]],
            "not_recovered": [item["fault"] for item in self.struck if None in item["recovery_s"].values()],
            "missed": [item["fault"] for item in self.struck if item["missed"]],
        }

    def _by_fault(self) -> dict[str, dict[str, list[float | None]]]:
        found: dict[str, dict[str, list[float | None]]] = {}
        for item in self.struck:
            for name, recovery in item["recovery_s"].items():
                found.setdefault(item["fault"], {}).setdefault(name, []).append(recovery)
        return found


def main() -> int:
    """Run; write the document, print what matters of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--fault-every", type=float, default=60.0, help="seconds")
    parser.add_argument("--only", action="append", default=[], help="this kind of fault, by name; may be repeated")
    parser.add_argument("--clients", type=int, default=2, help="that reconnect over every transport")
    parser.add_argument("--input-size", type=int, default=96)
    parser.add_argument("--rtsp-python", default="/usr/bin/python3", help="one that has GStreamer's RTSP server")
    parser.add_argument("--out", type=Path, default=Path(".photofinish/soak_faults.json"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="photofinish-soak-"))
    soak = Soak(options, folder)
    try:
        soak.run()
    finally:
        document = soak.document()
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        sys.stderr.write(f"wrote {options.out}; logs in {folder}\n")
    for key in ("recovery_s", "worked", "starts", "exits", "grew", "not_recovered", "missed"):
        sys.stdout.write(f"{key}: {json.dumps(document[key])}\n")
    failed = bool(document["grew"] or document["not_recovered"] or document["missed"])
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
