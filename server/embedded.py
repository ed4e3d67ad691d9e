"""A Triton server of one's own: started on a repository, ready when the block begins, gone when it ends."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from photofinish.errors import ModelRepositoryError, PhotofinishError, ServerError
from photofinish.wheels import print_progress
from server.command import tritonserver_command
from server.control import ModelLoadError, is_ready, load_model
from server.ports import LOOPBACK, Ports, choose_ports
from server.run_folder import fill_run_folder, server_environment
from server.supervisor import remove_shared_memory
from server.triton_files import TRITON_VERSION, find_triton

STOP_TIMEOUT_S = 10.0
POLL_S = 0.05
REMINDER_S = 10.0
_PARALLEL_LOADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEndpoint:
    """Where a server answers; each address is "host:port". pid: of the tritonserver process."""

    grpc_url: str
    http_url: str
    metrics_url: str
    pid: int
    kind: str = "embedded"
    version: str = TRITON_VERSION


class EmbeddedServer:
    """A Triton server on loopback. `with EmbeddedServer(repository) as server: server.endpoint.grpc_url`.

    models: names to load, all of the repository when empty. A port of 0 takes any free one. The block begins when
    every model is ready, and raises ModelRepositoryError with the model and Triton's reason when one cannot be loaded,
    ServerError when the server itself cannot run. The server also ends when this process dies, in whatever way.
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
        on_progress: Callable[[str], None] = print_progress,
    ) -> None:
        self.log_path = (log_path or default_log_path()).absolute()
        self._repository = repository.absolute()
        self._models = models
        self._ports_given = {"grpc": grpc_port, "http": http_port, "metrics": metrics_port}
        self._ready_timeout_s = ready_timeout_s
        self._on_progress = on_progress
        self._supervisor: subprocess.Popen[str] | None = None
        self._endpoint: ServerEndpoint | None = None

    @property
    def endpoint(self) -> ServerEndpoint:
        """The server's addresses. Raises ServerError before the block begins."""
        if self._endpoint is None:
            raise ServerError("the embedded server is not running; use it inside its `with` block")
        return self._endpoint

    def is_alive(self) -> bool:
        """Whether the server's process still runs."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def wait(self, timeout_s: float) -> bool:
        """Wait until the server has ended; False when it still runs after `timeout_s`."""
        if self._supervisor is None:
            return True
        try:
            self._supervisor.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def __enter__(self) -> EmbeddedServer:
        """Start the server and wait until every model is ready."""
        if self._supervisor is not None:
            raise ServerError("this embedded server is already running; create another one")
        models = self._models or models_in(self._repository)
        if missing := sorted(set(models) - set(models_in(self._repository))):
            raise ModelRepositoryError(
                f"{self._repository} has no model {', '.join(missing)}; it holds {list(models_in(self._repository))}"
            )
        ports = choose_ports(**self._ports_given)
        deadline = time.monotonic() + self._ready_timeout_s
        try:
            self._start(ports)
            self._wait_live(ports, deadline)
            self._load(models, ports, deadline)
            self._wait_ready(ports, deadline)
        except BaseException:
            self.stop()
            raise
        self._on_progress(f"server ready at {self.endpoint.grpc_url} with {len(models)} models")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server; no process and no shared memory is left."""
        self.stop()

    def stop(self) -> None:
        """Stop the server if it runs. May be called again."""
        supervisor, self._supervisor, self._endpoint = self._supervisor, None, None
        if supervisor is None:
            return
        if supervisor.stdin:
            supervisor.stdin.close()
        try:
            supervisor.wait(2 * STOP_TIMEOUT_S + 5)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        if supervisor.stdout:
            supervisor.stdout.close()

    def _start(self, ports: Ports) -> None:
        files = find_triton(self._on_progress)
        remove_stale_shared_memory()
        run_folder = Path(tempfile.mkdtemp(prefix="photofinish-server-"))
        fill_run_folder(run_folder, files)
        try:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            self.log_path.touch()
        except OSError as exc:
            raise ServerError(f"the log {self.log_path} cannot be written: {exc}; choose another place") from exc
        prefix = f"{_SHM_PREFIX}{os.getpid()}_{secrets.token_hex(4)}_"
        plan = {
            "command": tritonserver_command(files, self._repository, run_folder, ports, shm_prefix=prefix),
            "environment": server_environment(run_folder, files, os.environ),
            "log_path": str(self.log_path),
            "parent_pid": os.getpid(),
            "run_folder": str(run_folder),
            "shm_prefix": prefix,
            "stop_timeout_s": STOP_TIMEOUT_S,
        }
        script = Path(__file__).with_name("supervisor.py")
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        line = self._supervisor.stdout.readline() if self._supervisor.stdout else ""
        if not line:
            raise ServerError(f"tritonserver could not be started; {self._log_hint()}")
        self._endpoint = ServerEndpoint(
            grpc_url=f"{LOOPBACK}:{ports.grpc}",
            http_url=f"{LOOPBACK}:{ports.http}",
            metrics_url=f"{LOOPBACK}:{ports.metrics}",
            pid=json.loads(line)["pid"],
        )

    def _wait_live(self, ports: Ports, deadline: float) -> None:
        self._on_progress(f"waiting for tritonserver {TRITON_VERSION} at {self.endpoint.grpc_url}")
        while not is_ready(self.endpoint.grpc_url, 0.2):
            self._check(deadline, "tritonserver to answer")
            time.sleep(POLL_S)

    def _load(self, models: tuple[str, ...], ports: Ports, deadline: float) -> None:
        """Load every model, some at a time, telling which ones are still awaited."""
        waiting = sorted(models)
        with ThreadPoolExecutor(_PARALLEL_LOADS) as pool:
            loads = {pool.submit(self._load_one, name, deadline): name for name in models}
            self._on_progress(f"loading {', '.join(waiting)}")
            stop_reminding = threading.Event()
            reminder = threading.Thread(target=self._remind, args=(waiting, stop_reminding), daemon=True)
            reminder.start()
            try:
                for load in as_completed(loads):
                    load.result()
                    waiting.remove(loads[load])
                    self._on_progress(f"loaded {loads[load]} ({len(models) - len(waiting)} of {len(models)})")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.stop()
                raise
            finally:
                stop_reminding.set()
                reminder.join()

    def _remind(self, waiting: list[str], stop: threading.Event) -> None:
        while not stop.wait(REMINDER_S):
            self._on_progress(f"still loading {', '.join(waiting)}")

    def _load_one(self, name: str, deadline: float) -> None:
        try:
            load_model(self.endpoint.http_url, name, max(deadline - time.monotonic(), 0.1))
        except ModelLoadError as exc:
            raise ModelRepositoryError(f"model {name} cannot be loaded: {exc}; {self._log_hint()}") from exc
        except TimeoutError as exc:
            raise ServerError(
                f"model {name} was not ready within {self._ready_timeout_s:.0f} s; "
                f"give it longer or look at {self.log_path}"
            ) from exc
        except OSError as exc:
            raise ServerError(f"tritonserver ended while loading {name} ({exc}); {self._log_hint()}") from exc

    def _wait_ready(self, ports: Ports, deadline: float) -> None:
        while not is_ready(self.endpoint.grpc_url, 1.0):
            self._check(deadline, "the models to be ready")
            time.sleep(POLL_S)

    def _check(self, deadline: float, awaited: str) -> None:
        if not self.is_alive():
            raise ServerError(f"tritonserver ended while waiting for {awaited}; {self._log_hint()}")
        if time.monotonic() > deadline:
            raise ServerError(
                f"waited {self._ready_timeout_s:.0f} s for {awaited}; give it longer or look at {self.log_path}"
            )

    def _log_hint(self) -> str:
        """The last error line of the log, and where the log is."""
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        errors = [line for line in lines if line.startswith(("E", "F")) or "error" in line.lower()]
        said = f"its log says {errors[-1].split('] ', 1)[-1]!r}; " if errors else ""
        return f"{said}see {self.log_path}"


_SHM_PREFIX = "photofinish_"


def remove_stale_shared_memory() -> None:
    """Remove shared memory that servers of dead Photofinish processes left when their supervisor was killed."""
    for path in Path("/dev/shm").glob(f"{_SHM_PREFIX}[0-9]*_*"):
        owner = path.name.removeprefix(_SHM_PREFIX).split("_", 1)[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            remove_shared_memory(path.name)


def default_log_path() -> Path:
    """A new log file under .photofinish/logs of the working directory."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Path(".photofinish/logs") / f"tritonserver-{stamp}-{os.getpid()}-{secrets.token_hex(2)}.log"


def models_in(repository: Path) -> tuple[str, ...]:
    """The model names in a repository: its folders that hold a config.pbtxt or a numbered version.

    Raises ModelRepositoryError when there is no such folder or none in it.
    """
    try:
        names = tuple(sorted(path.name for path in repository.iterdir() if _is_model(path)))
    except OSError as exc:
        raise ModelRepositoryError(
            f"the model repository {repository} cannot be read: {exc.strerror}; run `photofinish export` first"
        ) from exc
    if not names:
        raise ModelRepositoryError(f"the model repository {repository} holds no model; run `photofinish export` first")
    return names


def _is_model(path: Path) -> bool:
    if not path.is_dir():
        return False
    return (path / "config.pbtxt").is_file() or any(item.name.isdigit() and item.is_dir() for item in path.iterdir())


__all__ = ["EmbeddedServer", "PhotofinishError", "ServerEndpoint", "default_log_path", "models_in"]
