"""What goes wrong with cameras, and on our side: how each is struck and mended, and which cameras it may touch.

Backs: docs/cameras.md, "Each fault was struck for real"
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from experiments.cameras.running import RunningCameras
from experiments.cameras.stage import FAULTY, OTHER_MAKER, PASSWORD, USER, CameraStage
from experiments.faults.injecting import below, is_triton, send
from photofinish.client.cameras.streams.stream import StreamFaults

NOTHING: Callable[[], None] = lambda: None  # noqa: E731


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One fault. hold_s: how long it lasts. touched: the cameras that may lose frames, () for all of them.

    loses: whether the touched cameras lose frames while it lasts. mend: ends its cause, nothing where it is over.
    """

    name: str
    server: str
    hold_s: float
    touched: tuple[str, ...]
    strike: Callable[[], object]
    mend: Callable[[], object] = NOTHING
    loses: bool = True
    after: Callable[[], object] = field(default=NOTHING)


def camera_faults(stage: CameraStage, hold_s: float, long_s: float) -> list[Injection]:
    """Faults of a camera of our server. long_s: of those that last longer."""
    stream, server = stage.streams[FAULTY], stage.faulty_server

    def set_faults(*, cut: bool = False, **values: object) -> None:
        def change() -> None:
            stream.faults = StreamFaults(**values)  # type: ignore[arg-type]
            if cut:
                server.cut_connections(FAULTY)

        stage.call(change)

    def shut() -> None:
        stage.do(server.__aexit__)

    def come_back() -> None:
        stage.do(server.__aenter__)

    def refuse_from_the_start() -> None:
        camera = stage.remove(FAULTY)
        shut()
        time.sleep(2.5)
        stage.add(camera)

    def want_password() -> None:
        stream.user, stream.password = USER, PASSWORD
        stage.change(FAULTY, user=USER, password="wrong")
        stage.reconnect()

    def forget_password() -> None:
        stream.user = stream.password = ""
        stage.change(FAULTY, user="", password="")

    def restart_as(kind: str) -> None:
        stream.clip = stage.clips[kind]
        stage.reconnect()

    def storm() -> None:
        cameras = stage.flapping()
        stage.cameras |= {camera.name: camera for camera in cameras}
        stage.write()
        begun_s, number = time.monotonic(), 0
        while time.monotonic() - begun_s < long_s:
            name = cameras[number % len(cameras)].name
            stage.reconnect(name)
            number += 1
            time.sleep(0.1)

    def end_storm() -> None:
        for name in [name for name in stage.cameras if name.startswith("flapping")]:
            del stage.cameras[name]
        stage.write()

    def one(name: str, strike: Callable[[], object], mend: Callable[[], object] = NOTHING, **rest: object) -> Injection:
        values = {"server": "ours", "hold_s": hold_s, "touched": (FAULTY,), **rest}
        return Injection(name=name, strike=strike, mend=mend, **values)  # type: ignore[arg-type]

    def by_faults(
        name: str, *, cut: bool = False, rest: dict[str, object] | None = None, **values: object
    ) -> Injection:
        return one(name, lambda: set_faults(cut=cut, **values), lambda: set_faults(), **(rest or {}))

    lasting: dict[str, object] = {"hold_s": long_s}
    harmless: dict[str, object] = {"loses": False}
    return [
        one("refused", refuse_from_the_start, come_back),
        one("wrong password, then put right in the list", want_password,
            lambda: stage.change(FAULTY, password=PASSWORD), after=forget_password),
        by_faults("404", cut=True, rest=lasting, status=404),
        one("server killed", shut, come_back),
        one("there only after a minute", refuse_from_the_start, come_back, hold_s=2 * long_s),
        by_faults("stalled, RTCP alive", rest=lasting, stalled=True),
        by_faults("stalled, dead", rest=lasting, dead=True),
        one("restarted with another size", lambda: restart_as("another size"), hold_s=0.0),
        one("restarted with another codec", lambda: restart_as("another codec"), hold_s=0.0,
            after=lambda: restart_as("plain")),
        by_faults("announces 1000 fps", cut=True, announced_fps=1000.0),
        by_faults("clock nine years off", cut=True, rest=harmless, clock_offset_s=-3e8),
        by_faults("one packet in twenty lost", rest=lasting, loss=0.05),
        by_faults("no keyframe", cut=True, rest=lasting, no_keyframe=True),
        by_faults("garbage for pictures", rest=lasting, garbage=True),
        one("200 reconnects in a minute, of 16 more cameras", storm, end_storm, hold_s=0.0, loses=False),
    ]  # fmt: skip


def other_makers_faults(stage: CameraStage, hold_s: float) -> list[Injection]:
    """Faults of a camera of GStreamer's server."""
    other = stage.other

    def restart() -> None:
        other.kill()
        other.start(other=True)

    def wrong_path() -> None:
        url = stage.cameras[OTHER_MAKER].url
        stage.change(OTHER_MAKER, url=url.replace("/cam", "/nothing"))

    def right_path() -> None:
        stage.change(OTHER_MAKER, url=stage.cameras[OTHER_MAKER].url.replace("/nothing", "/cam"))

    def one(name: str, strike: Callable[[], object], mend: Callable[[], object] = NOTHING, **rest: object) -> Injection:
        values = {"server": "GStreamer", "hold_s": hold_s, "touched": (OTHER_MAKER,), **rest}
        return Injection(name=name, strike=strike, mend=mend, **values)  # type: ignore[arg-type]

    return [
        one("server killed", other.kill, other.start),
        one("stalled, dead", lambda: os.kill(other.pid, signal.SIGSTOP), lambda: os.kill(other.pid, signal.SIGCONT),
            hold_s=2 * hold_s),
        one("404, then put right in the list", wrong_path, right_path),
        one("restarted with another size and codec (H.265)", restart, hold_s=0.0),
        one("restarted with another size and codec (MJPEG)", restart, hold_s=0.0, after=restart),
    ]  # fmt: skip


def our_faults(stage: CameraStage, running: RunningCameras, hold_s: float) -> list[Injection]:
    """Faults on our side; all cameras may lose frames, none its connection but by the ingest process."""

    def kill(find: Callable[[], int | None]) -> Callable[[], object]:
        def strike() -> None:
            if missed := send(find(), signal.SIGKILL):
                raise RuntimeError(missed)

        return strike

    def of_cell(part: str) -> Callable[[], int | None]:
        return lambda: running.status()["processes"].get(f"{part} process 0")

    def is_model(process: psutil.Process) -> bool:
        parent = process.parent()
        return parent is not None and is_triton(parent) and process.cmdline()[-1:] != []

    def one(name: str, strike: Callable[[], object], mend: Callable[[], object] = NOTHING, **rest: object) -> Injection:
        values = {"server": "", "hold_s": 0.0, "touched": (), **rest}
        return Injection(name=name, strike=strike, mend=mend, **values)  # type: ignore[arg-type]

    return [
        one("Triton killed", kill(lambda: below(running.pid, is_triton))),
        one("model process killed", kill(lambda: below(running.pid, is_model))),
        one("decode process killed", kill(of_cell("decode"))),
        one("ingest process killed", kill(of_cell("ingest"))),
        one("receiver of events gone", stage.receiver.stop, stage.receiver.start, hold_s=hold_s, loses=False),
    ]
