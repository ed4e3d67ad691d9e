"""Names of saved files: nothing that is there is written over, and no two sources share one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from photofinish.client.detect.naming import MAX_STEM_BYTES, claim, file_stem, folder_for, picture_name_to_save
from photofinish.client.sources.opening import open_source
from photofinish.errors import ConfigError
from tests.client.sources.test_sources import write_picture


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("街.mp4", "街"),
        ("路.mp4", "路"),
        ("été à la mer.mov", "été_à_la_mer"),
        ("a.b.mkv", "a.b"),
        ("cam:1 12:30.mp4", "cam_1_12_30"),
        ("rtsp://…@cam/1", "rtsp_cam_1"),
        (".mp4", "mp4"),
        ("..", "video"),
        (os.fsdecode(b"caf\xe9.mp4"), "caf"),
        ("日" * 200 + ".mp4", "日" * (MAX_STEM_BYTES // 3)),
    ],
)
def test_stems_keep_the_letters_of_every_script(name, stem, tmp_path):
    assert file_stem(name) == stem
    assert claim(tmp_path / f"{stem}-123.mp4", print).exists()


def test_a_file_that_is_there_gets_company(tmp_path):
    notices: list[str] = []
    paths = [claim(tmp_path / "clip.mp4", notices.append) for _ in range(3)]
    assert [path.name for path in paths] == ["clip.mp4", "clip-2.mp4", "clip-3.mp4"]
    assert [notice.count("clip.mp4 is there already and stays") for notice in notices] == [1, 1]


def test_a_link_to_nowhere_is_not_written_through(tmp_path):
    (tmp_path / "clip.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    assert claim(tmp_path / "clip.mp4", print).name == "clip-2.mp4"
    assert not (tmp_path / "elsewhere.mp4").exists()


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"clip\.mp4 cannot be written: No such file"):
        claim(tmp_path / "none" / "clip.mp4", print)


@pytest.mark.parametrize(
    ("name", "saved"), [("a.PNG", "a.PNG"), ("a.jfif", "a.jpg"), ("a.heic", "a.jpg"), ("a.pgm", "a.jpg")]
)
def test_formats_that_are_not_written_become_jpeg(name, saved):
    assert picture_name_to_save(Path(name)) == saved


def test_a_folder_of_pictures_gets_a_folder_of_its_own_where_its_names_are_taken(tmp_path):
    for place in ("in", "out"):
        (tmp_path / place).mkdir()
        write_picture(tmp_path / place / "a.png")
    write_picture(tmp_path / "in" / "b.png")
    notices: list[str] = []
    with open_source(str(tmp_path / "in")) as source:
        folders = [folder_for(source, tmp_path / "out", notices.append) for _ in range(3)]
        assert [folder.name for folder in folders] == ["in", "in-2", "in-3"]
        assert folder_for(source, tmp_path / "new", notices.append) == tmp_path / "new"
        with pytest.raises(ConfigError, match="write over the original"):
            folder_for(source, tmp_path / "in", notices.append)
    assert len(notices) == 3
    assert "they stay; saving to" in notices[0]
