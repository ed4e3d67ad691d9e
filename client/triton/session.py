"""One model over one transport, with a fixed number of slots in flight."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2, service_pb2_grpc

from photofinish.access.token import access_to
from photofinish.client.triton.cuda_region import CudaRegion, gpu_shared_with, words_on_several
from photofinish.client.triton.grpc_caller import GrpcCaller, call_grpc
from photofinish.client.triton.http_caller import HttpCaller, http_address
from photofinish.client.triton.regions import BytesRegion, InputRegion, SystemRegion, TransportError, is_orphaned
from photofinish.client.triton.served import ServedModel, channel_options, grpc_target
from photofinish.client.triton.slot import Caller, Slot
from photofinish.client.triton.tensors import DTYPES
from photofinish.client.triton.transport import GRPC, Transport, TransportChoice, automatic_order
from photofinish.errors import ConfigError, InferenceError, RequestTimeoutError

HTTP_CHECK_TIMEOUT_S = 2.0


def ignore_notice(text: str) -> None:
    """Drop a notice."""


class Session:
    """Sends pictures to one model. Slots are acquired, written, submitted and released; results are float32.

    The message of a slot is built once; sending costs one blocking call in a thread of the session's own pool,
    which measured less time and less spread than gRPC's futures. Safe to use from several threads.
    """

    def __init__(
        self,
        url: str,
        model: ServedModel,
        *,
        http_url: str | None = None,
        transport: TransportChoice = "auto",
        slots: int = 4,
        batch_size: int = 1,
        timeout_s: float = 10.0,
        gpu: int | None = None,
        on_notice: Callable[[str], None] = ignore_notice,
    ) -> None:
        """Connect and allocate. transport "auto" takes shared memory where the server accepts it, else gRPC.

        gpu: where memory shared with the server on a GPU lies, by its number here; None for the first with instances.
        http_url: host:port of Triton's HTTP endpoint; None takes what an embedded server has written down, else the
        port below gRPC's, as Triton has it by default.
        """
        if slots < 1 or not 1 <= batch_size <= max(model.max_batch_size, 1):
            raise ConfigError(
                f"{model.name}: slots must be at least 1 and batch_size within 1..{max(model.max_batch_size, 1)}, "
                f"got {slots} and {batch_size}"
            )
        self.url = grpc_target(url)
        access = access_to(self.url)
        self._metadata = access.grpc_metadata
        self._http_address = http_address(self.url, http_url or access.http_url)
        self._http_token = access.http_token(self._http_address)
        self.model = model
        self.batch_size = batch_size
        self.timeout_s = timeout_s
        self._gpu = gpu_shared_with(model.gpus, gpu)
        self._channel: Any = grpc.insecure_channel(self.url, options=channel_options(self.url))
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._pool = ThreadPoolExecutor(max_workers=slots, thread_name_prefix="photofinish-session")
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._running: set[Future[npt.NDArray[np.float32]]] = set()
        self._slots: list[Slot] = []
        self.transport = GRPC
        self._is_closed = False
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
        self._require_open()
        future = self._pool.submit(self.infer, slot, count)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def infer(self, slot: Slot, count: int | None = None) -> npt.NDArray[np.float32]:
        """As `submit`, waiting for the result in the caller's thread."""
        self._require_open()
        return slot.infer(self.batch_size if count is None else count, self.timeout_s)

    def request_beside(self, slot: Slot, model: ServedModel) -> Slot:
        """Another model's request for the pictures that lie in `slot`. Its input must be the same; closed by its owner.

        It is sent by its own `call`, once the pictures were delivered; closing it leaves their memory as it is.
        """
        return Slot(slot.region, self._caller(self.transport, slot.region, model), owns_region=False)

    def close(self) -> None:
        """Wait for what is in flight (bounded by its deadline), give the memory back, close the connection."""
        self._is_closed = True
        wait(set(self._running), timeout=self.timeout_s)
        for slot in self._slots:
            slot.close()
        self._slots.clear()
        self._channel.close()
        self._pool.shutdown(wait=True)

    def _require_open(self) -> None:
        if self._is_closed:
            raise InferenceError("the session is closed", model=self.model.name, url=self.url)

    def _allocate(self, wanted: TransportChoice, slots: int, on_notice: Callable[[str], None]) -> None:
        card = self.model.card
        order = automatic_order(card.device if card else "", self.batch_size)
        candidates = order if wanted == "auto" else (wanted,)
        refusal: tuple[Transport, Exception] | None = None
        for transport in candidates:
            try:
                self._slots = self._make_slots(transport, slots)
            except (TransportError, InferenceError) as exc:
                if transport == candidates[-1]:
                    raise
                refusal = (transport, exc)
            else:
                self.transport = transport
                break
        if refusal:
            refused, why = refusal
            on_notice(f"no {refused} with the server, pictures go by {self.transport} instead ({why})")
        if self.transport.memory == "cuda" and (cost := words_on_several(self.model.name, self.model.gpus)):
            on_notice(cost)
        for slot in self._slots:
            self._free.put(slot)

    def _make_slots(self, transport: Transport, count: int) -> list[Slot]:
        made: list[Slot] = []
        if transport.memory != "inline":
            self._release_orphans(is_system=transport.memory == "system")
        try:
            for _ in range(count):
                made.append(self._make_slot(transport))
        except BaseException:
            for slot in made:
                slot.close()
            raise
        return made

    def _make_slot(self, transport: Transport) -> Slot:
        shape = (self.batch_size, *self.model.input_dims())
        dtype = DTYPES[self.model.inputs[0].datatype]
        region: InputRegion
        if transport.memory == "inline":
            region = BytesRegion(shape, dtype)
        elif transport.memory == "system":
            region = SystemRegion(shape, dtype, register=self._register_system, unregister=self._unregister_system)
        else:
            region = CudaRegion(
                shape,
                dtype,
                register=self._register_cuda,
                unregister=self._unregister_cuda,
                device_id=self._gpu.here,
                server_device_id=self._gpu.at_server,
            )
        try:
            return Slot(region, self._caller(transport, region, self.model))
        except BaseException:
            region.close()
            raise

    def _caller(self, transport: Transport, region: InputRegion, model: ServedModel) -> Caller:
        if transport.call == "grpc":
            return GrpcCaller(self._channel, self.url, model, region, metadata=self._metadata)
        address, token = self._http_address, self._http_token
        caller = HttpCaller(address, self.url, model, region.name, region.direct, token=token)
        try:
            caller.check_same_server(transport.memory, min(self.timeout_s, HTTP_CHECK_TIMEOUT_S))
        except BaseException:
            caller.close()
            raise
        return caller

    def _release_orphans(self, *, is_system: bool) -> None:
        """Make the server let go of regions whose process was killed: it would keep them as long as it runs."""
        kind = "System" if is_system else "Cuda"
        request = getattr(service_pb2, f"{kind}SharedMemoryStatusRequest")()
        unregister = self._unregister_system if is_system else self._unregister_cuda
        with contextlib.suppress(InferenceError):  # an older or a busy server; nothing depends on it
            for name in self._call(f"{kind}SharedMemoryStatus", request).regions:
                if is_orphaned(name):
                    unregister(name)

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
        called = getattr(self._stub, method)
        return call_grpc(called, request, self.url, self.model, self.timeout_s, metadata=self._metadata)
