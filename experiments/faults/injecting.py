"""The faults of a soak: processes killed and stopped, a camera that goes, stalls and comes back as another one.

Backs: docs/reliability.md, "30 faults"
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from experiments.faults.load import Kept

STALL_S = 8.0
STOPPED_S = 45.0
"""What nobody ended while it was stopped goes on after so long."""
CAMERAS = ("h264:640x360@10", "h265:960x540@10", "mjpeg:320x240@10", "h264:1280x720@10")
STEADY = "h264:640x360@5"
RTSP_SCRIPT = Path(__file__).resolve().parents[2] / "tests" / "client" / "sources" / "rtsp_server.py"
PUBLISH_FOR_EVER = """
import sys
from pathlib import Path
from photofinish.export.publishing.cards import card_from_directory
from photofinish.export.publishing.publish import publish_variants
from photofinish.export.publishing.staging import StagedVariant
from photofinish.variant import default_variants_path, variants_from_toml
staged = []
for folder in Path(sys.argv[1]).iterdir():
    card = card_from_directory(folder)
    if card:
        known = variants_from_toml(default_variants_path(), model=card.model)
        variant = next(item for item in known if item.name == card.variant)
        staged.append(StagedVariant(variant=variant, directory=folder, card=card, rebuilt=False))
print("begun", flush=True)
while True:
    publish_variants(staged, Path(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind. channels: names of what it may stop. strike: does it; "" or why that was impossible."""

    name: str
    channels: tuple[str, ...]
    strike: Callable[[], str]


class RestartedCamera:
    """An RTSP server on one port whose size and codec change."""

    def __init__(self, python: str, kinds: tuple[str, ...] = CAMERAS) -> None:
        self._python = python
        self._kinds = kinds
        self._kind = 0
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self, *, other: bool = False) -> None:
        """Serve; on the same port as before."""
        self._kind = (self._kind + other) % len(self._kinds)
        command = [self._python, str(RTSP_SCRIPT), str(self.port), self._kinds[self._kind]]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line.strip():
            raise OSError(f"the RTSP server did not start; {self._python} needs GStreamer's RTSP server")
        self.port = int(line)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid if self._process else 0

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def send(pid: int | None, number: int) -> str:
    """A signal to a process; "" or why not."""
    if not pid:
        return "it was not running"
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return "it had ended already"
    return ""


def stall(pid: int | None, seconds: float) -> str:
    """Stop a process, and let it go on unless it was ended meanwhile."""
    begun = time.monotonic()
    if missed := send(pid, signal.SIGSTOP):
        return missed
    while time.monotonic() - begun < seconds and pid and psutil.pid_exists(pid):
        time.sleep(0.2)
    return "" if send(pid, signal.SIGCONT) in ("", "it had ended already") else "it could not go on"


def below(root: int | None, wanted: Callable[[psutil.Process], bool]) -> int | None:
    """The first process below a root that is wanted."""
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(root).children(recursive=True) if root else ():
            with contextlib.suppress(psutil.Error):
                if wanted(process):
                    return int(process.pid)
    return None


def is_triton(process: psutil.Process) -> bool:
    """Whether it is the server's own process."""
    return bool(process.name().startswith("tritonserver"))


def is_model(process: psutil.Process) -> bool:
    """Whether it runs the model that is probed: a child of tritonserver that names it."""
    parent = process.parent()
    return parent is not None and is_triton(parent) and any("onnx" in word for word in process.cmdline())


def faults(
    serve: Kept, view: Kept, viewed: dict[str, int], detectors: dict[str, Kept], camera: RestartedCamera,
    places: tuple[Path, Path], generator: random.Random,
) -> tuple[Fault, ...]:  # fmt: skip
    """All kinds. viewed: ids of the sides' processes. places: the staged variants, and the repository."""
    answers = ("probe",)
    sides = ("baseline", "optimised")

    def view_source() -> int | None:
        known = set(viewed.values())
        return below(view.pid, lambda item: item.pid not in known and "spawn_main" in " ".join(item.cmdline()))

    def camera_gone() -> str:
        camera.kill()
        time.sleep(3.0)
        camera.start()
        return ""

    def camera_changed() -> str:
        camera.kill()
        camera.start(other=True)
        return ""

    def publishing_killed() -> str:
        command = [sys.executable, "-c", PUBLISH_FOR_EVER, *map(str, places)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publishing:
            begun = publishing.stdout.readline() if publishing.stdout else ""
            time.sleep(generator.uniform(0.0, 0.5))
            publishing.kill()
        hidden = [path.name for path in places[1].iterdir() if path.name.startswith(".")]
        half = [path.name for path in places[1].iterdir() if not (path / "config.pbtxt").is_file()]
        return "" if begun and not hidden and not half else f"begun {begun!r}, hidden {hidden}, half {half}"

    return (
        Fault(name="model process killed", channels=answers,
              strike=lambda: send(below(serve.pid, is_model), signal.SIGKILL)),
        Fault(name="camera killed for 3 s", channels=("detect rtsp",), strike=camera_gone),
        Fault(name="side of the view killed", channels=("optimised",),
              strike=lambda: send(viewed.get("optimised"), signal.SIGKILL)),
        Fault(name="server killed", channels=(*answers, *sides, "detect steady"),
              strike=lambda: send(below(serve.pid, is_triton), signal.SIGKILL)),
        Fault(name="camera stalled for 8 s", channels=("detect rtsp",), strike=lambda: stall(camera.pid, STALL_S)),
        Fault(name="client killed", channels=("detect steady",),
              strike=lambda: send(detectors["detect steady"].pid, signal.SIGKILL)),
        Fault(name="model process stopped", channels=answers,
              strike=lambda: stall(below(serve.pid, is_model), STOPPED_S)),
        Fault(name="camera with another size and codec", channels=("detect rtsp",), strike=camera_changed),
        Fault(name="source of the view killed", channels=sides, strike=lambda: send(view_source(), signal.SIGKILL)),
        Fault(name="publishing killed", channels=answers, strike=publishing_killed),
        Fault(name="server stopped for 8 s", channels=answers,
              strike=lambda: stall(below(serve.pid, is_triton), STALL_S)),
    )  # fmt: skip
