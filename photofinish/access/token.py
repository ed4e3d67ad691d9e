"""The token of an embedded server: who may read it, and the headers that carry it.

Triton 2.51 ends by some requests that anybody may send, a page in a browser among them. The embedded server therefore
answers, but for its health, only who shows the token that it was started with. The token lies in a folder that its user
alone can read, in a file named after the server's gRPC port; our clients find it there by the server's address.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from photofinish.errors import ConfigError
from photofinish.machine.addresses import LOOPBACK, listeners_at
from photofinish.machine.disk import user_cache_dir
from photofinish.machine.processes import is_alive

HTTP_HEADER = "photofinish-token"
GRPC_HEADER = f"triton-grpc-protocol-{HTTP_HEADER}"
"""Triton puts its own words before the name that it was given."""
TOKEN_VARIABLE = "PHOTOFINISH_SERVER_TOKEN"
"""Environment variable: the token of a server whose file cannot be read here, behind a tunnel for instance."""
TOKEN_BYTES = 32
MAX_FILE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a client must know of a server to be let in. token: "" where none is needed.

    http_port: of Triton's HTTP endpoint; None where nobody tells. pid: of a process that lives as long as the server.
    """

    token: str = field(default="", repr=False)
    http_port: int | None = None
    pid: int = 0

    @property
    def http_url(self) -> str | None:
        """host:port of the HTTP endpoint; None where nobody tells."""
        return f"{LOOPBACK}:{self.http_port}" if self.http_port else None

    def http_token(self, address: tuple[str, int]) -> str:
        """What the HTTP endpoint there is shown: nothing where a stranger may listen."""
        is_there = self.token and address == (LOOPBACK, self.http_port) and is_own_listener(address[1])
        return self.token if is_there else ""

    @property
    def http_headers(self) -> dict[str, str]:
        """What every HTTP request to that endpoint carries."""
        return {HTTP_HEADER: self.token} if self.token else {}

    @property
    def grpc_metadata(self) -> tuple[tuple[str, str], ...] | None:
        """What every gRPC call carries; None for nothing."""
        return ((GRPC_HEADER, self.token),) if self.token else None

    @property
    def grpc_headers(self) -> dict[str, str] | None:
        """The same for tritonclient, and for perf_analyzer's -H."""
        return {GRPC_HEADER: self.token} if self.token else None


OPEN = Access()
"""No token: another Triton, or `serve --open`."""


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def access_to(url: str, environment: Mapping[str, str] = os.environ) -> Access:
    """What to show the server at `url`, host:port of its gRPC endpoint.

    A file's token goes to 127.0.0.1 alone, where the server listens, and to this user's programs alone: another user's
    may wait at another address of this machine, or have taken the port. Raises ConfigError for a variable that holds
    what no header can.
    """
    if given := environment.get(TOKEN_VARIABLE, ""):
        if not given.isascii() or not given.isprintable() or " " in given:
            raise ConfigError(f"{TOKEN_VARIABLE} holds no token: expected letters, digits, - and _, as in the file")
        return Access(token=given)
    host, _, port = url.rpartition(":")
    if host != LOOPBACK or not port.isdigit():
        return OPEN
    found = [access for path in _newest_first(f"{port}-*") if (access := _read(path)) and is_alive(access.pid)]
    return found[0] if found and is_own_listener(int(port)) else OPEN


def is_own_listener(port: int) -> bool:
    """Whether this user's program, and nobody else's, listens at 127.0.0.1:port, as far as the system tells.

    A port stands in the server's command line seconds before the server takes it.
    """
    users = listeners_at(port)
    return users is None or users == {os.geteuid()}


def listening_address(url: str) -> str:
    """127.0.0.1:port for localhost:port where an embedded server of this user's listens; else `url` itself.

    The name also means ::1, where the same port may be another user's.
    """
    host, _, port = url.rpartition(":")
    if host == "localhost" and access_to(address := f"{LOOPBACK}:{port}", {}) is not OPEN:
        return address
    return url


def write_access(access: Access, grpc_port: int) -> Path:
    """Keep it where only this user can read it; the file. Raises ConfigError where there is no such place."""
    refusals = []
    for folder in token_folders():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _require_private(folder)
            path = folder / f"{machine_key()}-{grpc_port}-{secrets.token_hex(4)}.json"
            scratch = folder / f".{path.name}"
            descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(access), file)
            scratch.replace(path)
        except OSError as exc:
            refusals.append(f"{folder}: {exc.strerror or exc}")
            continue
        return path
    raise ConfigError(
        f"no private place for the server's token ({'; '.join(refusals)}); set PHOTOFINISH_CACHE to a folder of yours, "
        "for clients too"
    )


def remove_leftover_tokens() -> None:
    """Remove the files of servers that are gone, whose supervisor was killed."""
    for path in _newest_first("*"):
        if (found := _read(path)) and not is_alive(found.pid):
            with contextlib.suppress(OSError):
                path.unlink()


def token_folders() -> tuple[Path, Path]:
    """Where a token may lie: in the user's cache, or beside other temporary files where there is none."""
    return user_cache_dir() / "servers", Path(tempfile.gettempdir()) / f"photofinish-{os.getuid()}"


def machine_key() -> str:
    """What tells this machine's ports and process ids, since it was started, from others' and a container's."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        spaces = "".join(str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("pid", "net"))
    except OSError:
        return "unknown"
    return hashlib.sha256(f"{boot}{spaces}".encode()).hexdigest()[:12]


def _newest_first(server: str) -> list[Path]:
    """The files of this machine's servers; server: a pattern, port and a random part."""
    found: list[tuple[int, Path]] = []
    for folder in token_folders():
        with contextlib.suppress(OSError):  # a folder that is not ours to read, a file that goes meanwhile
            found += [(path.stat().st_mtime_ns, path) for path in folder.glob(f"{machine_key()}-{server}.json")]
    return [path for _, path in sorted(found, reverse=True)]


def _require_private(folder: Path) -> None:
    """Raise PermissionError unless the folder is this user's; take it from others where it is open to them."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def _read(path: Path) -> Access | None:
    """What the file says; None for none, one of another user's, or one that others can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            return None
        return Access(**json.loads(os.read(descriptor, MAX_FILE_BYTES)))
    except (OSError, ValueError, TypeError):
        return None
    finally:
        os.close(descriptor)
