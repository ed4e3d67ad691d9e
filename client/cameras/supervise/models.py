"""The models that a cell's cameras use: one service for each, and which seats it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from photofinish.client.cameras.schedule.batches import FrameWriter
from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.supervise.model_service import ModelService, ServerAddress
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import Inferred


class CellModels:
    """Begins a service when a camera first names its variant; a camera that names none is served by `default`."""

    def __init__(
        self,
        addresses: Sequence[ServerAddress],
        default: str,
        *,
        server_of: Callable[[str], int | None] = lambda camera: None,
        seats: Callable[[], Iterable[CameraSeat]],
        writer: FrameWriter,
        on_inferred: Callable[[Inferred], None],
        on_notice: Callable[[str], None],
    ) -> None:
        """seats: those of the cell now. server_of(camera): the place of the server that infers its pictures."""
        self._addresses = list(addresses)
        self._server_of = server_of
        self._default = default
        self._seats = seats
        self._writer = writer
        self._on_inferred = on_inferred
        self._on_notice = on_notice
        self._services: dict[tuple[str, int], ModelService] = {}
        self._has_started = False

    def start(self) -> None:
        """Begin to serve, in the running loop; services that are needed later begin at once."""
        self._has_started = True
        for service in self._services.values():
            service.start()

    async def stop(self) -> None:
        """Ask the server for nothing more."""
        await asyncio.gather(*(service.stop() for service in self._services.values()))

    def require(self, camera: Camera) -> None:
        """Have a service for a camera's variant, "" for the default."""
        self._require(self._key(camera))

    def _require(self, key: tuple[str, int]) -> None:
        if key in self._services:
            return
        service = self._services[key] = ModelService(
            self._addresses[key[1]],
            key[0],
            seats=lambda: [seat for seat in self._seats() if self._key(seat.camera) == key],
            serves=lambda seat: self._key(seat.camera) == key,
            writer=self._writer,
            on_inferred=self._on_inferred,
            on_notice=self._on_notice,
        )
        if self._has_started:
            service.start()

    def is_ready_at(self, camera: Camera, place: int) -> bool:
        """Whether the server of this place answers for a camera's variant; it is asked from now on."""
        key = camera.variant or self._default, place if len(self._addresses) > 1 else 0
        self._require(key)
        return self._services[key].is_served

    def wake(self, seat: CameraSeat) -> None:
        """The seat may have a frame for its service."""
        if seat.waiting is not None:
            self._services[self._key(seat.camera)].wake(seat)

    def is_served(self, camera: Camera) -> bool:
        """Whether the server answers for a camera's variant."""
        return self._services[self._key(camera)].is_served

    def move_to(self, address: ServerAddress, server: int = 0) -> None:
        """The server of this place is at another address from now on."""
        self._addresses[server] = address
        for (_, place), service in self._services.items():
            if place == server:
                service.address = address

    def _key(self, camera: Camera) -> tuple[str, int]:
        place = self._server_of(camera.name) if len(self._addresses) > 1 else 0
        return camera.variant or self._default, place or 0

    @property
    def names(self) -> str:
        """Models that are served, with their full names."""
        return ", ".join(dict.fromkeys(item.model_name for item in self._services.values() if item.model_name))

    @property
    def message(self) -> str:
        """What is wrong with the server, "" when it answers."""
        return "; ".join(dict.fromkeys(service.message for service in self._services.values() if service.message))
