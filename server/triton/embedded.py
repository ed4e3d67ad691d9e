"""A Triton server of one's own: started on a repository, ready when the block begins, gone when it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from photofinish.access.token import new_token
from photofinish.errors import ModelRepositoryError, ServerError
from photofinish.machine.addresses import LOOPBACK, is_listener
from photofinish.machine.disk import LOG_FOLDER, log_folder
from photofinish.server.backend.model import GROUP
from photofinish.server.bridge.build import bridge_library
from photofinish.server.triton.control import accepts_connections, is_ready, load_failures
from photofinish.server.triton.files import TRITON_VERSION, TritonFiles, find_triton
from photofinish.server.triton.limits import DESCRIPTORS_REMEDY, shared_memory_scarcity
from photofinish.server.triton.log import ServerLog, gpu_hint, read_end, taken_address
from photofinish.server.triton.ports import (
    PORT_ATTEMPTS,
    Ports,
    PortTakenError,
    choose_ports,
    require_own_listeners,
    require_ports,
)
from photofinish.server.triton.process import ServerProcess, default_log_path
from photofinish.server.triton.run_folder import models_in
from photofinish.wheels import print_progress

POLL_S = 0.05
REMINDER_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEndpoint:
    """Where a server answers; each address is "host:port". pid: of the tritonserver process.

    kind: "embedded with bridge", or "embedded" where Triton's Python backend runs the models; the two differ in speed.
    token_path: the file with the token that other clients than ours must show; "" for an open server.
    """

    grpc_url: str
    http_url: str
    metrics_url: str
    pid: int
    kind: str
    version: str = TRITON_VERSION
    token_path: str = ""


class EmbeddedServer:
    """A Triton server on loopback. `with EmbeddedServer(repository) as server: server.endpoint.grpc_url`.

    models: names to load, all of the repository when empty. A port of 0 takes any free one. The block begins when
    every model is ready, and raises ModelRepositoryError with the model and Triton's reason when one cannot be loaded,
    ServerError when the server itself cannot run. The server also ends when this process dies, in whatever way.
    is_open: everybody who reaches the ports is answered, with or without the server's token. gpu: the one GPU that it
    sees, as this process counts; None for all. cores: on which a model's process computes, by the model's name; others
    compute on all.
    """

    def __init__(
        self,
        repository: Path,
        *,
        models: tuple[str, ...] = (),
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        log_path: Path | None = None,
        ready_timeout_s: float = 300.0,
        is_open: bool = False,
        gpu: int | None = None,
        cores: Mapping[str, Sequence[int]] | None = None,
        on_progress: Callable[[str], None] = print_progress,
    ) -> None:
        self.log_path = (log_path or default_log_path()).absolute()
        self._is_log_elsewhere = log_path is None and log_folder() != LOG_FOLDER
        self._repository = repository.absolute()
        self._models = models
        self._ports_given = {"grpc": grpc_port, "http": http_port, "metrics": metrics_port}
        self._ready_timeout_s = ready_timeout_s
        self._on_progress = on_progress
        self._is_open = is_open
        self.gpu = gpu
        self._cores = cores
        self._token = ""
        self._process: ServerProcess | None = None
        self._endpoint: ServerEndpoint | None = None
        self._scarcity = ""

    @property
    def endpoint(self) -> ServerEndpoint:
        """The server's addresses. Raises ServerError outside the block."""
        if self._endpoint is None:
            raise ServerError("the embedded server is not running; use it inside its `with` block")
        return self._endpoint

    def is_alive(self) -> bool:
        """Whether the server's process still runs."""
        return self._process is not None and self._process.is_alive()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the server has ended by itself; False when it still runs after `timeout_s`."""
        return self._process is None or self._process.wait(timeout_s)

    def how_it_ended(self) -> str:
        """What became of a server that ended by itself. Call it once, after its end."""
        return self._process.how_it_ended() if self._process else "it was stopped"

    def __enter__(self) -> EmbeddedServer:
        """Start the server and wait until every model is ready. A stopped server may be started again."""
        if self._process is not None:
            raise ServerError("this embedded server is already running; leave its block first")
        held = models_in(self._repository)
        models = tuple(dict.fromkeys(self._models)) or held
        if missing := sorted(set(models) - set(held)):
            raise ModelRepositoryError(
                f"{self._repository} has no model {', '.join(missing)}; it holds {', '.join(held)}"
            )
        if self._is_log_elsewhere:
            self._on_progress(f"nothing can be written in this folder, so the log is {self.log_path}")
        self._scarcity = shared_memory_scarcity()
        ports = choose_ports(**self._ports_given)
        files = find_triton(self._on_progress)
        deadline = time.monotonic() + self._ready_timeout_s
        bridge = bridge_library(self._on_progress)
        if bridge is None and os.environ.get(GROUP) == "1":
            self._on_progress(f"{GROUP}=1 needs the bridge: each model has a process of its own")
        self._token = "" if self._is_open else new_token()
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            try:
                self._start(files, models, ports, bridge, deadline)
                break
            except PortTakenError as exc:
                if not attempts_left or all(self._ports_given.values()):
                    raise
                self._on_progress(f"{str(exc).partition(';')[0]}; it starts again with others")
                ports = choose_ports(**self._ports_given)
        self._on_progress(f"server ready at {self.endpoint.grpc_url}, models: {', '.join(models)}")
        return self

    def _start(
        self, files: TritonFiles, models: tuple[str, ...], ports: Ports, bridge: Path | None, deadline: float
    ) -> None:
        """Start it on these ports and wait until it is ready; when that fails nothing of it is left."""
        self._process = ServerProcess(
            files, self._repository, models, ports, self.log_path, bridge, self._token, self.gpu, self._cores
        )
        self._endpoint = ServerEndpoint(
            grpc_url=f"{LOOPBACK}:{ports.grpc}",
            http_url=f"{LOOPBACK}:{ports.http}",
            metrics_url=f"{LOOPBACK}:{ports.metrics}",
            pid=self._process.pid,
            kind="embedded with bridge" if bridge else "embedded",
            token_path=str(self._process.token_path or ""),
        )
        try:
            self._wait_until_ready(self._process, models, deadline)
            self._process.keep_pictures_private()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server; no process and no shared memory is left."""
        self.stop()

    def stop(self) -> None:
        """Stop the server if it runs. May be called again."""
        process, self._process, self._endpoint = self._process, None, None
        if process is not None:
            process.stop()

    def _wait_until_ready(self, process: ServerProcess, models: tuple[str, ...], deadline: float) -> None:
        """Triton answers once it has tried every model; until then its log tells which ones are loaded."""
        self._on_progress(f"tritonserver {TRITON_VERSION} is loading {', '.join(models)}")
        at = self.endpoint
        urls = at.grpc_url, at.http_url, at.metrics_url
        log = ServerLog(self.log_path)
        told = 0
        reminded = time.monotonic()
        while True:
            ready = is_ready(at.grpc_url, POLL_S) and all(map(accepts_connections, (at.http_url, at.metrics_url)))
            log.read_on()
            for name in log.loaded[told:]:
                told += 1
                self._on_progress(f"loaded {name} ({told} of {len(models)})")
            require_own_listeners(urls)
            if ready and all(is_listener(process.pid, int(url.rpartition(":")[2])) for url in urls):
                return
            waiting = ", ".join(name for name in models if name not in log.loaded) or "nothing"
            if not process.is_alive():
                require_ports(taken_address(read_end(self.log_path)))
                raise ServerError(f"tritonserver ended while loading {waiting}; {process.log_hint()}{self._scarcity}")
            if log.lacks_descriptors:
                raise ServerError(
                    f"tritonserver can open no more files, still loading {waiting}: {DESCRIPTORS_REMEDY}; "
                    f"see {self.log_path}"
                )
            if failures := self._failures(models, log.unread):
                raise ModelRepositoryError(f"{failures}{gpu_hint(failures)}; see {self.log_path}{self._scarcity}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"tritonserver was not ready within {self._ready_timeout_s:.0f} s, still loading {waiting}; "
                    f"give it longer or see {self.log_path}{self._scarcity}"
                )
            if time.monotonic() > reminded + REMINDER_S:
                reminded = time.monotonic()
                self._on_progress(f"still loading {waiting}")
            time.sleep(POLL_S)

    def _failures(self, models: tuple[str, ...], unread: Mapping[str, str]) -> str:
        """The models that could not be loaded, with the reasons; "" while the server does not tell."""
        failures = load_failures(self.endpoint.http_url, models, unread, token=self._token)
        return "; ".join(f"model {name} cannot be loaded: {reason}" for name, reason in failures.items())
