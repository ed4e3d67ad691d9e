"""Memory that a picture is written into once and sent from: our own, or shared with the server."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import mmap
import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from photofinish.errors import ConfigError, InferenceError, said_of_file
from photofinish.machine.processes import is_alive

SHARED_MEMORY_FOLDER = Path("/dev/shm")
RELEASE_TIMEOUT_S = 2.0
"""How long closing waits for requests that were given up and still lie in the server's queue."""
DIRECT_PARAMETER = "photofinish_region"
"""The request parameter that carries `InputRegion.direct`; servers that do not know it ignore it."""
_PREFIX = "photofinish-region-"
_log = logging.getLogger(__name__)


class TransportError(ConfigError):
    """This machine cannot share memory in the way that was asked for."""


class InputRegion(Protocol):
    """The memory of one slot. `array` is what the caller writes pictures into.

    name: what requests call it by; "" when pictures travel inside the request. direct: what tells the embedded server
    where the memory is, so that it is read without a copy; "" for none. on_device: by what another process finds the
    memory on a GPU, so that it writes pictures there; "" for none.
    """

    array: npt.NDArray[Any]
    name: str
    direct: str
    on_device: str

    def deliver(self, byte_size: int, without: Iterable[int] = ()) -> None:
        """Bring the first `byte_size` bytes of `array` to where the server reads them, but for rows already there."""

    def move_on_device(self, target: int, source: int) -> None:
        """Copy a row that another process wrote on the GPU to another row's place there."""

    def close(self) -> None:
        """Give the memory back, here and on the server."""


class BytesRegion:
    """Pictures travel inside the gRPC message."""

    name = ""
    direct = ""
    on_device = ""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.array = np.zeros(shape, dtype=dtype)

    def deliver(self, byte_size: int, without: Iterable[int] = ()) -> None:
        """Nothing to do: the message carries them."""

    def move_on_device(self, target: int, source: int) -> None:
        """Nothing was written on a GPU."""

    def close(self) -> None:
        """Nothing to give back."""


class SystemRegion:
    """POSIX shared memory that the server has mapped too; the request names it.

    Its name is removed from /dev/shm as soon as the server holds it, so that nothing stays behind
    however this process or the server ends. Its descriptor stays open and locked: the embedded server's model processes
    open the memory by it, and see by the lock whether it is still used. Whoever names the memory to them must know
    its random name, too.
    """

    on_device = ""

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
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise TransportError(f"no shared memory on this machine: {said_of_file(exc)}; use transport grpc") from exc
        try:
            os.posix_fallocate(descriptor, 0, byte_size)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            memory = mmap.mmap(descriptor, byte_size)
            register(self.name, f"/{self.name}", byte_size)
        except BaseException as exc:
            os.close(descriptor)
            if not isinstance(exc, OSError):
                raise
            raise TransportError(f"{byte_size} bytes of shared memory cannot be had: {said_of_file(exc)}") from exc
        finally:
            path.unlink()
        self._descriptor = descriptor
        self.direct = f"{os.getpid()}/{descriptor}/{os.fstat(descriptor).st_ino}/{self.name}"
        self.array: npt.NDArray[Any] = np.frombuffer(memory, dtype=dtype).reshape(shape)

    def deliver(self, byte_size: int, without: Iterable[int] = ()) -> None:
        """Nothing to do: the server reads the same memory."""

    def move_on_device(self, target: int, source: int) -> None:
        """Nothing was written on a GPU."""

    def close(self) -> None:
        """Make the server let go; a server that is gone already has. The memory goes with its last view."""
        unregister_when_idle(self._unregister, self.name)
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # views of `array` keep the file, and the lock with it
            os.close(self._descriptor)
            self._descriptor = -1


def unregister_when_idle(
    unregister: Callable[[str], None],
    name: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Make the server let go of a region; False when a request still used it after RELEASE_TIMEOUT_S.

    Triton refuses as long as a request is queued or running that its client has given up.
    """
    deadline = clock() + RELEASE_TIMEOUT_S
    while True:
        try:
            unregister(name)
        except InferenceError as exc:
            if "in use" not in str(exc):
                return True  # the server is gone, or knows no such region any more
            if clock() >= deadline:
                _log.warning("%s is still used by a request that timed out; the server keeps it until it ends", name)
                return False
            sleep(0.05)
        else:
            return True


def region_name() -> str:
    """A name that no other region has, and that tells whose it is: process, then machine."""
    return f"{_PREFIX}{os.getpid()}-{machine_key()}-{secrets.token_hex(16)}"


def is_orphaned(name: str) -> bool:
    """Whether a region that a server holds belonged to a process of this machine that is gone."""
    owner, _, rest = name.removeprefix(_PREFIX).partition("-")
    if not (name.startswith(_PREFIX) and owner.isdigit() and rest.partition("-")[0] == machine_key() != ""):
        return False
    return not is_alive(int(owner))


def machine_key() -> str:
    """What tells this machine's process ids, since it was started, from others' and a container's; "" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return hashlib.sha256(f"{boot}{Path('/proc/self/ns/pid').readlink()}".encode()).hexdigest()[:8]
    except OSError:
        return ""
