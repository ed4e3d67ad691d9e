"""The tritonserver process and its supervisor: started, watched and stopped without a trace."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from photofinish.access import hidden_words
from photofinish.access.token import Access, remove_leftover_tokens, write_access
from photofinish.errors import ConfigError, ServerError
from photofinish.machine.disk import log_folder, why_not_written
from photofinish.machine.processes import is_alive
from photofinish.machine.started_program import StartedProgram
from photofinish.server.triton.command import guards, tritonserver_command
from photofinish.server.triton.files import TritonFiles
from photofinish.server.triton.limits import descriptors_for
from photofinish.server.triton.log import last_error, read_end
from photofinish.server.triton.ports import Ports
from photofinish.server.triton.run_folder import fill_run_folder, one_gpu, own_cores, preloaded, server_environment
from photofinish.server.triton.supervisor import SHARED_MEMORY, remove_shared_memory

STOP_TIMEOUT_S = 10.0
_SHM_PREFIX = "photofinish_"
_FOLDER_PREFIX = "photofinish-server-"


class ServerProcess:
    """A running tritonserver. It ends with `stop`, or when this process dies in whatever way."""

    def __init__(
        self,
        files: TritonFiles,
        repository: Path,
        models: tuple[str, ...],
        ports: Ports,
        log_path: Path,
        bridge: Path | None = None,
        token: str = "",
        gpu: int | None = None,
        cores: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Start it; it does not answer yet. Raises ServerError when it cannot be started.

        bridge: the compiled bridge to the model processes; without it Triton's Python backend runs the models.
        token: what clients must show, kept where ours find it; "" lets everybody in. gpu: the only one that it sees.
        cores: where models compute, by name; others compute on all.
        """
        descriptors = descriptors_for(len(models))
        remove_leftovers()
        try:
            log_path.parent.mkdir(parents=True, exist_ok=True)
            log_path.write_bytes(b"")
        except OSError as exc:
            remedy = "name another one with `photofinish serve --log`, or start in another folder"
            raise ServerError(f"the log {why_not_written(log_path, exc, remedy)}") from exc
        run_folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}_"))
        try:
            fill_run_folder(run_folder, files, repository, models, bridge)
        except BaseException:
            shutil.rmtree(run_folder, ignore_errors=True)
            raise
        self._shm_prefix = prefix = f"{_SHM_PREFIX}{os.getpid()}_{secrets.token_hex(4)}_"
        guarded = guards(token)
        command = tritonserver_command(files, run_folder, ports, model_count=len(models), shm_prefix=prefix)
        try:
            access = Access(token=token, http_port=ports.http, pid=os.getpid())
            self.token_path = write_access(access, ports.grpc) if token else None
        except ConfigError as exc:
            shutil.rmtree(run_folder, ignore_errors=True)
            raise ServerError(str(exc)) from exc
        plan = {
            "descriptors": descriptors,
            "command": [*command, *(f"${name}" for name in guarded)],
            "hidden_words": hidden_words.__file__,
            "token_path": str(self.token_path or ""),
            "log_path": str(log_path),
            "parent_pid": os.getpid(),
            "run_folder": str(run_folder),
            "server_environment": preloaded(bridge, os.environ),
            "shm_prefix": prefix,
            "stop_timeout_s": STOP_TIMEOUT_S,
        }
        self.log_path = log_path
        self._supervisor = StartedProgram(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py")), json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **server_environment(run_folder, files, os.environ),
                **one_gpu(gpu, os.environ),
                **own_cores(cores),
                **guarded,
            },
            text=True,
            start_new_session=True,
        )
        try:
            line = self._supervisor.stdout.readline() if self._supervisor.stdout else ""
        except BaseException:  # Ctrl-C: nobody else knows of the supervisor yet
            self.stop()
            raise
        if not line:
            self.stop()
            raise ServerError(f"tritonserver could not be started; {self.log_hint()}")
        self.pid: int = json.loads(line)["pid"]

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._supervisor.poll() is None

    def keep_pictures_private(self) -> None:
        """Take the shared memory, which Triton makes readable for everybody, from other users. Call it when ready."""
        for path in SHARED_MEMORY.glob(f"{self._shm_prefix}*"):
            path.chmod(0o600)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; False when it still runs after `timeout_s`."""
        try:
            self._supervisor.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def how_it_ended(self) -> str:
        """What became of a server that ended by itself, e.g. "it was ended by SIGSEGV". Call it once, after its end."""
        try:
            line = self._supervisor.stdout.readline() if self._supervisor.stdout else ""
            return str(json.loads(line)["end"])
        except (OSError, ValueError, KeyError):  # the supervisor was ended before it could tell
            return "its supervisor was ended"

    def stop(self) -> None:
        """Stop it, its backends included. Returns when they are gone; may be called again."""
        supervisor = self._supervisor
        if supervisor.stdin:
            supervisor.stdin.close()
        if not self.wait(2 * STOP_TIMEOUT_S + 5):
            supervisor.kill()
            supervisor.wait()
        if supervisor.stdout:
            supervisor.stdout.close()

    def log_hint(self) -> str:
        """The last error line of the log, and where the log is."""
        error = last_error(read_end(self.log_path))
        return f"its log says {error}; see {self.log_path}" if error else f"see {self.log_path}"


def remove_leftovers() -> None:
    """Remove what dead processes of this user left behind with their supervisor: shared memory, run folders, tokens."""
    for path in SHARED_MEMORY.glob(f"{_SHM_PREFIX}[0-9]*_*"):
        if _is_ownerless(path.name.removeprefix(_SHM_PREFIX)):
            remove_shared_memory(path.name)
    for path in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}[0-9]*_*"):
        if _is_ownerless(path.name.removeprefix(_FOLDER_PREFIX)):
            shutil.rmtree(path, ignore_errors=True)
    remove_leftover_tokens()


def _is_ownerless(rest: str) -> bool:
    """Whether the process whose id begins `rest` is gone."""
    owner = rest.split("_", 1)[0]
    return owner.isdigit() and not is_alive(int(owner))


def default_log_path() -> Path:
    """A new log file in the folder of logs."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return log_folder() / f"tritonserver-{stamp}-{os.getpid()}-{secrets.token_hex(2)}.log"
