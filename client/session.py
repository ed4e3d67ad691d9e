"""One model over one transport, with a fixed number of slots in flight."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Literal, get_args

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2, service_pb2_grpc

from client.cuda_region import CudaRegion
from client.regions import BytesRegion, InputRegion, SystemRegion, TransportError
from client.tensors import DTYPES, array_from_response
from client.translation import error_from_rpc
from client.triton import ServedModel, channel_options, grpc_target
from photofinish.errors import ConfigError, InferenceError, RequestTimeoutError

Transport = Literal["grpc", "system_shm", "cuda_shm"]
"""How a picture reaches the server: inside the message, or through memory or GPU memory shared on one machine."""

TransportChoice = Transport | Literal["auto"]
"""A transport, or the first of AUTOMATIC_ORDER that this machine and the server accept."""
TRANSPORT_CHOICES: tuple[str, ...] = ("auto", *get_args(Transport))
AUTOMATIC_ORDER: tuple[Transport, ...] = ("system_shm", "grpc")


def ignore_notice(text: str) -> None:
    """Drop a notice."""


class Slot:
    """Room for one request: write into `input_array` (batch, …), then submit.

    sent_ns and received_ns: perf_counter_ns around the latest call.
    """

    def __init__(self, region: InputRegion, request: Any) -> None:
        self.input_array = region.array
        self.sent_ns = 0
        self.received_ns = 0
        self._region = region
        self._request = request

    def prepare_request(self, count: int) -> Any:
        """The ModelInferRequest for the first `count` pictures of this slot."""
        tensor = self._request.inputs[0]
        if tensor.shape[0] != count:
            tensor.shape[0] = count
        self._region.fill_request(self._request, self.input_array[:count].nbytes)
        return self._request

    def close(self) -> None:
        """Give the slot's memory back."""
        self._region.close()


class Session:
    """Sends pictures to one model. Slots are acquired, written, submitted and released; results are float32.

    The request of a slot is built once; sending costs one blocking call in a thread of the session's own pool,
    which measured less time and less spread than gRPC's futures. Safe to use from several threads.
    """

    def __init__(
        self,
        url: str,
        model: ServedModel,
        *,
        transport: TransportChoice = "auto",
        slots: int = 4,
        batch_size: int = 1,
        timeout_s: float = 10.0,
        on_notice: Callable[[str], None] = ignore_notice,
    ) -> None:
        """Connect and allocate. transport "auto" takes shared memory where the server accepts it, else gRPC."""
        if transport not in TRANSPORT_CHOICES:
            raise ConfigError(f"transport must be of {', '.join(TRANSPORT_CHOICES)}, got {transport!r}")
        if slots < 1 or not 1 <= batch_size <= max(model.max_batch_size, 1):
            raise ConfigError(
                f"{model.name}: slots must be at least 1 and batch_size within 1..{max(model.max_batch_size, 1)}, "
                f"got {slots} and {batch_size}"
            )
        self.url = grpc_target(url)
        self.model = model
        self.batch_size = batch_size
        self.timeout_s = timeout_s
        self._channel: Any = grpc.insecure_channel(self.url, options=channel_options(self.url))
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._pool = ThreadPoolExecutor(max_workers=slots, thread_name_prefix="photofinish-session")
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._running: set[Future[npt.NDArray[np.float32]]] = set()
        self._slots: list[Slot] = []
        self.transport: Transport = "grpc"
        try:
            self._allocate(transport, slots, on_notice)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Session:
        """The session itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; see `close`."""
        self.close()

    def acquire(self, timeout_s: float | None = None) -> Slot:
        """A free slot; RequestTimeoutError when none became free in `timeout_s` (default: the session's)."""
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        try:
            return self._free.get(timeout=limit_s)
        except queue.Empty as exc:
            raise RequestTimeoutError(
                f"{self.model.name} at {self.url}: all {len(self._slots)} requests still in flight after {limit_s:g} s",
                model=self.model.name,
                url=self.url,
            ) from exc

    def release(self, slot: Slot) -> None:
        """Make the slot free for the next request."""
        self._free.put(slot)

    def submit(self, slot: Slot, count: int | None = None) -> Future[npt.NDArray[np.float32]]:
        """Send the slot's first `count` pictures (default: all); the future gives the first output, batch first."""
        future = self._pool.submit(self.infer, slot, count)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def infer(self, slot: Slot, count: int | None = None) -> npt.NDArray[np.float32]:
        """As `submit`, waiting for the result in the caller's thread."""
        slot.sent_ns = time.perf_counter_ns()
        request = slot.prepare_request(self.batch_size if count is None else count)
        response = self._call("ModelInfer", request)
        slot.received_ns = time.perf_counter_ns()
        return array_from_response(response)

    def close(self) -> None:
        """Wait for what is in flight (bounded by its deadline), give the memory back, close the connection."""
        wait(set(self._running), timeout=self.timeout_s)
        for slot in self._slots:
            slot.close()
        self._slots.clear()
        self._channel.close()
        self._pool.shutdown(wait=True)

    def _allocate(self, wanted: TransportChoice, slots: int, on_notice: Callable[[str], None]) -> None:
        candidates = AUTOMATIC_ORDER if wanted == "auto" else (wanted,)
        for position, transport in enumerate(candidates):
            try:
                self._slots = self._make_slots(transport, slots)
            except (TransportError, InferenceError) as exc:
                if position == len(candidates) - 1:
                    raise
                on_notice(f"no {transport} with the server, pictures go by {candidates[position + 1]} instead ({exc})")
            else:
                self.transport = transport
                break
        for slot in self._slots:
            self._free.put(slot)

    def _make_slots(self, transport: Transport, count: int) -> list[Slot]:
        made: list[Slot] = []
        try:
            for _ in range(count):
                made.append(self._make_slot(transport))
        except BaseException:
            for slot in made:
                slot.close()
            raise
        return made

    def _make_slot(self, transport: Transport) -> Slot:
        tensor = self.model.inputs[0]
        shape = (self.batch_size, *self.model.input_dims())
        dtype = DTYPES[tensor.datatype]
        region: InputRegion
        if transport == "grpc":
            region = BytesRegion(shape, dtype)
        elif transport == "system_shm":
            region = SystemRegion(shape, dtype, register=self._register_system, unregister=self._unregister_system)
        else:
            region = CudaRegion(shape, dtype, register=self._register_cuda, unregister=self._unregister_cuda)
        request = service_pb2.ModelInferRequest(model_name=self.model.name)
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=list(shape))
        request.outputs.add(name=self.model.outputs[0].name)
        return Slot(region, request)

    def _register_system(self, name: str, key: str, byte_size: int) -> None:
        request = service_pb2.SystemSharedMemoryRegisterRequest(name=name, key=key, byte_size=byte_size)
        self._call("SystemSharedMemoryRegister", request)

    def _unregister_system(self, name: str) -> None:
        self._call("SystemSharedMemoryUnregister", service_pb2.SystemSharedMemoryUnregisterRequest(name=name))

    def _register_cuda(self, name: str, raw_handle: bytes, device_id: int, byte_size: int) -> None:
        request = service_pb2.CudaSharedMemoryRegisterRequest(
            name=name, raw_handle=raw_handle, device_id=device_id, byte_size=byte_size
        )
        self._call("CudaSharedMemoryRegister", request)

    def _unregister_cuda(self, name: str) -> None:
        self._call("CudaSharedMemoryUnregister", service_pb2.CudaSharedMemoryUnregisterRequest(name=name))

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=self.timeout_s)
        except grpc.RpcError as exc:
            raise error_from_rpc(exc, url=self.url, model=self.model.name) from exc
        except ValueError as exc:  # grpc says "Cannot invoke RPC on closed channel!"
            raise InferenceError("the session is closed", model=self.model.name, url=self.url) from exc
