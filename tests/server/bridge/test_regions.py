"""Which files the bridge opens for a client: its regions, whatever it does while the bridge looks.

The bridge's own code, compiled with sanitizers: a read outside of its memory, or a number that overflows, fails here.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from tests.server.bridge.sanitized import Compile

SIZE = 3 * 4096


@pytest.fixture(scope="module")
def client(compile_sanitized: Compile) -> Path:
    return compile_sanitized("regions_client.cpp", "regions.cpp", "plain_files.cpp")


@pytest.fixture
def region() -> Iterator[Path]:
    with NamedTemporaryFile(dir="/dev/shm", prefix="photofinish-region-") as file:
        file.truncate(SIZE)
        yield Path(file.name)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "photofinish-region-secret"
    path.write_text("not for clients")
    return path


@pytest.fixture
def special() -> Iterator[Callable[[str], Path]]:
    """Makes a name for something that is no plain file, in the folder where regions lie."""
    made: list[Path] = []

    def make(kind: str) -> Path:
        made.append(Path(f"/dev/shm/photofinish-region-{kind}-{os.getpid()}"))
        return made[-1]

    yield make
    for path in made:
        path.unlink(missing_ok=True)


def found(client: Path, path: Path, inode: int, **options: object) -> str:
    """Inode and offset of what the bridge has found, if it has, and how many regions it knows at the end."""
    line = [str(client), str(path), str(inode)]
    for name, value in options.items():
        line += [name.replace("_", "-"), str(value)]
    return subprocess.run(line, capture_output=True, text=True, timeout=20, check=True).stdout


def test_a_region_is_found(client: Path, region: Path) -> None:
    inode = region.stat().st_ino
    assert found(client, region, inode) == f"{inode} 0 1"
    assert found(client, region, inode + 1) == "0"
    assert found(client, region, inode, unlocked=1) == "0"


def test_a_requests_place_in_it_counts(client: Path, region: Path) -> None:
    """Its offset, and that of the part which Triton has mapped; engines read vectors, so odd ones are copied."""
    inode = region.stat().st_ino
    assert found(client, region, inode, at=128) == f"{inode} 128 1"
    assert found(client, region, inode, at=64, mapped_from=4096) == f"{inode} 4160 1"
    assert found(client, region, inode, at=1) == "1"


def test_what_lies_at_a_requests_address_is_not_exchanged(client: Path, region: Path) -> None:
    """The parameter names one region, the request another: the request's is read, in the usual way."""
    with NamedTemporaryFile(dir="/dev/shm", prefix="photofinish-region-") as file:
        file.truncate(SIZE)
        assert found(client, region, region.stat().st_ino, other=file.name, mapped_other=1) == "1"


@pytest.mark.parametrize("size", [4097, SIZE + 1, 2**63, 2**64 - 1])
def test_more_than_is_mapped_is_refused(client: Path, region: Path, size: int) -> None:
    assert found(client, region, region.stat().st_ino, size=min(size, 2**63 - 1)) == "1"


def test_more_than_the_file_holds_is_refused(client: Path, region: Path) -> None:
    inode = region.stat().st_ino
    assert found(client, region, inode, mapped=5 * 4096, size=SIZE) == f"{inode} 0 1"
    assert found(client, region, inode, mapped=5 * 4096, size=SIZE + 1) == "1"


@pytest.mark.parametrize("left", [0, 1, SIZE - 1])
def test_a_region_that_has_shrunk_is_let_go(client: Path, region: Path, left: int) -> None:
    assert found(client, region, region.stat().st_ino, size=SIZE, mapped=SIZE, shrink=left) == "0"


def test_another_file_is_refused(client: Path, secret: Path) -> None:
    assert found(client, secret, secret.stat().st_ino) == "0"


def test_a_file_that_takes_the_regions_place_while_the_bridge_looks_is_not_opened(
    client: Path, region: Path, secret: Path
) -> None:
    """The descriptor led to a region when its place was read; it is another file's by the time it is opened."""
    assert found(client, region, secret.stat().st_ino, other=secret) == "0"


def test_a_pipe_is_not_waited_for(client: Path, special: Callable[[str], Path]) -> None:
    path = special("pipe")
    os.mkfifo(path)
    assert found(client, path, path.stat().st_ino) == "0"


def test_a_device_is_not_opened(client: Path, special: Callable[[str], Path]) -> None:
    path = special("device")
    try:
        os.mknod(path, 0o20600, os.makedev(1, 5))
    except PermissionError:
        path.symlink_to("/dev/zero")
    assert found(client, path, path.stat().st_ino) == "0"


def test_a_lease_is_not_waited_for(client: Path, special: Callable[[str], Path]) -> None:
    """The kernel makes whoever opens such a file wait up to 45 s; the bridge's lock would be held as long."""
    path = special("lease")
    path.write_bytes(bytes(SIZE))
    assert found(client, path, path.stat().st_ino, lease=1) == "0"


def test_another_users_region_is_refused(client: Path, region: Path) -> None:
    assert found(client, region, region.stat().st_ino, stranger=1) == "0"


def test_the_random_name_must_be_known(client: Path, region: Path) -> None:
    inode = region.stat().st_ino
    for name in ("", "photofinish-region-", f"{region.name}x", region.name[:-1], f"../shm/{region.name}"):
        assert found(client, region, inode, name=name) == "0"


@pytest.mark.parametrize(
    ("before", "after"),
    [("0", ""), ("+", ""), (" ", ""), ("-", ""), ("0x", ""), ("/", ""), ("", "/"), ("", "/7"), ("", " "), ("", "\n")],
)
def test_a_region_has_one_spelling(client: Path, region: Path, before: str, after: str) -> None:
    assert found(client, region, region.stat().st_ino, before=before, after=after) == "0"


def test_a_region_is_held_by_one_descriptor(client: Path, region: Path) -> None:
    inode = region.stat().st_ino
    assert found(client, region, inode, spellings=600) == f"{inode} 0 1"


def test_a_region_is_let_go_of_without_another_request(client: Path, region: Path) -> None:
    inode = region.stat().st_ino
    assert found(client, region, inode, wait_unlocked=1) == f"{inode} 0 0"


def test_memory_that_goes_while_it_is_read(compile_sanitized: Compile) -> None:
    program = compile_sanitized("guard_client.cpp", "guard.cpp")
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "all is right\n", done.stdout + done.stderr
    assert done.returncode != 0
    assert done.returncode == -signal.SIGBUS or "BUS" in done.stderr, "what is nobody's was hidden"
