"""Opens mutated recordings and pictures, in a process of its own: what crashes it, or hangs it, is seen from outside.

Usage: python -m tests.client.sources.fuzzing SEEDS WORK FIRST COUNT SECONDS. Prints the number of each case before it
is tried, what was wrong with it, and at the end how many were tried and how many of these gave pictures.
"""

from __future__ import annotations

import faulthandler
import itertools
import random
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path

from photofinish.client.sources.opening import open_source
from photofinish.errors import SourceError

MAX_FRAMES = 150
CASE_S = 20.0
"""A case that takes longer hangs; the usual one takes some 10 ms."""
MEMORY_BYTES = 8 << 30
NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\0\0\xff\xff")


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Some bytes flipped, overwritten, cut, doubled, moved, or made into numbers that parsers do not expect."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        size = len(data)
        if size < 16:
            break
        # Headers decide more than what is coded.
        at = chance.randrange(min(size, 2000)) if chance.random() < 0.6 else chance.randrange(size)
        length = min(chance.choice((1, 2, 4, 8, 64, 512, size // 10 + 1)), size - at)
        kind = chance.randrange(8)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at : at + length] = chance.randbytes(length)
        elif kind == 2:
            data[at : at + 4] = chance.choice(NUMBERS)
        elif kind == 3:
            del data[max(at, 8) :]
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = data[at : at + length]
        elif kind == 6:
            data[at : at + length] = bytes(length)
        else:
            other = chance.randrange(size - length + 1)
            data[at : at + length] = data[other : other + length]
    return bytes(data)


def try_to_read(path: Path) -> bool:
    """Whether pictures came. Everything but a SourceError is raised."""
    count = 0
    try:
        with open_source(str(path), on_notice=lambda text: None) as source:
            for frame in itertools.islice(source.frames(), MAX_FRAMES):
                assert frame.image_hwc_bgr.size
                count += 1
            assert source.frame_count is None or source.frame_count > 0
    except SourceError as exc:
        words = str(exc)
        if "\n" in words or len(words) > 1000:
            raise AssertionError(f"not one line: {words}") from exc
    return count > 0


def main(seeds: Path, work: Path, first: int, count: int, seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    originals = sorted(seeds.iterdir())
    until = time.monotonic() + seconds
    tried = gave = 0
    for number in range(first, first + count):
        if time.monotonic() > until:
            break
        original = originals[number % len(originals)]
        print(number, original.name, flush=True)
        folder = work / str(number)
        folder.mkdir()
        path = folder / original.name
        content = mutated(original.read_bytes(), random.Random(number))
        path.write_bytes(content)
        faulthandler.dump_traceback_later(CASE_S, exit=True)
        try:
            gave += try_to_read(path)
        except BaseException:
            print(f"wrong with {number} ({original.name}):\n{traceback.format_exc()}", flush=True)
        faulthandler.cancel_dump_traceback_later()
        if path.read_bytes() != content or list(folder.iterdir()) != [path]:
            print(f"wrong with {number}: a file was touched", flush=True)
        shutil.rmtree(folder)
        tried += 1
    print(f"tried {tried}, {gave} gave pictures", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
