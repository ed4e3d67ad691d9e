"""The list of cameras: both kinds of files, secrets from every place, and rows that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from photofinish.client.cameras.list.reading import CameraList, cameras_from_file
from photofinish.errors import ConfigError

ROWS = """
[defaults]
frames_per_s = 2

[[camera]]
name = "door"
url = "rtsp://10.0.0.5/live"
user = "admin"
password_env = "DOOR_PASSWORD"
priority = 3
zones = [{name = "step", points = [[0, 0], [1, 0], [1, 1]]}]

[[camera]]
url = "rtsp://ad%40min:p@w@10.0.0.6:8554/live?token=1"
frames_per_s = 10
classes = ["person"]
"""


def read(tmp_path: Path, text: str, name: str = "cameras.toml", **environment: str) -> CameraList:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return cameras_from_file(tmp_path / name, environment)


def test_toml(tmp_path: Path) -> None:
    found = read(tmp_path, ROWS, DOOR_PASSWORD="p/w", PHOTOFINISH_SOURCE_PASSWORD="of all")
    assert not found.problems
    door, other = found.cameras
    assert (door.user, door.password, door.frames_per_s, door.priority) == ("admin", "p/w", 2, 3)
    assert door.zones[0].points_xy[2] == (1, 1)
    assert (other.name, other.url) == ("10.0.0.6:8554/live", "rtsp://10.0.0.6:8554/live?token=1")
    assert (other.user, other.password, other.frames_per_s, other.classes) == ("ad@min", "p@w", 10, ("person",))
    assert "p@w" not in repr(found)
    assert "p/w" not in repr(found)


def test_a_line_for_each_camera(tmp_path: Path) -> None:
    text = "# three cameras\n\nrtsp://cam/live\ndoor rtsp://admin:a:b@cam/other\nrtsp://cam/live\nclips/My clip.mp4\n"
    found = read(tmp_path, text, "cameras.txt", PHOTOFINISH_SOURCE_USER="all", PHOTOFINISH_SOURCE_PASSWORD="pw")
    assert not found.problems
    assert [camera.name for camera in found.cameras] == ["cam/live", "door", "cam/live 2", "My clip.mp4"]
    assert [(camera.user, camera.password) for camera in found.cameras] == [
        ("all", "pw"),
        ("admin", "a:b"),
        ("all", "pw"),
        ("", ""),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('url = "rtsp://cam"\nfps = 5', "unknown field fps; a camera has"),
        ('url = "rtsp://cam"\npriorty = 5', "unknown field priorty, did you mean priority?"),
        ('url = "10.0.0.5/live"', "the address of a camera begins with rtsp://"),
        ('url = "door:554"', "the address of a camera begins with rtsp://"),
        ('url = "admin:hunter2@10.0.0.5/live"', "the address of a camera begins with rtsp://"),
        ("name = 'x'", "a camera needs a url"),
        ('url = "rtsp://a:hunter2@cam"\npassword = "hunter2"', "the password is given by password and by its address"),
        ('url = "rtsp://cam"\npassword_env = "NOT_THERE"', "has no such variable"),
        ('url = "rtsp://cam"\npassword = 1234', "a number stands in quotes"),
        ('url = "rtsp://cam"\nframes_per_s = "5"', "frames_per_s must be a number"),
        ('url = "rtsp://cam"\nframes_per_s = 0', "frames_per_s must be above 0"),
        ('url = "rtsp://cam"\nframes_per_s = 1' + "0" * 400, "frames_per_s must be a number"),
        ('url = "rtsp://cam"\npriority = inf', "priority must be a whole number"),
        ('url = "rtsp://cam"\npriority = 1.5', "priority must be a whole number, got 1.5"),
        ('url = "rtsp://cam"\npassword_env = ["PW"]', "password_env must be the name of a variable"),
        ('url = "rtsp://cam"\nclasses = "person"', "classes must be a list"),
        ('url = "rtsp://cam"\nclasses = 5', "classes must be a list"),
        ('url = "rtsp://cam"\nzones = [1]', "zones must be a list of"),
        ('url = "rtsp://cam"\nzones = [{name = "z", points = [[1' + "0" * 400 + ", 0]]}]", "zones must be a list of"),
        ('url = "rtsp://cam"\nname = "good"', "the name 'good' is taken"),
        ('url = "rtsp://cam"\ntransport = "ip"', "transport must be tcp or udp"),
    ],
)
def test_a_wrong_row_is_one_message_and_leaves_the_others_alone(tmp_path: Path, row: str, problem: str) -> None:
    text = f'[[camera]]\nname = "good"\nurl = "rtsp://good"\n[[camera]]\n{row}\n[[camera]]\nurl = "rtsp://last"\n'
    found = read(tmp_path, text)
    assert [camera.name for camera in found.cameras] == ["good", "last"]
    (message,) = found.problems
    assert message.startswith("camera 2")
    assert problem in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[camera]\n", "is no TOML"),
        ("x = " + "1" * 5000, "is no TOML"),
        ("[[cam]]\n", "unknown part cam"),
        ("camera = 1\n", "write \\[defaults\\]"),
    ],
)
def test_a_file_that_is_none_is_one_error(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read(tmp_path, text)
    with pytest.raises(
        ConfigError, match="cannot be read: No such file or directory; give a text file with one address a line"
    ):
        cameras_from_file(tmp_path / "none.toml")


def test_a_wish_to_decode_on_the_gpu_is_the_cameras(tmp_path: Path) -> None:
    found = read(tmp_path, '[[camera]]\nname = "door"\nurl = "rtsp://10.0.0.5/live"\ndecode = "gpu"\n')
    assert [camera.decode for camera in found.cameras] == ["gpu"]
    assert not found.problems, "whether one decodes here is said by the run and by the table"


def test_a_row_names_lines_and_says_whether_it_is_tracked_and_filmed(tmp_path: Path) -> None:
    row = '[[camera]]\nurl = "rtsp://cam/live"\n'
    line = 'lines = [{name = "gate", points = [[0, 0.5], [1, 0.5]]}]\n'
    plain, lined, filmed = (
        read(tmp_path, row + more).cameras[0] for more in ("", line, "tracks = true\nvideo = false\n")
    )
    assert (plain.tracks, plain.video, plain.is_tracked) == (None, None, False)
    assert (lined.lines[0].points_xy, lined.is_tracked) == (((0, 0.5), (1, 0.5)), True)
    assert (filmed.is_tracked, filmed.video) == (True, False)


def test_what_is_wrong_with_every_row_is_said_once(tmp_path: Path) -> None:
    rows = "".join(f'[[camera]]\nname = "cam-{number}"\nurl = "rtsp://cam/{number}"\n' for number in range(1, 71))
    found = read(tmp_path, f"[defaults]\nframe_per_s = 5\n{rows}")
    assert found.problems == ("camera 1 (cam-1) and 69 more: unknown field frame_per_s, did you mean frames_per_s?",)
    assert (found.cameras, found.wrong_rows) == ((), 70)


@pytest.mark.parametrize("begin", ["rtps://", "rtsp:/", "rtsp//", "RTSPX://"])
def test_an_address_of_no_known_kind_is_told_when_the_list_is_read(tmp_path: Path, begin: str) -> None:
    (problem,) = read(tmp_path, f'[[camera]]\nurl = "{begin}viewer:secret@cam/live"\n').problems
    assert f"its address begins with {begin}; did you mean rtsp" in problem
    assert "secret" not in problem


def test_a_row_in_one_bracket_is_told_how_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"begins with \[\[camera\]\], in two brackets"):
        read(tmp_path, '[camera]\nurl = "rtsp://a/1"\n[camera]\nurl = "rtsp://a/2"\n')


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('tracks = "yes"', "tracks must be true or false, got 'yes'"),
        ("lines = 3", 'lines must be a list of {name = "…", points = [[x, y], …]}'),
        ('lines = [{name = "a", points = [[0, 0], [0, 0]]}]', "line 'a' must have two different points"),
        ('lines = [{name = "a", points = [[0, 0], [0, 2]]}]', "line 'a' must have two different points"),
        (
            'lines = [{name = "a", points = [[0, 0], [1, 1]]}, {name = "a", points = [[0, 0], [0, 1]]}]',
            "lines must be of different names",
        ),
        ('tracks = false\nlines = [{name = "a", points = [[0, 0], [1, 1]]}]', "lines need tracks"),
    ],
)
def test_lines_that_are_none_are_one_message(tmp_path: Path, more: str, problem: str) -> None:
    found = read(tmp_path, f'[[camera]]\nurl = "rtsp://cam/live"\n{more}\n')
    assert not found.cameras
    assert problem in found.problems[0]


def test_brackets_without_an_end_are_told_as_what_is_wrong_with_the_list(tmp_path: Path) -> None:
    """It was a traceback at the start, and a running cell did not read its list any more."""
    path = tmp_path / "cameras.toml"
    path.write_text("a = " + "[" * 20_000)
    with pytest.raises(ConfigError, match="brackets within brackets"):
        cameras_from_file(path)
