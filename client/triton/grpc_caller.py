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


_INFER = "/inference.GRPCInferenceService/ModelInfer"
_RAW_INPUT = service_pb2.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number


class GrpcCaller:
    """Runs one slot's inference over a channel that all slots share. The message is built once for each count.

    Pictures that travel inside it are joined to its head, which saves two copies of them that protobuf makes.
    metadata: what every call carries, such as the server's token.
    """

    def __init__(
        self, channel: Any, url: str, model: ServedModel, region: InputRegion, *, metadata: Metadata = None
    ) -> None:
        self._infer = channel.unary_unary(_INFER, response_deserializer=service_pb2.ModelInferResponse.FromString)
        self._url = url
        self._model = model
        self._region = region
        self._metadata = metadata
        self._heads: dict[int, bytes] = {}

    def call(self, count: int, byte_size: int, timeout_s: float) -> npt.NDArray[np.float32]:
        """The first output of the first `count` pictures, `byte_size` bytes of the region."""
        head = self._heads.get(count)
        if head is None:
            head = self._heads[count] = self._head(count, byte_size)
        message = head if self._region.name else b"".join((head, self._region.array[:count].data))
        answer = call_grpc(self._infer, message, self._url, self._model, timeout_s, metadata=self._metadata)
        try:
            return require_rows(array_from_response(answer), count)
        except (ValueError, LookupError) as exc:
            raise error_from_answer(exc, url=self._url, model=self._model.name) from exc

    def close(self) -> None:
        """Nothing of its own to close."""

    def _head(self, count: int, byte_size: int) -> bytes:
        """The whole message where the region has a name, else all of it but the pictures, which are its last field."""
        request = service_pb2.ModelInferRequest(model_name=self._model.name)
        tensor = self._model.inputs[0]
        shape = (count, *self._region.array.shape[1:])
        sent = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape)
        request.outputs.add(name=self._model.outputs[0].name)
        if self._region.direct:
            request.parameters[DIRECT_PARAMETER].string_param = self._region.direct
        if self._region.name:
            sent.parameters["shared_memory_region"].string_param = self._region.name
            sent.parameters["shared_memory_byte_size"].int64_param = byte_size
            return bytes(request.SerializeToString())
        return bytes(request.SerializeToString()) + bytes_field_start(_RAW_INPUT, byte_size)


def bytes_field_start(number: int, byte_size: int) -> bytes:
    """What stands before the content of a protobuf field of bytes: its number and type, then the content's length."""
    return _varint(number << 3 | 2) + _varint(byte_size)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the high bit set."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))


def call_grpc(
    method: Any, request: Any, url: str, model: ServedModel, timeout_s: float, *, metadata: Metadata = None
) -> Any:
    """The answer to one blocking call of a method of a stub or channel, or one of our errors."""
    try:
        return method(request, timeout=timeout_s, metadata=metadata)
    except grpc.RpcError as exc:
        raise error_from_rpc(exc, url=url, model=model.name) from exc
    except ValueError as exc:  # grpc says "Cannot invoke RPC on closed channel!"
        raise InferenceError("the session is closed", model=model.name, url=url) from exc
