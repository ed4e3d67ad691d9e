"""Inference requests over gRPC."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from photofinish.client.triton.errors import error_from_answer, error_from_rpc
from photofinish.client.triton.regions import DIRECT_PARAMETER, InputRegion
from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.tensors import array_from_response, require_rows
from photofinish.errors import InferenceError

Metadata = tuple[tuple[str, str], ...] | None
"""Names and values beside a request; None for none."""


class GrpcCaller:
    """Runs one slot's inference over a channel that all slots share. The request is built once and changed in place.

    metadata: what every call carries, such as the server's token.
    """

    def __init__(
        self, stub: Any, url: str, model: ServedModel, region: InputRegion, *, metadata: Metadata = None
    ) -> None:
        self._stub = stub
        self._url = url
        self._model = model
        self._region = region
        self._metadata = metadata
        self._request = service_pb2.ModelInferRequest(model_name=model.name)
        tensor = model.inputs[0]
        self._input = self._request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=region.array.shape)
        self._request.outputs.add(name=model.outputs[0].name)
        if region.name:
            self._input.parameters["shared_memory_region"].string_param = region.name
        else:
            self._request.raw_input_contents.append(b"")
        if region.direct:
            self._request.parameters[DIRECT_PARAMETER].string_param = region.direct

    def call(self, count: int, byte_size: int, timeout_s: float) -> npt.NDArray[np.float32]:
        """The first output of the first `count` pictures, `byte_size` bytes of the region."""
        if self._input.shape[0] != count:
            self._input.shape[0] = count
        if self._region.name:
            self._input.parameters["shared_memory_byte_size"].int64_param = byte_size
        else:
            self._request.raw_input_contents[0] = self._region.array[:count].tobytes()
        answer = call_grpc(
            self._stub, "ModelInfer", self._request, self._url, self._model, timeout_s, metadata=self._metadata
        )
        try:
            return require_rows(array_from_response(answer), count)
        except (ValueError, LookupError) as exc:
            raise error_from_answer(exc, url=self._url, model=self._model.name) from exc

    def close(self) -> None:
        """Nothing of its own to close."""


def call_grpc(
    stub: Any, method: str, request: Any, url: str, model: ServedModel, timeout_s: float, *, metadata: Metadata = None
) -> Any:
    """The answer to one blocking call, or one of our errors."""
    try:
        return getattr(stub, method)(request, timeout=timeout_s, metadata=metadata)
    except grpc.RpcError as exc:
        raise error_from_rpc(exc, url=url, model=model.name) from exc
    except ValueError as exc:  # grpc says "Cannot invoke RPC on closed channel!"
        raise InferenceError("the session is closed", model=model.name, url=url) from exc
