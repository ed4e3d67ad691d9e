"""Memory that a picture is written into once and sent from: our own, or shared with the server."""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from photofinish.errors import ConfigError, InferenceError

SHARED_MEMORY_FOLDER = Path("/dev/shm")


class TransportError(ConfigError):
    """This machine cannot share memory in the way that was asked for."""


class InputRegion(Protocol):
    """The memory of one slot. `array` is what the caller writes pictures into."""

    array: npt.NDArray[Any]

    def fill_request(self, request: Any, byte_size: int) -> None:
        """Make the ModelInferRequest carry, or point to, the first `byte_size` bytes of `array`."""

    def close(self) -> None:
        """Give the memory back, here and on the server."""


class BytesRegion:
    """Pictures travel inside the gRPC message."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.array = np.zeros(shape, dtype=dtype)

    def fill_request(self, request: Any, byte_size: int) -> None:
        """Copy the bytes into the message."""
        content = self.array.reshape(-1).view(np.uint8)[:byte_size].tobytes()
        if request.raw_input_contents:
            request.raw_input_contents[0] = content
        else:
            request.raw_input_contents.append(content)

    def close(self) -> None:
        """Nothing to give back."""


class SystemRegion:
    """POSIX shared memory that the server has mapped too; the request names it.

    Its name is removed from /dev/shm as soon as the server holds it, so that nothing stays behind
    however this process or the server ends.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        *,
        register: Callable[[str, str, int], None],
        unregister: Callable[[str], None],
    ) -> None:
        """Map and register. register(name, key, byte_size) and unregister(name) speak to the server.

        Raises TransportError when the memory cannot be had, InferenceError when the server refuses it.
        """
        self.name = region_name()
        self._unregister = unregister
        byte_size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        path = SHARED_MEMORY_FOLDER / self.name
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except OSError as exc:
            raise TransportError(f"no shared memory on this machine: {exc}; use transport grpc") from exc
        try:
            os.posix_fallocate(descriptor, 0, byte_size)
            memory = mmap.mmap(descriptor, byte_size)
            register(self.name, f"/{self.name}", byte_size)
        except OSError as exc:
            raise TransportError(f"{byte_size} bytes of shared memory cannot be had: {exc}") from exc
        finally:
            os.close(descriptor)
            path.unlink()
        self.array: npt.NDArray[Any] = np.frombuffer(memory, dtype=dtype).reshape(shape)

    def fill_request(self, request: Any, byte_size: int) -> None:
        """Name the region and how much of it counts; no pixel is copied."""
        point_to_region(request, self.name, byte_size)

    def close(self) -> None:
        """Make the server let go; a server that is gone already has. The memory goes with its last view."""
        try:
            self._unregister(self.name)
        except InferenceError:
            return


def region_name() -> str:
    """A name that no other region on this machine has."""
    return f"photofinish-region-{os.getpid()}-{secrets.token_hex(6)}"


def point_to_region(request: Any, name: str, byte_size: int) -> None:
    """Make the ModelInferRequest's input refer to the first bytes of a registered region."""
    parameters = request.inputs[0].parameters
    parameters["shared_memory_region"].string_param = name
    parameters["shared_memory_byte_size"].int64_param = byte_size
