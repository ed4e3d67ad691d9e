"""Which files the bridge opens for a client: its regions, whatever it does while the bridge looks."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from photofinish.server.bridge.build import SOURCES, find_compiler

CLIENT = r"""
#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "regions.h"

// A client that exchanges its descriptor at the moment the bridge has read where it leads.
static int mine = -1, other = -1;

extern "C" ssize_t readlink(const char* path, char* target, size_t size) noexcept {
  const ssize_t length = syscall(SYS_readlink, path, target, size);
  if (other >= 0) dup2(other, mine);
  return length;
}

// client FILE INODE [OTHER]: names FILE by INODE, holds its lock, and puts OTHER in its place meanwhile.
int main(int count, char** words) {
  mine = open(words[1], O_RDONLY | O_NONBLOCK);
  flock(mine, LOCK_EX);
  if (count > 3) flock(other = open(words[3], O_RDWR), LOCK_EX);
  const std::string name = std::to_string(getpid()) + "/" + std::to_string(mine) + "/" + words[2];
  photofinish::Regions regions;
  const auto found = regions.find(name, 1);
  if (found) std::printf("%llu %llu", (unsigned long long)found->inode, (unsigned long long)found->size);
}
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (compiler := find_compiler()) is None:
        pytest.skip("no C++ compiler here")
    folder = tmp_path_factory.mktemp("client")
    (folder / "client.cpp").write_text(CLIENT, encoding="utf-8")
    sources = [str(folder / "client.cpp"), str(SOURCES / "regions.cpp")]
    line = [*shlex.split(compiler), "-std=c++17", f"-I{SOURCES}", *sources, "-o", str(folder / "client"), "-pthread"]
    subprocess.run(line, check=True, timeout=120)
    return folder / "client"


@pytest.fixture
def region() -> Iterator[Path]:
    with NamedTemporaryFile(dir="/dev/shm", prefix="photofinish-region-") as file:
        file.write(b"a picture")
        file.flush()
        yield Path(file.name)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("not for clients")
    return path


def found(client: Path, *words: object) -> str:
    """Inode and size of what the bridge has opened; "" when it refused."""
    line = [str(client), *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=20, check=True).stdout


def test_a_region_is_found(client: Path, region: Path) -> None:
    inode = region.stat().st_ino
    assert found(client, region, inode) == f"{inode} 9"
    assert found(client, region, inode + 1) == ""


def test_another_file_is_refused(client: Path, secret: Path) -> None:
    assert found(client, secret, secret.stat().st_ino) == ""


def test_a_file_that_takes_the_regions_place_while_the_bridge_looks_is_not_opened(
    client: Path, region: Path, secret: Path
) -> None:
    """The descriptor led to a region when its place was read; it is another file's by the time it is opened."""
    assert found(client, region, secret.stat().st_ino, secret) == ""


def test_a_pipe_is_not_waited_for(client: Path) -> None:
    path = Path(f"/dev/shm/photofinish-region-pipe-{os.getpid()}")
    os.mkfifo(path)
    try:
        assert found(client, path, path.stat().st_ino) == ""
    finally:
        path.unlink()
