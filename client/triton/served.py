"""What a Triton server serves, asked over gRPC with deadlines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from photofinish.access.token import access_to, listening_address
from photofinish.client.triton.errors import error_from_triton
from photofinish.client.triton.foreign_models import card_from_tensors
from photofinish.client.triton.tensors import TensorInfo, tensor_from_metadata
from photofinish.errors import (
    ConfigError,
    InferenceError,
    ModelNotFoundError,
    ModelRepositoryError,
    RequestTimeoutError,
    ServerUnavailableError,
)
from photofinish.machine.addresses import is_loopback
from photofinish.model_card import CARD_PARAMETER, ModelCard, card_from_parameter

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)
"""No limit on message size: a batch of FP32 pictures is larger than gRPC's default of 4 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """One model as the server describes it.

    card: Photofinish's own, or one concluded from the tensors of a model made elsewhere; None when neither is
    possible, and then `problem` says why. has_own_card tells which. gpus: those with instances of it, as the server
    counts them; () on the CPU.
    """

    name: str
    card: ModelCard | None
    has_own_card: bool
    problem: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    max_batch_size: int
    gpus: tuple[int, ...] = ()

    def require_card(self) -> ModelCard:
        """The card, or a ModelRepositoryError that says what this client lacks."""
        if self.card is None:
            raise ModelRepositoryError(f"{self.name} cannot be used: {self.problem}")
        return self.card

    def input_dims(self) -> tuple[int, ...]:
        """One picture's input shape; sides the server leaves open come from the card."""
        card = self.require_card()
        width, height = card.input_wh
        closed = (3, height, width) if card.contract == "tensor" else (height, width, 3)
        dims = self.inputs[0].dims
        if len(self.inputs) != 1 or len(dims) != 3:
            raise ModelRepositoryError(f"{self.name} must have one picture as input, found {list(self.inputs)}")
        return tuple(side if side > 0 else given for side, given in zip(dims, closed, strict=True))


def grpc_target(url: str) -> str:
    """`host:port` from `host:port` or `grpc://host:port`. Raises ConfigError for anything else."""
    target = url.removeprefix("grpc://").rstrip("/")
    host, colon, port = target.rpartition(":")
    if "://" in target or not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(
            f"the server's address must be host:port of its gRPC endpoint, got {url!r}; try 127.0.0.1:8001"
        )
    return listening_address(target)


def channel_options(target: str) -> list[tuple[str, int]]:
    """gRPC channel options; a proxy from the environment is not used for this machine itself."""
    return [*CHANNEL_OPTIONS, *([("grpc.enable_http_proxy", 0)] if is_loopback(target) else [])]


class TritonClient:
    """Asks a server what it serves. Every call has a deadline and fails with one of our errors."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self.url = grpc_target(url)
        self.timeout_s = timeout_s
        self._client: Any = triton_grpc.InferenceServerClient(self.url, channel_args=channel_options(self.url))

    def __enter__(self) -> TritonClient:
        """The client itself; the connection is made by the first call."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._client.close()

    def is_ready(self, timeout_s: float | None = None) -> bool:
        """Whether the server answers that it is ready."""
        return bool(self._call("is_server_ready", timeout_s=timeout_s))

    def wait_until_ready(
        self,
        timeout_s: float,
        models: tuple[str, ...] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Return once the server and these models are ready.

        Raises ServerUnavailableError when no server answered in time, ModelNotFoundError when a model is not ready.
        """
        deadline = clock() + timeout_s
        while True:
            left_s = max(deadline - clock(), 0.1)
            try:
                waiting_for = self._first_unready(models, min(left_s, self.timeout_s))
                if waiting_for is None:
                    return
                failure: InferenceError = waiting_for
            except (ServerUnavailableError, RequestTimeoutError) as exc:
                failure = exc
            if clock() >= deadline:
                raise failure
            sleep(0.1)

    def _first_unready(self, models: tuple[str, ...], timeout_s: float) -> InferenceError | None:
        for name in models:
            if not self._call("is_model_ready", name, timeout_s=timeout_s):
                return self._not_found(name)
        if not self.is_ready(timeout_s):
            return ServerUnavailableError(f"the server at {self.url} is live but not ready", url=self.url)
        return None

    def server_version(self) -> str:
        """Triton's own version, e.g. `2.51.0`."""
        return str(self._call("get_server_metadata").version)

    def model_names(self) -> tuple[str, ...]:
        """Names of the models that are ready, sorted."""
        return tuple(sorted(name for name, reason in self._index().items() if reason is None))

    def models(self) -> tuple[ServedModel, ...]:
        """Every model that is ready, sorted by name."""
        return tuple(self.model(name) for name in self.model_names())

    def model(self, name: str) -> ServedModel:
        """One model. Raises ModelNotFoundError naming what is served instead."""
        try:
            metadata = self._call("get_model_metadata", name)
            config = self._call("get_model_config", name).config
        except ModelNotFoundError as exc:
            raise self._not_found(name) from exc
        inputs, outputs = (
            tuple(tensor_from_metadata(tensor, config.max_batch_size) for tensor in tensors)
            for tensors in (metadata.inputs, metadata.outputs)
        )
        parameters = {key: value.string_value for key, value in config.parameters.items()}
        has_own_card = CARD_PARAMETER in parameters
        card, problem = None, ""
        try:
            if has_own_card:
                card = card_from_parameter(parameters[CARD_PARAMETER])
            else:
                card = card_from_tensors(name, inputs, outputs, backend=config.backend, parameters=parameters)
        except ModelRepositoryError as exc:
            problem = str(exc)
        return ServedModel(
            name=name,
            card=card,
            has_own_card=has_own_card,
            problem=problem,
            inputs=inputs,
            outputs=outputs,
            max_batch_size=config.max_batch_size,
            gpus=tuple(sorted({number for group in config.instance_group for number in group.gpus})),
        )

    def _index(self) -> dict[str, str | None]:
        """Model name to None when ready, else the reason why not."""
        entries: dict[str, str | None] = {}
        for entry in self._call("get_model_repository_index").models:
            if entry.state == "READY":
                entries[entry.name] = None
            else:
                entries.setdefault(entry.name, entry.reason or entry.state.lower() or "not loaded")
        return entries

    def _not_found(self, name: str) -> ModelNotFoundError:
        index = self._index()
        ready = ", ".join(sorted(key for key, reason in index.items() if reason is None and key != name)) or "nothing"
        found = "is not served"
        if name in index:  # Triton calls it ready, whatever became of its process
            found = f"is not ready ({index[name] or 'a model process ended; it is starting again'})"
        return ModelNotFoundError(f"{name} {found} at {self.url}; ready there: {ready}", model=name, url=self.url)

    def _call(self, method: str, *args: str, timeout_s: float | None = None) -> Any:
        model = args[0] if args else ""
        # Anew for each question: a server that is waited for, or started again, has another token.
        headers = access_to(self.url).grpc_headers
        try:
            return getattr(self._client, method)(*args, headers=headers, client_timeout=timeout_s or self.timeout_s)
        except InferenceServerException as exc:
            error = error_from_triton(exc, url=self.url, model=model)
            if isinstance(error, RequestTimeoutError):
                raise ServerUnavailableError(
                    f"no answer from {self.url} within {timeout_s or self.timeout_s:g} s; is a server running there?",
                    model=model,
                    url=self.url,
                ) from exc
            raise error from exc
