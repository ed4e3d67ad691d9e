"""What a model process believes of the lane's bytes, and what becomes of requests whose memory goes."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from photofinish.server.backend.lane.regions import Regions, open_guard
from photofinish.server.bridge.build import GUARD, bridge_library

CHECKOUT = Path(__file__).resolve().parents[4]
TENSORS = int(os.environ.get("PHOTOFINISH_FUZZ_REQUESTS", "1000"))
SEED = os.environ.get("PHOTOFINISH_FUZZ_SEED", "1")
SIZE = 4 * 4096


def test_the_lanes_bytes_are_checked() -> None:
    command = [sys.executable, "-m", "tests.server.backend.lane.lane_fuzz", SEED, str(TENSORS)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60 + TENSORS / 100)
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.fullmatch(r"read (\d+), refused (\d+)", done.stdout.strip())
    assert found is not None, done.stdout
    assert int(found[1]) > TENSORS // 5
    assert int(found[2]) > TENSORS // 5


@pytest.fixture(scope="module")
def guard_library() -> str:
    library = bridge_library(lambda line: None)
    if library is None:
        pytest.skip("no C++ compiler here")
    return str(library.with_name(GUARD))


@pytest.fixture
def region() -> Iterator[int]:
    """A client's region: a descriptor of this process's."""
    descriptor = os.memfd_create("photofinish-region-test")
    os.ftruncate(descriptor, SIZE)
    os.pwrite(descriptor, b"\7" * SIZE, 0)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield descriptor
    os.close(descriptor)


def open_count() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def in_child(work: Callable[[], None]) -> int:
    """The exit status of a child process that does it; its parent has the region open, as the bridge has."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def test_memory_that_goes_while_an_engine_reads_it(region: int, guard_library: str) -> None:
    def work() -> None:
        unmapped: list[tuple[int, int]] = []
        regions = Regions(lambda start, size: unmapped.append((start, size)), open_guard(guard_library))
        inode = os.fstat(region).st_ino
        found = regions.find(region, inode, 0, SIZE)
        view = np.frombuffer(found.memory, np.uint8)
        assert view.sum() == 7 * SIZE
        assert regions.lost() == set()
        os.ftruncate(region, 4096)
        assert view.sum() == 7 * 4096, "what is gone is not zero"
        assert regions.lost() == {found.address}
        del view
        assert regions.drop_lost()
        assert unmapped == [(found.address, SIZE)]
        assert not regions.known
        assert regions.find(region, inode, 0, 4096).byte_size == 4096

    assert in_child(work) == 0


@pytest.mark.parametrize(("offset", "size"), [(0, SIZE + 1), (SIZE, 1), (2**63, 1), (64, SIZE), (2**64 - 1, 2**64 - 1)])
def test_more_than_a_region_holds_is_refused(region: int, guard_library: str, offset: int, size: int) -> None:
    def work() -> None:
        regions = Regions(lambda start, size: None, open_guard(guard_library))
        with pytest.raises(OSError, match=f"held {SIZE} bytes"):
            regions.find(region, os.fstat(region).st_ino, offset, size)

    assert in_child(work) == 0


def test_an_empty_region_is_refused_and_another_file_too(region: int, guard_library: str) -> None:
    def work() -> None:
        regions = Regions(lambda start, size: None, open_guard(guard_library))
        with pytest.raises(OSError, match="closed the shared memory"):
            regions.find(region, os.fstat(region).st_ino + 1, 0, 1)
        os.ftruncate(region, 0)
        with pytest.raises(OSError, match="empty"):
            regions.find(region, os.fstat(region).st_ino, 0, 1)
        assert open_count() == before

    before = open_count()
    assert in_child(work) == 0


def test_without_a_guard_no_region_is_mapped(region: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert open_guard(str(tmp_path / "missing.so")) is None
    assert "copied once" in capsys.readouterr().err
    with pytest.raises(OSError, match="cannot be guarded"):
        Regions(lambda start, size: None, None).find(region, os.fstat(region).st_ino, 0, 1)
