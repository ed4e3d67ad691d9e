"""Mutated data sets: each is read or gets one line, soon, and nothing of the user's is touched.

PHOTOFINISH_FUZZ_CASES=4000 tries so many instead of 200.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from pathlib import Path

import pytest

from photofinish.errors import PhotofinishError
from photofinish.perf.accuracy.labels import LabelledDataset
from tests.perf.accuracy.label_sets import write_files

CASES = int(os.environ.get("PHOTOFINISH_FUZZ_CASES", "200"))
SEED = 20261130
LONGEST_S = 60.0
LISTED = "path: .\nval: [images, val.txt]\nnc: 2\nkpt_shape: [1, 2]\nnames:\n  0: car\n  1: bus\n"
ROBOFLOW = "train: ../train/images\nval: ../images\nnc: 2\nnames: ['car', \"bus\"]\nroboflow: {version: 1}\n"
LABELS = "0 0.5 0.5 0.2 0.4\n1 0.98 0.5 0.1 0.2\n0 0.1 0.2 0.5 0.2 0.3 0.8\n1.0 0.2 0.2 0.1 0.1 0.5 0.5\n"
PIECES = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b" ", b"-", b": ", b"- ", b"[", b"{", b"}", b"&a ", b"*a"),
    *(b"<<", b"!!int ", b"!!python/object/apply:os.system [exit]", b"nan", b"inf", b"1e999", b"-1"),
    *(b"9" * 5000, b"!!timestamp "),
    *(b"0x" + b"f" * 5000, b"../", b"\\", b"C:\\", b"~", b"null", b"'", b'"', b"a" * 300, b"\xf0\x9f\x9a\x97"),
    b"[" * 3000,
)  # fmt: skip
FILES = ("data.yaml", "val.txt", "labels/a.txt", "images/a.png")


def mutated(content: bytes, dice: random.Random) -> bytes:
    """One to four changes: a piece put in, a span cut out, doubled, or swapped bytes."""
    for _ in range(dice.randint(1, 4)):
        at = dice.randint(0, len(content))
        end = min(len(content), at + dice.randint(1, 12))
        span = content[at:end]
        new = dice.choice((dice.choice(PIECES), b"", span * 2, bytes(dice.randrange(256) for _ in span), span[::-1]))
        content = content[: dice.choice((at, end)) if new in PIECES else at] + new + content[end:]
    return content


def state_of(folder: Path) -> dict[str, str]:
    """Every file's bytes and time of change."""
    return {
        str(path): f"{path.stat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_mutated_data_sets_are_read_or_refused_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(SEED)
    base = tmp_path / "a" / "b" / "c"
    whole = {"val.txt": "images/a.png\nimages/b.png\n", "labels/a.txt": LABELS, "labels/b.txt": LABELS}
    write_files(base, {**whole, "images/a.png": None, "images/b.png": None, "data.yaml": LISTED})
    monkeypatch.chdir(base)
    picture = (base / "images/a.png").read_bytes()
    outcomes = {"read": 0, "refused": 0}
    for number in range(CASES):
        document = dice.choice((LISTED, ROBOFLOW))
        originals = {"data.yaml": document.encode(), "images/a.png": picture}
        originals |= {name: text.encode() for name, text in whole.items()}
        target = FILES[number % len(FILES)]
        for name, content in originals.items():
            (base / name).write_bytes(mutated(content, dice) if name == target else content)
        before, begin = state_of(tmp_path), time.monotonic()
        try:
            dataset = LabelledDataset(base / "data.yaml")
            assert len(list(dataset.frames())) == dataset.size, f"mutation {number} of {target}"
            outcomes["read"] += 1
        except PhotofinishError as exc:
            outcomes["refused"] += 1
            lines = str(exc).splitlines()
            if len(lines) != 1:
                pytest.fail(f"mutation {number} of {target}: {exc}")
        except Exception as exc:
            raise AssertionError(f"mutation {number} of {target}: {exc!r}") from exc
        assert time.monotonic() - begin < LONGEST_S, f"mutation {number} of {target}"
        assert state_of(tmp_path) == before, f"mutation {number} of {target} changed files"
    assert min(outcomes.values()) > CASES // 10, outcomes
