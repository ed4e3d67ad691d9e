"""CUDA graphs through CUDA's driver: what a library launches on our stream, recorded once, replayed at once."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from .driver import CAPTURE_THREAD_LOCAL, Cuda

_CAPABILITY_MAJOR = 75
_CAPABILITY_MINOR = 76


class GraphCuda(Cuda):
    """A GPU that can record what is launched on its stream, and say its compute capability."""

    def __init__(self, device_id: int, *, is_shared: bool = False) -> None:
        """Raise RefusedModelError when there is no driver or no such GPU."""
        super().__init__(device_id, is_shared=is_shared)
        self._device_id = device_id
        self._launch = self._driver["cuGraphLaunch"]
        self._launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p)

    def capability(self) -> tuple[int, int]:
        """The compute capability, e.g. (12, 0)."""
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), self._device_id)
        return self._attribute(device, _CAPABILITY_MAJOR), self._attribute(device, _CAPABILITY_MINOR)

    def _attribute(self, device: ctypes.c_int, number: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), number, device)
        return value.value

    def record(self, launch: Callable[[], None]) -> int:
        """What `launch` puts on the stream, as an executable graph. Raises CudaError when it cannot be recorded."""
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", self._stream, CAPTURE_THREAD_LOCAL)
        try:
            launch()
        finally:
            # Also when the launch failed: the stream is of no use until its capture has ended.
            code = self._driver["cuStreamEndCapture"](self._stream, ctypes.byref(graph))
        self._check(code, "cuStreamEndCapture")
        self._call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        self._owned.append(("cuGraphExecDestroy", int(executable.value or 0)))
        self._call("cuGraphDestroy", graph)
        return int(executable.value or 0)

    def replay(self, executable: int) -> None:
        """Launch a recorded graph on the stream."""
        self._check(self._launch(executable, self._stream), "cuGraphLaunch")
