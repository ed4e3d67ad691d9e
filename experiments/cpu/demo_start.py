"""How soon does `photofinish demo` show its first picture with results of both sides, with and without models?

    python -m experiments.cpu.demo_start --out .photofinish/demo_start.json

The first start finds nothing but the installed packages: no exported model, no compiled bridge, no bytecode, and only
the wheels of the user's cache. The second finds what the first left. Each is ended by SIGINT and must leave nothing.
Beside the seconds on the clock the record holds processor seconds of the demo and all it started, which a busy machine
moves less, by stage and at the first picture. Exit 1 when a start failed or was late, or left something.

Backs: docs/reliability.md, "The first picture comes"
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from photofinish.machine.disk import CACHE_VARIABLE, user_cache_dir
from photofinish.machine.processor import cpu_name, load_average, usable_cores
from photofinish.server.triton.supervisor import SHARED_MEMORY

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_VERSION = 1
LIMITS_S = {"first": 100.0, "second": 15.0}
"""Issue 17: until the first picture, on two cores that nobody else uses."""
GIVE_UP_S = 600.0
END_S = 60.0
LOOK_S = 0.05
_BAR = re.compile(r"\d+%\|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What was reached, with the seconds since the start: on the clock, and of processors."""

    what: str
    wall_s: float
    cpu_s: float


@dataclass(slots=True, kw_only=True)
class Start:
    """One start of the demo. moments: in order; picture: the first with results of both sides; left: what stayed."""

    name: str
    load_before: float
    moments: list[Moment] = field(default_factory=list)
    picture: Moment | None = None
    page: Moment | None = None
    cpu_s_by_program: dict[str, float] = field(default_factory=dict)
    exit_code: int | None = None
    ended_in_s: float = 0.0
    left: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Why this start is not as promised."""
        limit_s = LIMITS_S[self.name]
        late = [] if self.picture and self.picture.wall_s <= limit_s else [f"no picture within {limit_s:g} s"]
        code = [] if self.exit_code == 0 else [f"it ended with {self.exit_code}"]
        return [*late, *code, *self.left]


class Demo:
    """A demo that runs, and what it used of the processors."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.folder = folder
        self.scratch = folder / "tmp"
        self.scratch.mkdir(exist_ok=True)
        self.port = _free_port()
        self.used: dict[int, tuple[str, float]] = {}
        self.begun_s = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "photofinish.cli", "demo", "--port", str(self.port), *arguments],
            cwd=folder, env=environment(folder), start_new_session=True, preexec_fn=_listen,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def moment(self, what: str) -> Moment:
        """Now."""
        wall_s = time.perf_counter() - self.begun_s
        return Moment(what=what, wall_s=round(wall_s, 2), cpu_s=round(self.cpu_s(), 2))

    def cpu_s(self) -> float:
        """Processor seconds so far of all that it started, each process's as of the last look at it."""
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.process.pid)
            for item in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    times = item.cpu_times()
                    self.used[item.pid] = (program_of(item), times.user + times.system)
        return sum(seconds for _, seconds in self.used.values())

    def cpu_s_by_program(self) -> dict[str, float]:
        """The same, by what the processes do."""
        sums: dict[str, float] = {}
        for program, seconds in self.used.values():
            sums[program] = sums.get(program, 0.0) + seconds
        return {program: round(seconds, 2) for program, seconds in sorted(sums.items(), key=lambda pair: -pair[1])}

    def json_at(self, path: str) -> dict[str, Any] | None:
        """What the page answers there; None where it answers nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5.0) as answer:
                found: dict[str, Any] = json.load(answer)
        except (OSError, ValueError, http.client.HTTPException):
            return None
        return found

    def has_picture(self) -> bool:
        """Whether the stream gives a picture now."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/view/stream.mjpg", timeout=5.0) as stream:
                return b"\xff\xd8" in stream.read(1024)
        except (OSError, http.client.HTTPException):
            return False


def program_of(process: psutil.Process) -> str:
    """What a process does, in a word."""
    words = process.cmdline()
    text = " ".join(words)
    if "spare____" in text:
        return "spare"
    if "lane/process.py" in text or "python_backend_stub" in text:
        return f"model {words[-1]}" if "lane" in text else "model"
    named = {"tritonserver": "tritonserver", "supervisor.py": "supervisor", "photofinish.cli": "demo"}
    if found := next((word for key, word in named.items() if key in text), ""):
        return found
    return "sides and source" if "multiprocessing" in text else process.name()


def environment(folder: Path) -> dict[str, str]:
    """As after an installation that never ran: bytecode and cache lie in `folder`, the wheels are at hand."""
    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (cache / "wheels").symlink_to(user_cache_dir() / "wheels")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **kept,
        CACHE_VARIABLE: str(cache),
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        "TMPDIR": str(folder / "tmp"),
    }


def start(name: str, folder: Path, arguments: list[str]) -> Start:
    """Start it, wait for the picture, end it, and look at what is left."""
    found = Start(name=name, load_before=load_average())
    demo = Demo(folder, arguments)
    try:
        reader = threading.Thread(target=_read_lines, args=(demo, demo.process.stderr, found.moments), daemon=True)
        reader.start()
        _watch(demo, found)
        found.cpu_s_by_program = demo.cpu_s_by_program()
        below = _below(demo.process.pid)
        sent_s = time.perf_counter()
        demo.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            found.exit_code = demo.process.wait(END_S)
        found.ended_in_s = round(time.perf_counter() - sent_s, 2)
    finally:
        demo.process.kill()
        demo.process.wait()
    reader.join(END_S)
    _, alive = psutil.wait_procs(below, timeout=15)
    found.left = [f"process {item.pid}" for item in alive if item.is_running()]
    found.left += [f"temporary {path.name}" for path in demo.scratch.iterdir() if path.name.startswith("photofinish")]
    found.left += [f"shared memory {path.name}" for path in SHARED_MEMORY.glob(f"photofinish_*{demo.process.pid}_*")]
    found.left += ["a traceback"] if any("Traceback" in moment.what for moment in found.moments) else []
    return found


def _watch(demo: Demo, found: Start) -> None:
    """Until there is a picture with results of both sides, the demo has ended, or nobody would wait longer."""
    until_s = demo.begun_s + GIVE_UP_S
    is_live = False
    while demo.process.poll() is None and time.perf_counter() < until_s:
        demo.cpu_s()
        if not found.page:
            if demo.json_at("/view/progress") is not None:
                found.page = demo.moment("the page answers")
                found.moments.append(found.page)
        elif state := demo.json_at("/view/state"):
            if not is_live:
                is_live = True
                found.moments.append(demo.moment("the view is there"))
            if all(side["numbers"]["frames_done"] for side in state["sides"].values()) and demo.has_picture():
                found.picture = demo.moment("a picture with results of both sides")
                found.moments.append(found.picture)
                return
        time.sleep(LOOK_S)


def _read_lines(demo: Demo, lines: IO[str] | None, moments: list[Moment]) -> None:
    for line in lines or ():
        if line.strip() and not _BAR.search(line):
            moments.append(moment := demo.moment(line.strip().replace(f"{ROOT}/", "")))
            sys.stderr.write(f"{moment.wall_s:8.2f} {moment.cpu_s:8.2f}  {moment.what}\n")


def _below(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _listen() -> None:
    """A shell lets what runs in the background ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> int:
    """Start twice in one folder, write the record, say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".photofinish/demo_start.json"))
    parser.add_argument("--folder", type=Path, help="where the demo runs; default: a new one, removed at the end")
    parser.add_argument("arguments", nargs="*", help="more for the demo, behind --")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the demo is ended as well
    with contextlib.ExitStack() as stack:
        name = options.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-start-"))
        folder = Path(name).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        starts = [start(which, folder, options.arguments) for which in LIMITS_S]
    document = {
        "schema_version": SCHEMA_VERSION,
        "cpu": cpu_name(),
        "cpu_cores": usable_cores(),
        "arguments": options.arguments,
        "limits_s": LIMITS_S,
        "starts": {found.name: {**asdict(found), "faults": found.faults()} for found in starts},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for found in starts:
        sys.stdout.write(f"{found.name}: {found.picture}; load {found.load_before:.1f}; {found.faults() or 'good'}\n")
    return int(any(found.faults() for found in starts))


if __name__ == "__main__":
    sys.exit(main())
