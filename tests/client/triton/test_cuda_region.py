"""CUDA shared memory: the order of calls against host memory here, the real thing where there is a GPU."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from photofinish.client.triton.cuda_region import CudaRegion, load_runtime
from photofinish.client.triton.regions import TransportError
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import CUDA_SHM
from photofinish.errors import ConfigError, RequestRejectedError
from tests.client.fake_triton import FakeModel, FakeTriton
from tests.client.triton.test_session import echo_sums, served


class HostRuntime:
    """The CUDA runtime's functions with host memory for the GPU's. fail: the function that fails."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToDevice=3)  # noqa: N815

    def __init__(self, fail=""):
        self.fail = fail
        self.memory = {}
        self.open = []
        self.handles = []
        self.devices = []

    def __getattr__(self, name):
        def call(*args):
            if name == self.fail:
                return (2,)
            return (0, *self.run(name, *args))

        return call

    def cudaGetErrorString(self, error):  # noqa: N802
        return (0, b"out of memory")

    def run(self, name, *args):
        if name == "cudaMalloc":
            buffer = ctypes.create_string_buffer(args[0])
            self.memory[ctypes.addressof(buffer)] = buffer
            return (ctypes.addressof(buffer),)
        if name == "cudaSetDevice":
            self.devices.append(args[0])
        if name == "cudaFree":
            del self.memory[args[0]]
        if name == "cudaMemcpyAsync":
            ctypes.memmove(*args[:3])
        if name == "cudaStreamCreate":
            self.open.append("stream")
            return ("stream",)
        if name == "cudaHostRegister":
            self.open.append(args[0])
        if name in ("cudaHostUnregister", "cudaStreamDestroy"):
            self.open.remove(args[0])
        if name == "cudaIpcGetMemHandle":
            raw = ctypes.create_string_buffer(int(args[0]).to_bytes(8, "little"), 64)
            self.handles.append(raw)
            return (SimpleNamespace(getPtr=lambda: ctypes.addressof(raw)),)
        return ()


def test_pixels_arrive_through_gpu_memory(monkeypatch):
    runtime = HostRuntime()
    monkeypatch.setattr("photofinish.client.triton.cuda_region.load_runtime", lambda: runtime)
    with FakeTriton(FakeModel(infer=echo_sums)) as server:
        with Session(server.url, served(server), transport=CUDA_SHM, slots=2, batch_size=2) as session:
            assert session.transport == CUDA_SHM
            slot = session.acquire()
            slot.input_array[:] = 0
            slot.input_array[:, 0, 0, 0] = (3, 4)
            assert session.infer(slot)[:, 0, 0].tolist() == [3, 4]
            assert session.infer(slot, 1)[:, 0, 0].tolist() == [3]
            assert len(runtime.memory) == 2
        assert not server.regions
    assert not runtime.memory
    assert not runtime.open


@pytest.mark.parametrize("function", ["cudaHostRegister", "cudaMalloc", "cudaStreamCreate", "cudaIpcGetMemHandle"])
def test_what_was_taken_is_given_back_when_a_step_fails(function):
    runtime = HostRuntime(fail=function)
    with pytest.raises(TransportError, match=f"{function}: out of memory"):
        CudaRegion((4,), np.uint8, register=lambda *a: None, unregister=lambda name: None, runtime=runtime)
    assert not runtime.memory
    assert not runtime.open


def test_what_was_taken_is_given_back_when_the_server_refuses():
    def refuse(*args):
        raise RequestRejectedError("no")

    runtime = HostRuntime()
    with pytest.raises(RequestRejectedError):
        CudaRegion((4,), np.uint8, register=refuse, unregister=lambda name: None, runtime=runtime)
    assert not runtime.memory


def test_memory_that_the_server_still_reads_is_not_freed(monkeypatch):
    def refuse(name):
        raise RequestRejectedError(f"Cannot unregister shared memory region '{name}', it is currently in use.")

    monkeypatch.setattr("photofinish.client.triton.regions.RELEASE_TIMEOUT_S", 0.0)
    runtime = HostRuntime()
    region = CudaRegion((4,), np.uint8, register=lambda *a: None, unregister=refuse, runtime=runtime)
    region.close()
    assert len(runtime.memory) == 1


def test_without_a_gpu_it_is_one_clear_error():
    try:
        load_runtime()
    except TransportError:
        pass
    else:
        pytest.skip("this machine has a GPU")
    with FakeTriton() as server, pytest.raises(ConfigError, match="CUDA shared memory"):
        Session(server.url, served(server), transport=CUDA_SHM)


@pytest.mark.gpu
def test_a_real_gpu_holds_what_was_written():
    try:
        runtime = load_runtime()
    except TransportError as exc:
        pytest.skip(str(exc))
    registered = []
    region = CudaRegion(
        (2, 8), np.uint8, register=lambda *args: registered.append(args), unregister=registered.append, runtime=runtime
    )
    region.array[:] = np.arange(16).reshape(2, 8)
    region.deliver(16)
    back = np.zeros(16, np.uint8)
    kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
    assert int(runtime.cudaMemcpy(back.ctypes.data, region._device_pointer, 16, kind)[0]) == 0
    assert back.tolist() == list(range(16))
    assert len(registered[0][1]) == 64
    region.close()
    assert registered[1] == registered[0][0]
