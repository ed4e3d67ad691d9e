"""A visitor's video: taken up to a size, looked at by `photofinish detect`, and gone after some minutes."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from photofinish.client.ui.page.machine_use import MachineUse
from photofinish.client.ui.picture.bounds import RefusedError, refused_for_now
from photofinish.client.ui.processes.command import CommandRun, RunningCommand, StartCommand
from photofinish.client.ui.words import WordedError

MAX_VIDEO_BYTES = 200_000_000
MAX_FRAMES = 5400
"""Three minutes at 30 frames a second; what comes after them is not looked at, and the page says so."""
RUN_LIMIT_S = 900.0
KEPT_S = 600.0
"""How long a finished video can be fetched."""
SILENT_S = 30.0
"""A page that has not asked for so long is closed: its job ends."""
MEMORY_BYTES = 4 << 30
"""What the process that decodes may hold."""
MOST_JOBS = 3
"""Finished ones that wait to be fetched, and the one that runs: no more of strangers' files lies on the disk."""
EVERY = (1, 2, 5, 10)
FILES = {"annotated.mp4": "out/video.mp4", "detections.jsonl": "out/video.jsonl"}
"""What can be fetched of a job, and where it lies in its folder."""
State = Literal["receiving", "running", "done", "failed", "stopped"]
_TOTAL = re.compile(r", (\d+) frames to look at$")


class VideoJob:
    """One video: its private folder, how far it is. Only who knows the token can ask for it.

    yields: it ends where the page's owner wants the machine for a measurement; has_yielded: it did.
    """

    def __init__(self, every: int, clock: Callable[[], float], *, yields: bool = False) -> None:
        self.token = secrets.token_urlsafe(24)
        self.every = every
        self.yields = yields
        self.has_yielded = False
        self.state: State = "receiving"
        self.message = ""
        self.reason: WordedError | None = None
        self.done = self.boxes = 0
        self.total: int | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="photofinish-video-"))  # for this user alone
        self.began = self.heard = self.ended = clock()
        self.run: RunningCommand | None = None

    @property
    def video_path(self) -> Path:
        """Where the upload goes; its own name is not used."""
        return self.folder / "video.mp4"

    def take_line(self, line: str) -> None:
        """A line of the command: a frame's result, or what it tells."""
        if line.startswith("{"):
            self.done += 1
            self.boxes += len(json.loads(line).get("detections", ()))
        elif found := _TOTAL.search(line):
            self.total = min(int(found[1]), MAX_FRAMES)

    def give_way(self) -> None:
        """End it for a measurement; its page says so."""
        self.has_yielded = True
        if self.run is not None:
            self.run.stop()

    def document(self, now: float) -> dict[str, Any]:
        """What the page shows, JSON-able. left_s: None while nothing is known of it.

        message: why it failed, as the command told it; word, values: instead of it, where it told nothing.
        """
        spent = (now if self.state == "running" else self.ended) - self.began
        left = None
        if self.state == "running" and self.total and self.done >= 5:
            left = round(spent / self.done * max(self.total - self.done, 0))
        files = [name for name, place in FILES.items() if self.state == "done" and (self.folder / place).is_file()]
        return {"state": self.state, "done": self.done, "total": self.total, "boxes": self.boxes, "left_s": left,
                "message": self.message, "word": self.reason.word if self.reason else None,
                "values": self.reason.values if self.reason else {}, "files": files, "is_cut": self.done >= MAX_FRAMES,
                "kept_s": max(0, round(self.ended + KEPT_S - now))}  # fmt: skip


class VideoDesk:
    """Takes one video at a time, and clears up behind all of them. A context manager."""

    def __init__(
        self,
        target: Callable[[], tuple[str, str]],
        use: MachineUse | None = None,
        *,
        start: StartCommand = CommandRun,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """target: address of the server and the variant that looks, as they are when a video begins.

        use: the machine's, which a video takes until it was looked at; None for a machine of its own.
        """
        self._target = target
        self._use = use or MachineUse()
        self._start = start
        self._clock = clock
        self._jobs: dict[str, VideoJob] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_on, name="videos", daemon=True)

    def __enter__(self) -> VideoDesk:
        """Begin clearing up."""
        self._sweeper.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End what runs; no file is left."""
        self._stop.set()
        for job in self._forget(lambda job: True):
            self._remove(job)

    def open(self, every: int, *, yields: bool = False) -> VideoJob:
        """A place for an upload. RefusedError while another one is received or looked at, or something is measured.

        yields: a visitor's, which gives way to a measurement after a short while; the owner stops their own.
        """
        if self._use.is_reserved:
            raise RefusedError(503, "page.reserved.measuring")
        if every not in EVERY:
            raise RefusedError(422, "picture.problem.wrong_every")
        with self._lock:
            if self._stop.is_set() or any(job.state in ("receiving", "running") for job in self._jobs.values()):
                raise RefusedError(503, "picture.problem.video_busy")
            job = VideoJob(every, self._clock, yields=yields)
            self._jobs[job.token] = job
        while len(self._jobs) > MOST_JOBS:
            oldest = min((item for item in self._jobs.values() if item is not job), key=lambda item: item.ended)
            self.drop(oldest.token)
        return job

    def look_at(self, job: VideoJob) -> None:
        """Start looking at what was received. RefusedError where its first bytes are no video's, or for now."""
        with job.video_path.open("rb") as file:
            head = file.read(16)
        if not is_container(head):
            self.drop(job.token)
            raise RefusedError(415, "picture.problem.no_video")
        place = ExitStack()
        try:
            place.enter_context(self._use.beside(job.give_way if job.yields else None))
        except WordedError as exc:
            raise refused_for_now(exc) from exc
        with place:
            self._begin(job)
            threading.Thread(target=self._see_to_end, args=(job, place.pop_all()), name="video", daemon=True).start()

    def _begin(self, job: VideoJob) -> None:
        url, variant = self._target()
        words = ("detect", str(job.video_path), "--url", url, "--variant", variant, "--json", "--text", "--timeout",
                 "30", "--save", str(job.folder / "out"), "--every", str(job.every), "--frames",
                 str(MAX_FRAMES))  # fmt: skip
        job.began = job.heard = self._clock()
        job.state = "running"
        job.run = self._start(words, on_line=job.take_line, memory_bytes=MEMORY_BYTES)

    def job(self, token: str) -> VideoJob:
        """The job of that token, which is now known to be waited for. RefusedError for any other."""
        found = self._jobs.get(token)
        if found is None:
            raise RefusedError(404, "picture.problem.no_job")
        found.heard = self._clock()
        return found

    def document(self, token: str) -> dict[str, Any]:
        """What the page shows of a job."""
        return self.job(token).document(self._clock())

    def file(self, token: str, name: str) -> Path:
        """A finished file. RefusedError for a name that is none, which is never taken for a path."""
        job = self.job(token)
        path = job.folder / FILES[name] if name in FILES and job.state == "done" else None
        if path is None or not path.is_file():
            raise RefusedError(404, "picture.problem.no_job")
        return path

    def drop(self, token: str) -> None:
        """End a job, and remove its files; nothing for one that is gone."""
        for job in self._forget(lambda job: job.token == token):
            self._remove(job)

    def sweep(self) -> None:
        """End what nobody waits for or takes too long, and remove what was kept long enough."""
        now = self._clock()
        for job in self._forget(lambda job: _is_over(job, now)):
            self._remove(job)

    def _forget(self, which: Callable[[VideoJob], bool]) -> list[VideoJob]:
        with self._lock:
            gone = [job for job in self._jobs.values() if which(job)]
            for job in gone:
                del self._jobs[job.token]
        return gone

    def _remove(self, job: VideoJob) -> None:
        job.state = "stopped"
        if job.run is not None:
            job.run.stop()
        shutil.rmtree(job.folder, ignore_errors=True)

    def _see_to_end(self, job: VideoJob, place: ExitStack) -> None:
        """place: what the job has of the machine until then."""
        with place:
            self._wait_for(job)

    def _wait_for(self, job: VideoJob) -> None:
        status = job.run.wait(RUN_LIMIT_S) if job.run else None
        if status is None and job.run:
            job.run.stop()
        job.ended = self._clock()
        job.video_path.unlink(missing_ok=True)
        if job.state == "running":
            if status and job.run and not job.has_yielded:
                job.message = job.run.why_it_failed().replace(f"{job.folder}/", "")
            if job.has_yielded and status != 0:  # 0: it had ended by itself before it was asked
                job.reason = WordedError("picture.problem.video_gave_way")
            elif status is None:
                job.reason = WordedError("picture.problem.video_too_long", minutes=round(RUN_LIMIT_S / 60))
            elif status and not job.message:
                job.reason = WordedError("picture.problem.video_silent", status=status)
            job.state = "done" if status == 0 else "failed"

    def _sweep_on(self) -> None:
        while not self._stop.wait(2.0):
            self.sweep()


def _is_over(job: VideoJob, now: float) -> bool:
    if job.state == "running":
        return now - job.heard > SILENT_S
    return job.state != "receiving" and now - job.ended > KEPT_S


def is_container(head: bytes) -> bool:
    """Whether a file begins as MP4, MOV, Matroska, WebM or AVI do. A playlist, which may name other files, does not."""
    return head[4:8] == b"ftyp" or head[:4] == b"\x1aE\xdf\xa3" or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
