"""`photofinish detect` with the names, pictures and terminals that people have."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.client.fake_triton import FakeModel, FakeTriton
from tests.client.pipeline.test_pipelines import one_box
from tests.client.sources.clips import make_clip
from tests.client.sources.test_sources import write_noise, write_picture


@pytest.fixture
def server():
    with FakeTriton(FakeModel(infer=one_box)) as fake:
        yield fake


def detect(server: FakeTriton, *args: object, encoding: str = "utf-8") -> tuple[int, bytes, str]:
    command = [
        sys.executable,
        "-m",
        "photofinish.cli",
        "detect",
        *map(os.fsencode, map(str, args)),
        "--url",
        server.url,
    ]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, timeout=120, env=environment)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


@pytest.mark.parametrize("name", ["街.png", "é 1:2.png", os.fsdecode(b"caf\xe9\xff.png")], ids=ascii)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_any_name_of_a_picture_on_any_terminal(server, tmp_path, name, encoding):
    write_picture(tmp_path / "a.png").rename(tmp_path / name)
    words = (tmp_path / name, "--save", tmp_path / "out", "--json")
    code, out, err = detect(server, *words, encoding=encoding)
    assert code == 0, err
    assert os.fsencode(json.loads(out.decode(encoding))["picture"]) == os.fsencode(name)
    assert (tmp_path / "out" / name).stat().st_size > 0
    code, out, err = detect(server, tmp_path / name, encoding=encoding)
    assert code == 0, err
    assert out.endswith(b": bus 0.41\n")


@pytest.mark.parametrize(
    "name", ["路.mp4", "cam:1 12:30.mp4", os.fsdecode(b"caf\xe9\xff.mp4"), "rtsp:x.mp4"], ids=ascii
)
def test_any_name_of_a_video(server, tmp_path, name):
    make_clip(tmp_path / "a.mp4", seconds=0.2).rename(tmp_path / name)
    code, out, err = detect(server, tmp_path / name, "--save", tmp_path / "out")
    assert code == 0, err
    assert out.count(b": bus 0.41\n") == 5
    (saved,) = (tmp_path / "out").iterdir()
    assert saved.stat().st_size > 500
    assert "Traceback" not in err


def test_a_relative_name_with_a_colon(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "12:30.mp4", seconds=0.2)
    assert detect(server, "12:30.mp4")[0] == 0


def test_bad_pictures_of_a_folder_are_named_skipped_and_counted(server, tmp_path):
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "d.png")
    whole = write_noise(tmp_path / "b.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(whole[:-2])
    (tmp_path / "c.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "._a.png").write_bytes(b"apple")
    code, out, err = detect(server, tmp_path, "--save", tmp_path / "out")
    assert code == 1
    assert out == b"a.png: bus 0.41\nd.png: bus 0.41\n"
    assert "b.jpg is a damaged JPEG: its end is missing" in err
    assert "c.jpg cannot be read: No such file" in err
    assert "._a" not in err
    assert "2 frames, 2 boxes" in err
    assert ", 2 pictures skipped; saved to" in err
    assert err.splitlines()[-1] == "photofinish: 2 of 4 pictures could not be read and were skipped: b.jpg, c.jpg"
    assert "dropped" not in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]


def test_strict_ends_at_the_first_bad_picture(server, tmp_path):
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "c.png")
    (tmp_path / "b.png").write_bytes(b"hello")
    code, out, err = detect(server, tmp_path, "--strict")
    assert code == 1
    assert out == b"a.png: bus 0.41\n"
    assert err.splitlines()[-1].startswith(f"photofinish: {tmp_path / 'b.png'} is not a picture")


def test_a_folder_of_bad_pictures_alone(server, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"hello")
    code, out, err = detect(server, tmp_path)
    assert (code, out) == (1, b"")
    assert err.splitlines()[-1] == f"photofinish: none of the 2 pictures of {tmp_path.name} can be read"


def test_no_file_of_the_user_is_touched(server, tmp_path):
    write_picture(tmp_path / "a.png")
    out = tmp_path / "out"
    for _ in range(2):
        detect(server, tmp_path / "a.png", "--save", out)
    assert sorted(path.name for path in out.iterdir()) == ["a-2.png", "a.png"]
    write_picture(tmp_path / "b.png")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*.png")}
    code, _, err = detect(server, tmp_path, "--save", out)
    assert code == 0
    assert "has pictures of these names already, and they stay; saving to" in err
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert len(list((out / tmp_path.name).iterdir())) == 2


def test_a_camera_by_a_name_that_stays_the_same(server):
    code, _, err = detect(server, "/dev/v4l/by-id/usb-Nobody_Camera-video-index0")
    assert code == 1
    assert "/dev/v4l/by-id/usb-Nobody_Camera-video-index0 does not exist; cameras found: " in err
