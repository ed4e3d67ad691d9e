"""A small Triton in this process: real gRPC on a real socket, real shared memory, no model behind it."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.model_card import CARD_PARAMETER, ModelCard
from tests.builders import build_card

Arrays = Mapping[str, npt.NDArray[Any]]
DTYPES = {"UINT8": np.uint8, "FP32": np.float32, "FP16": np.float16, "INT64": np.int64}


def no_detections(inputs: Arrays) -> Arrays:
    """The frames contract's answer when nothing is in the pictures."""
    batch = next(iter(inputs.values())).shape[0]
    return {"detections": np.zeros((batch, MAX_ROWS, ROW_WIDTH), np.float32)}


@dataclass(kw_only=True)
class FakeModel:
    """One served model; dims are without the batch dimension, as in config.pbtxt."""

    name: str = "toy_onnx_fp32"
    card: ModelCard | None = field(default_factory=build_card)
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...] = (("frames", "UINT8", (64, 64, 3)),)
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...] = (("detections", "FP32", (MAX_ROWS, ROW_WIDTH)),)
    infer: Callable[[Arrays], Arrays] = no_detections
    max_batch_size: int = 32
    parameters: dict[str, str] = field(default_factory=dict)
    gpus: tuple[int, ...] = ()
    is_ready: bool = True

    def all_parameters(self) -> dict[str, str]:
        card = {CARD_PARAMETER: self.card.to_parameter()} if self.card else {}
        return {**card, **self.parameters}


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Serves `models` on 127.0.0.1. Change `delay_s`, `failure` or `refuse_shared_memory` at any time.

    failure: (status code, message) that every ModelInfer answers with. vanish() drops all connections at once.
    """

    def __init__(self, *models: FakeModel, delay_s: float = 0.0, refuse_shared_memory: bool = False) -> None:
        self.models = {model.name: model for model in models or (FakeModel(),)}
        self.delay_s = delay_s
        self.refuse_shared_memory = refuse_shared_memory
        self.failure: tuple[grpc.StatusCode, str] | None = None
        self.is_ready = True
        self.regions: dict[str, Any] = {}
        self.region_gpus: dict[str, int] = {}
        self.requests: list[service_pb2.ModelInferRequest] = []
        self.url = ""
        self._gone = threading.Event()
        self._server: Any = None

    def __enter__(self) -> FakeTriton:
        options = [("grpc.max_receive_message_length", 1 << 30), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(max_workers=8), options=options)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.vanish()

    def vanish(self) -> None:
        """Go away as a killed server does: every connection is dropped, nothing is answered."""
        self._gone.set()
        self._server.stop(grace=None).wait(5)

    def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=self.is_ready)

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="triton", version="2.51.0")

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = self.models.get(request.name)
        return service_pb2.ModelReadyResponse(ready=model is not None and model.is_ready)

    def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        response = service_pb2.RepositoryIndexResponse()
        for model in self.models.values():
            state, reason = ("READY", "") if model.is_ready else ("UNAVAILABLE", "broken on purpose")
            response.models.add(name=model.name, version="1", state=state, reason=reason)
        return response

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = self._find(request.name, context)
        response = service_pb2.ModelMetadataResponse(name=model.name, versions=["1"])
        for kind, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
            for name, datatype, dims in tensors:
                shape = [-1, *dims] if model.max_batch_size else list(dims)
                getattr(response, kind).add(name=name, datatype=datatype, shape=shape)
        return response

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = self._find(request.name, context)
        config = model_config_pb2.ModelConfig(name=model.name, max_batch_size=model.max_batch_size)
        for key, value in model.all_parameters().items():
            config.parameters[key].string_value = value
        if model.gpus:
            config.instance_group.add(count=1, gpus=model.gpus)
        return service_pb2.ModelConfigResponse(config=config)

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        if self.delay_s and self._gone.wait(self.delay_s):
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        if self.failure:
            context.abort(*self.failure)
        model = self._find(request.model_name, context)
        inputs = {tensor.name: self._read(request, position) for position, tensor in enumerate(request.inputs)}
        response = service_pb2.ModelInferResponse(model_name=model.name, model_version="1")
        datatypes = {name: datatype for name, datatype, _ in model.outputs}
        for name, array in model.infer(inputs).items():
            response.outputs.add(name=name, datatype=datatypes[name], shape=list(array.shape))
            response.raw_output_contents.append(np.ascontiguousarray(array).tobytes())
        return response

    def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.refuse_shared_memory:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "client shared memory is disabled")
        try:
            descriptor = os.open(Path("/dev/shm") / request.key.lstrip("/"), os.O_RDWR)
        except OSError as exc:
            context.abort(grpc.StatusCode.INTERNAL, f"Unable to open shared memory region: '{request.key}' ({exc})")
        try:
            self.regions[request.name] = mmap.mmap(descriptor, request.byte_size)
        finally:
            os.close(descriptor)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:  # noqa: N802
        for name in [request.name] if request.name else list(self.regions):
            self.regions.pop(name, None)
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    def SystemSharedMemoryStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        response = service_pb2.SystemSharedMemoryStatusResponse()
        for name in self.regions:
            response.regions[name].name = name
        return response

    def CudaSharedMemoryRegister(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The handle holds the address, since client and server are one process here."""
        address = int.from_bytes(request.raw_handle[:8], "little")
        self.region_gpus[request.name] = request.device_id
        self.regions[request.name] = (ctypes.c_char * request.byte_size).from_address(address)
        return service_pb2.CudaSharedMemoryRegisterResponse()

    def CudaSharedMemoryUnregister(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.regions.pop(request.name, None)
        self.region_gpus.pop(request.name, None)
        return service_pb2.CudaSharedMemoryUnregisterResponse()

    def _find(self, name: str, context: Any) -> FakeModel:
        model = self.models.get(name)
        if model is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
            raise AssertionError("abort raises")
        return model

    def _read(self, request: Any, position: int) -> npt.NDArray[Any]:
        tensor = request.inputs[position]
        dtype = np.dtype(DTYPES[tensor.datatype])
        parameters = tensor.parameters
        if "shared_memory_region" in parameters:
            region = self.regions[parameters["shared_memory_region"].string_param]
            start = parameters["shared_memory_offset"].int64_param if "shared_memory_offset" in parameters else 0
            size = parameters["shared_memory_byte_size"].int64_param
            raw: bytes = region[start : start + size]
        else:
            raw = request.raw_input_contents[position]
        return np.frombuffer(raw, dtype).reshape(tuple(tensor.shape))


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Return when `condition` holds; fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true in time"
        time.sleep(0.005)
