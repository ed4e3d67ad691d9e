"""One cell: the cameras of this machine, their processes, their server, and the account of every frame."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from photofinish.client.cameras.outputs.output import Output
from photofinish.client.cameras.schedule.degrade import Degrader
from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.supervise.crew import CellCrew
from photofinish.client.cameras.supervise.decoders import CellDecoders
from photofinish.client.cameras.supervise.gpus import CPU_ALONE, DecodePlan
from photofinish.client.cameras.supervise.model_service import ServerAddress
from photofinish.client.cameras.supervise.models import CellModels
from photofinish.client.cameras.supervise.quality import ConnectionHistory, status_from_seat
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import DueFrame, Inferred
from photofinish.client.cameras.values.status import CameraStatus, CellStatus, DropCount, IngestReport
from photofinish.client.cameras.wire.messages import DecodeReport, ProcessKind, SessionsTried
from photofinish.machine.disk import log_folder as usual_log_folder

TICK_S = 0.02
STATUS_EVERY_S = 1.0
_RECONNECTS = ("url", "user", "password", "transport", "stall_s")
"""Fields of a camera that ingest must know; a change of others leaves its connection alone."""


class CameraCell:
    """Watches cameras while its block lasts. Everything of it belongs to one event loop.

    `add`, `remove` and `apply` may be called at any time; a camera's name is what it is known by. Outputs hear of every
    inferred frame and of the status once a second. final: the counts of cameras that were removed, and after the
    block of all. writer: the decode processes, for who wants pictures of the cameras.
    """

    def __init__(
        self,
        address: ServerAddress | Sequence[ServerAddress],
        *,
        variant: str = "",
        outputs: Iterable[Output] = (),
        ingest_processes: int = 1,
        decode_processes: int = 1,
        decoding: DecodePlan = CPU_ALONE,
        log_folder: Path | None = None,
        on_notice: Callable[[str], None] = lambda text: None,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """address: of the server, or of one server for each GPU of `decoding`, in its order.

        log_folder: of the processes; None for the usual one.
        """
        self.final: dict[str, DropCount] = {}
        self.outputs = list(outputs)
        self._on_notice = on_notice
        self._clock_ns = clock_ns
        self._seats: dict[str, CameraSeat] = {}
        self._histories: dict[str, ConnectionHistory] = {}
        self._degrader = Degrader()
        self._began_ns = clock_ns()
        self._numbers = decoding.numbers
        self._crew = CellCrew(
            {"ingest": ingest_processes, "decode": decode_processes},
            log_folder=log_folder or usual_log_folder(),
            on_value=self._hear,
            on_change=self._on_process,
            on_moved=lambda names: self._decoders.move(names),
            on_notice=on_notice,
            decoding=decoding,
        )
        self._decoders = CellDecoders(
            self._crew, self._seats, on_notice, lambda camera, place: self._models.is_ready_at(camera, place)
        )
        self.writer = self._crew.writer
        self._models = CellModels(
            [address] if isinstance(address, ServerAddress) else address,
            variant,
            server_of=self._crew.placement.home_of,
            seats=self._seats.values,
            writer=self.writer,
            on_inferred=self._on_inferred,
            on_notice=on_notice,
        )
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> CameraCell:
        """Start the processes; cameras may be added before and after."""
        await self._crew.open()
        self._models.start()
        self._ticking = asyncio.ensure_future(self._tick())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End everything within about two seconds, and close every account."""
        if self._ticking is not None:
            self._ticking.cancel()
        await self.stop_serving()
        for name in list(self._seats):
            self.remove(name)
        await self._crew.close()
        await asyncio.gather(*(asyncio.to_thread(output.close) for output in self.outputs))

    async def stop_serving(self) -> None:
        """Ask the server for nothing more, so that it may end while the rest does."""
        await self._models.stop()

    @property
    def session_limits(self) -> dict[int, int]:
        """Of each GPU that took no more decoding sessions, by its number, how many it had then."""
        return {self._numbers[place]: limit for place, limit in self._crew.placement.session_limits.items()}

    async def run_until(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set. Raises what ended the cell by itself, such as an account that does not add up."""
        if self._ticking is None:
            return
        waiting = asyncio.ensure_future(stop.wait())
        try:
            done, _ = await asyncio.wait((waiting, self._ticking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._ticking in done:
            self._ticking.result()

    @property
    def cameras(self) -> dict[str, Camera]:
        """The cameras that are watched now, by name."""
        return {name: seat.camera for name, seat in self._seats.items()}

    def apply(self, cameras: Iterable[Camera]) -> list[str]:
        """Make these the cameras of the cell; what was changed, in words."""
        wanted = {camera.name: camera for camera in cameras}
        changes = []
        for name in [name for name in self._seats if name not in wanted]:
            self.remove(name)
            changes.append(f"{name} removed")
        for name, camera in wanted.items():
            seat = self._seats.get(name)
            if seat is None:
                self.add(camera)
                changes.append(f"{name} added")
            elif seat.camera != camera:
                self._change(seat, camera)
                changes.append(f"{name} changed")
        return changes

    def add(self, camera: Camera) -> None:
        """Watch a camera from now on; in the place of one of the same name."""
        if camera.name in self._seats:
            self.remove(camera.name)
        seat = self._seats[camera.name] = CameraSeat(camera, self._clock_ns())
        self._histories[camera.name] = ConnectionHistory()
        moved = self._decoders.place(camera)
        self._models.require(camera)
        seat.is_served = self._models.is_served(camera)
        self._take_steps()
        self._decoders.move(moved)
        self._crew.tell_decoder(seat.wish())
        self._crew.tell_ingest(camera)

    def remove(self, name: str) -> None:
        """Watch a camera no more; its account is closed and kept in `final`."""
        seat = self._seats.pop(name)
        seat.stop()
        self.final[name] = seat.account.count()
        self._histories.pop(name)
        self._decoders.move(self._crew.forget(name))
        self._take_steps()

    def status(self) -> CellStatus:
        """All cameras now. Raises AccountError when a camera's account does not add up."""
        now_ns = self._clock_ns()
        return CellStatus(
            at_unix_ns=time.time_ns(),
            uptime_s=(now_ns - self._began_ns) / 1e9,
            variant=self._models.names,
            cameras=tuple(self._row(seat, now_ns) for seat in self._seats.values()),
            server_message=self._models.message,
            notes=tuple(filter(None, (self._degrader.sentence() if self._degrader.level else "", self._decoders.note))),
            lost_events={output.name: output.lost for output in self.outputs},
            processes=self._crew.pids,
            restarts=self._crew.restarts,
        )

    def _row(self, seat: CameraSeat, now_ns: int) -> CameraStatus:
        name, placement = seat.camera.name, self._crew.placement
        home = placement.home_of(name)
        return replace(
            status_from_seat(seat, self._histories[name], now_ns),
            gpu=None if home is None else self._numbers[home],
            decode_reason=placement.reason_of(name),
        )

    def move_to(self, address: ServerAddress, server: int = 0) -> None:
        """The server, that of this place where there are several, is at another address from now on."""
        self._models.move_to(address, server)

    def _change(self, seat: CameraSeat, camera: Camera) -> None:
        """Take a changed row over; its account goes on."""
        before, seat.camera = seat.camera, camera
        now_ns = self._clock_ns()
        seat.change_rate(now_ns, camera.frames_per_s)
        self._models.require(camera)
        seat.is_served = self._models.is_served(camera)
        self._take_steps()
        self._decoders.move(self._crew.placement.change(camera))
        self._crew.tell_decoder(seat.wish())
        if any(getattr(before, field) != getattr(camera, field) for field in _RECONNECTS):
            self._crew.tell_ingest(camera)

    def _on_process(self, kind: ProcessKind, cameras: list[str], is_there: bool) -> None:
        """A process came, and is told of its cameras; or went."""
        for seat in (self._seats[name] for name in cameras):
            if kind == "decode":
                seat.is_decoded = is_there
                seat.decode = DecodeReport(camera=seat.camera.name)
                if is_there:
                    seat.forget_sequence()
                    self._crew.tell_decoder(seat.wish())
            elif is_there:
                self._crew.tell_ingest(seat.camera)
            else:
                report = IngestReport(camera=seat.camera.name, message="its ingest process is started again")
                seat.hear_ingest(report)

    def _hear(self, value: Any) -> None:
        """What a process tells."""
        now_ns = self._clock_ns()
        if isinstance(value, DueFrame):
            seat = self._seats.get(value.camera)
            if seat is not None:
                seat.take(value, now_ns)
                self._models.wake(seat)
            return
        if isinstance(value, SessionsTried):
            return self._decoders.hear_tried(value)
        for item in (item for item in value if item.camera in self._seats):
            seat = self._seats[item.camera]
            if isinstance(item, IngestReport):
                self._histories[item.camera].note(item.connections, item.stalls, now_ns)
                if item.connections > seat.ingest.connections:
                    self._decoders.hear_connection(item.camera)
                seat.hear_ingest(item)
            elif isinstance(item, DecodeReport):
                seat.hear_decoder(item)
                if item.refusal is not None:
                    self._decoders.refuse(item.camera, item.refusal)

    def _on_inferred(self, result: Inferred) -> None:
        for output in self.outputs:
            output.on_inferred(result)

    async def _tick(self) -> None:
        """Frames become due, too old or lost; once a second the outputs hear of everything."""
        told_s = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now_ns = self._clock_ns()
            due = lost = 0
            for seat in self._seats.values():
                seat.advance(now_ns)
                if seat.has_load:
                    load = seat.take_load()
                    due, lost = due + load.due, lost + load.overloaded
                    self._decoders.hear_load(seat, load)
                if seat.waiting is not None:
                    self._models.wake(seat)
            lost -= self._decoders.settle(time.monotonic())
            if note := self._degrader.note(due, lost, time.monotonic()):
                self._on_notice(note)
                self._take_steps()
            if time.monotonic() - told_s >= STATUS_EVERY_S:
                told_s = time.monotonic()
                status = self.status()
                for output in self.outputs:
                    output.on_status(status)

    def _take_steps(self) -> None:
        """What is served of each camera, by its priority among those that there are now."""
        self._degrader.set_priorities(seat.camera.priority for seat in self._seats.values())
        for seat in self._seats.values():
            step = self._degrader.step_of(seat.camera.priority)
            if step != seat.step:
                seat.step = step
                self._crew.tell_decoder(seat.wish())
