"""Mutated recordings and pictures end in pictures or in one line, in no crash and no hang, and touch no file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from tests.client.sources.clips import H264, make_clip, make_clip_with_sound
from tests.client.sources.heif import write_heic

CASES = int(os.environ.get("PHOTOFINISH_FUZZ_CASES", "500"))
"""Set it to 5000 for all of them."""
SECONDS = CASES / 500 * 40


def make_seeds(folder: Path) -> Path:
    folder.mkdir()
    short = {"seconds": 0.4}
    make_clip_with_sound(folder / "a.mp4", *H264, "-movflags", "+faststart", seconds=0.4, sound_s=0.4)
    make_clip(folder / "b.mp4", *H264, "-g", "4", "-movflags", "+frag_keyframe+empty_moov", **short)
    make_clip_with_sound(folder / "c.mkv", *H264, seconds=0.4, sound_s=0.4)
    make_clip(folder / "d.webm", "-c:v", "libvpx", **short)
    make_clip(folder / "e.ts", *H264, **short)
    make_clip(folder / "f.avi", "-c:v", "mpeg4", **short)
    make_clip(folder / "g.flv", *H264, **short)
    make_clip(folder / "h.gif", "-c:v", "gif", **short)
    make_clip(folder / "i.mp4", "-c:v", "libaom-av1", "-cpu-used", "8", **short)
    make_clip(folder / "j.wmv", "-c:v", "wmv2", **short)
    make_clip(folder / "k.mov", "-c:v", "mjpeg", **short)
    make_clip(folder / "l.mkv", "-c:v", "libx265", "-x265-params", "log-level=none", **short)
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    for suffix in (".jpg", ".png", ".webp", ".tiff", ".bmp", ".jp2", ".avif", ".ppm"):
        (folder / f"m{suffix}").write_bytes(cv2.imencode(suffix, picture)[1].tobytes())
    write_heic(folder / "n.heic", grid=(2, 1)).rename(folder / "n.heic")
    (folder / "frame.mp4").unlink()
    return folder


def test_no_mutation_crashes_hangs_or_writes(tmp_path):
    seeds = make_seeds(tmp_path / "seeds")
    before = {path: path.read_bytes() for path in seeds.iterdir()}
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-m", "tests.client.sources.fuzzing", seeds, work, 0, CASES, SECONDS]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=SECONDS + 60)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"after {lines[-1:]}: {done.stderr[-3000:]}"
    assert "wrong with" not in done.stdout, done.stdout[done.stdout.index("wrong with") :][:3000]
    assert lines[-1].startswith("tried ")
    tried, gave = (int(word) for word in (lines[-1].split()[1].rstrip(","), lines[-1].split()[2]))
    assert tried >= min(CASES, 100)
    assert tried / 10 < gave < tried
    assert {path: path.read_bytes() for path in seeds.iterdir()} == before
