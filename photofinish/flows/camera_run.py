"""`photofinish cameras run`: server, cell, outputs, the list that changes, and the table in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from photofinish.client.cameras.account.account import require_sum
from photofinish.client.cameras.endpoint.board import CellBoard
from photofinish.client.cameras.list.reading import cameras_from_file
from photofinish.client.cameras.streams.clip import size_from_text
from photofinish.client.cameras.streams.launch import StreamProcesses
from photofinish.client.cameras.supervise.cell import CameraCell
from photofinish.client.cameras.supervise.gpus import decode_plan
from photofinish.client.cameras.supervise.tables import status_table, summary_line, total_count
from photofinish.client.cameras.values.camera import Camera, DecodeChoice
from photofinish.client.cameras.values.status import CellStatus
from photofinish.client.choosing.networks import VARIANT_FLAG
from photofinish.client.native.library import native_client
from photofinish.client.pipeline.opening import choose_model
from photofinish.errors import ConfigError, PhotofinishError, reason_from_error
from photofinish.flows import tell
from photofinish.flows.camera.outputs import OutputWishes, outputs_from_wishes
from photofinish.flows.camera.recording import RecordingWishes, cameras_of_run, recorded, require_recordable
from photofinish.flows.camera.servers import address_of, named_servers, own_servers
from photofinish.flows.camera.watch import WatchPlan, kept_going, lines_told_apart, watched
from photofinish.flows.cameras import read_list
from photofinish.flows.showing.toy import warn_of_demo_detector
from photofinish.machine.gpu import count_as_nvidia_smi
from photofinish.machine.processor import usable_cores
from photofinish.names import counted
from photofinish.server.triton.embedded import EmbeddedServer

CAMERAS_A_PROCESS = 150
LOOK_EVERY_S = 1.0
LINE_EVERY_S = 10.0
TABLE_EVERY_S = 2.0
SERVER_PAUSE_S = 2.0
CLEAR = "\033[H\033[2J"


class CameraRun:
    """One run. seconds: None for until Ctrl-C."""

    def __init__(
        self,
        *,
        file: Path | None,
        test_streams: int | None,
        urls: tuple[str, ...],
        http_urls: tuple[str, ...],
        variant: str,
        repository: Path,
        source: str,
        stream_fps: float,
        stream_size: str,
        frames_per_s: float,
        outputs: OutputWishes,
        recording: RecordingWishes,
        seconds: float | None,
        ingest_processes: int | None,
        decode_processes: int | None,
        decode: DecodeChoice,
        gpus: str,
        watch: WatchPlan,
    ) -> None:
        self._file = file
        self._test_streams = test_streams
        self._variant = variant
        self._repository = repository
        self._source = source
        self._stream_fps = stream_fps
        self._size_wh = size_from_text(stream_size)
        self._frames_per_s = frames_per_s
        self._wishes = outputs
        self._recording = recording
        self._seconds = seconds
        self._ingest_processes, self._decode_processes = ingest_processes, decode_processes
        self._plan = watch
        count_as_nvidia_smi(os.environ)
        self._decoding = decode_plan(decode, gpus)
        self._named = named_servers(urls, http_urls, self._decoding, tell)
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._last_note = ""
        self._say: Callable[[str], object] = tell
        self._ending: asyncio.Future[list[None]] | None = None

    async def run(self) -> None:
        """Watch until the end, then say what became of every frame."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        async with contextlib.AsyncExitStack() as stack:
            streams, cameras = await self._cameras(stack)
            require_recordable(cameras, self._recording)
            tell(f"Decoding: {self._decoding.sentence}")
            await asyncio.to_thread(native_client, self._note)  # once, before every decode process looks for it
            embedded = await self._servers(stack)
            addresses = [address_of(server) for server in embedded] or self._named
            board = CellBoard()
            receivers = outputs_from_wishes(self._wishes, self._note)
            outputs = recorded(receivers, self._recording, cameras, lambda: cell.writer, self._note)
            cell = CameraCell(
                addresses,
                variant=self._variant,
                outputs=[board, *outputs],
                ingest_processes=self._ingest_processes or -(-len(cameras) // CAMERAS_A_PROCESS),
                decode_processes=self._decode_processes or max(usable_cores() // 2, 1),
                decoding=self._decoding.for_cameras(len(cameras)),
                on_notice=self._note,
            )
            cell.apply(cameras)
            async with cell, watched(board, cell.writer, self._plan):
                await self._watch(cell, embedded, streams)
                status = cell.status()
                await cell.stop_serving()
                if embedded:  # beside the rest: all of it is to end within three seconds
                    stops = (asyncio.to_thread(server.stop) for server in embedded)
                    self._ending = asyncio.gather(*stops)
        self._tell_end(cell, status, streams)

    async def _watch(self, cell: CameraCell, embedded: list[EmbeddedServer], streams: StreamProcesses | None) -> None:
        works: list[Callable[[], Awaitable[None]]] = [partial(self._show, cell)]
        if self._file is not None:
            works.append(partial(self._follow_list, cell, self._file))
        works += [partial(self._keep_server, cell, server, place) for place, server in enumerate(embedded)]
        lines = lines_told_apart()
        self._say = lines.put
        tasks = [asyncio.ensure_future(kept_going(work, self._note)) for work in works]
        if self._seconds is not None:
            asyncio.get_running_loop().call_later(self._seconds, self._stop.set)
        try:
            await cell.run_until(self._stop)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if await asyncio.to_thread(lines.close):  # else nobody reads what is told
                self._say = tell

    async def _cameras(self, stack: contextlib.AsyncExitStack) -> tuple[StreamProcesses | None, Sequence[Camera]]:
        if self._file is not None:
            return None, cameras_of_run(read_list(self._file).cameras, self._recording)
        count = self._test_streams or 1
        width, height = self._size_wh
        tell(f"making {counted(count, 'test stream')}, {width} x {height}, {self._stream_fps:g} fps, H.264")
        streams = await stack.enter_async_context(
            StreamProcesses(count, size_wh=self._size_wh, frames_per_s=self._stream_fps, source=self._source)
        )
        return streams, cameras_of_run(streams.cameras(self._frames_per_s), self._recording)

    async def _servers(self, stack: contextlib.AsyncExitStack) -> list[EmbeddedServer]:
        """A server of our own with the chosen variant, or one for each of several GPUs; none if another was named."""
        if self._named:
            return []
        from photofinish.export.publishing.cards import card_from_directory, require_readable
        from photofinish.server.triton.run_folder import models_in

        cards = {name: card_from_directory(self._repository / name) for name in models_in(self._repository)}
        name = choose_model(
            cards, self._variant or None, where=str(self._repository), flag=VARIANT_FLAG, on_notice=self._note
        )
        require_readable(self._repository, [name])
        source = "cameras" if self._file is not None else self._source or "synthetic"
        warn_of_demo_detector(source, [cards[name]], flag="--variant", on_notice=self._note)
        servers = own_servers(self._repository, name, cards[name], self._decoding, self._note)
        for server in servers:
            stack.push_async_callback(self._end_server, server)
            await asyncio.to_thread(server.__enter__)
        return servers

    async def _end_server(self, server: EmbeddedServer) -> None:
        if self._ending is not None:
            await self._ending
        else:
            await asyncio.to_thread(server.stop)

    async def _show(self, cell: CameraCell) -> None:
        """The table where somebody looks, else a line every ten seconds."""
        is_screen = sys.stderr.isatty()
        while True:
            await asyncio.sleep(TABLE_EVERY_S if is_screen else LINE_EVERY_S)
            status = cell.status()
            if is_screen:
                height = shutil.get_terminal_size().lines
                lines = [
                    summary_line(status),
                    self._last_note,
                    "",
                    *status_table(status, height - 6),
                    "",
                    "Ctrl-C stops.",
                ]
                self._say(CLEAR + "\n".join(line[: shutil.get_terminal_size().columns] for line in lines))
            else:
                self._say(summary_line(status))

    async def _follow_list(self, cell: CameraCell, file: Path) -> None:
        """Take the list over whenever the file changes, and on SIGHUP."""
        taken = before = await asyncio.to_thread(_stamp, file)  # a folder of the network may hang
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._reload.wait(), LOOK_EVERY_S)
            stamp, last = await asyncio.to_thread(_stamp, file), before
            before = stamp
            is_settled = stamp == last != taken  # nobody writes it just now
            if not is_settled and not self._reload.is_set():
                continue
            taken = stamp
            self._reload.clear()
            try:
                found = await asyncio.to_thread(cameras_from_file, file)
            except ConfigError as exc:
                self._note(f"{exc}; the cameras stay as they are")
                continue
            for problem in found.problems:
                self._note(f"{file}: {problem}")
            if not found.cameras:
                self._note(f"{file} has no camera that can be watched; the cameras stay as they are")
                continue
            changes = cell.apply(cameras_of_run(found.cameras, self._recording))
            self._note(
                f"{file} read again: {', '.join(changes[:10]) or 'nothing changed'}{', …' if len(changes) > 10 else ''}"
            )

    async def _keep_server(self, cell: CameraCell, server: EmbeddedServer, place: int) -> None:
        """Start the server again when it ends by itself; cameras go on, and say what they lose meanwhile."""
        while True:
            await asyncio.sleep(0.2)
            if server.is_alive():
                continue
            self._note(f"the server ended by itself and is started again; see {server.log_path}")
            await asyncio.to_thread(server.stop)
            try:
                await asyncio.to_thread(server.__enter__)
            except (PhotofinishError, OSError) as exc:  # OSError: a full disk, too many open files
                self._note(f"the server cannot be started: {reason_from_error(exc)}; trying again")
                await asyncio.sleep(SERVER_PAUSE_S)
                continue
            cell.move_to(address_of(server), place)

    def _note(self, text: str) -> None:
        """Something that an operator should know, with its time."""
        self._last_note = f"{time.strftime('%H:%M:%S')} {text}"
        self._say(self._last_note)

    def _tell_end(self, cell: CameraCell, status: CellStatus, streams: StreamProcesses | None) -> None:
        total = total_count(list(cell.final.values()))
        require_sum("all cameras", total)
        for line in status_table(status):
            self._say(line)
        causes = ", ".join(
            f"{cause.value} {count}" for cause, count in sorted(total.dropped.items(), key=lambda item: -item[1])
        )
        self._say(
            f"{counted(len(cell.final), 'camera')} in {status.uptime_s:.0f} s: {total.due} frames due = "
            f"{total.inferred} inferred + {total.dropped_total} dropped{f' ({causes})' if causes else ''}"
        )
        for output in cell.outputs:
            if output.lost:
                self._say(f"{output.name}: {output.lost} lost, its receiver was too slow, full or not there")
        if streams is not None and (verdict := streams.verdict()):
            self._say(verdict)


def _stamp(file: Path) -> tuple[int, int]:
    """What changes with a file; zeros while it is not there."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino
