"""The models that a cell's cameras use: one service for each, and which seats it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from photofinish.client.cameras.schedule.batches import FrameWriter
from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.supervise.model_service import ModelService, ServerAddress
from photofinish.client.cameras.values.outcome import Inferred


class CellModels:
    """Begins a service when a camera first names its variant; a camera that names none is served by `default`."""

    def __init__(
        self,
        address: ServerAddress,
        default: str,
        *,
        seats: Callable[[], Iterable[CameraSeat]],
        writer: FrameWriter,
        on_inferred: Callable[[Inferred], None],
        on_notice: Callable[[str], None],
    ) -> None:
        """seats: those of the cell now."""
        self._address = address
        self._default = default
        self._seats = seats
        self._writer = writer
        self._on_inferred = on_inferred
        self._on_notice = on_notice
        self._services: dict[str, ModelService] = {}
        self._has_started = False

    def start(self) -> None:
        """Begin to serve, in the running loop; services that are needed later begin at once."""
        self._has_started = True
        for service in self._services.values():
            service.start()

    async def stop(self) -> None:
        """Ask the server for nothing more."""
        await asyncio.gather(*(service.stop() for service in self._services.values()))

    def require(self, variant: str) -> None:
        """Have a service for a camera's variant, "" for the default."""
        name = variant or self._default
        if name in self._services:
            return
        service = self._services[name] = ModelService(
            self._address,
            name,
            seats=lambda: [seat for seat in self._seats() if (seat.camera.variant or self._default) == name],
            writer=self._writer,
            on_inferred=self._on_inferred,
            on_notice=self._on_notice,
        )
        if self._has_started:
            service.start()

    def wake(self, seat: CameraSeat) -> None:
        """The seat may have a frame for its service."""
        if seat.is_ready:
            self._services[seat.camera.variant or self._default].wake()

    def is_served(self, variant: str) -> bool:
        """Whether the server answers for a variant."""
        return self._services[variant or self._default].is_served

    def move_to(self, address: ServerAddress) -> None:
        """The server is at another address from now on."""
        self._address = address
        for service in self._services.values():
            service.address = address

    @property
    def names(self) -> str:
        """Models that are served, with their full names."""
        return ", ".join(service.model_name for service in self._services.values() if service.model_name)

    @property
    def message(self) -> str:
        """What is wrong with the server, "" when it answers."""
        return "; ".join(service.message for service in self._services.values() if service.message)
