"""What INT8 says to bad calibration folders."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from photofinish.errors import ConfigError
from photofinish.export.int8.frames import MIN_FRAMES, frames_from_folder, frames_from_synthetic
from photofinish.export.recipes.int8 import quantised_from_model
from tests.export.int8.test_graph import small_model


def fill(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = np.random.default_rng(index).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index:03d}.png"), image)
    return folder


def test_frames_are_split_and_hashed(tmp_path: Path) -> None:
    frames = frames_from_folder(fill(tmp_path, 18), (16, 16))
    assert frames.count == 18
    assert len(frames.search_nhwc) == 3
    assert frames.range_nhwc.shape == (15, 16, 16, 3)
    fill(tmp_path, 19)
    assert frames_from_folder(tmp_path, (16, 16)).sha256 != frames.sha256


def test_folder_of_photofinish_calibrate_leaves_the_contact_sheet_out(tmp_path: Path) -> None:
    fill(tmp_path / "frames", MIN_FRAMES)
    fill(tmp_path, 1)
    assert frames_from_folder(tmp_path, (16, 16)).count == MIN_FRAMES


@pytest.mark.parametrize(("count", "message"), [(0, "0 pictures found"), (2, "2 pictures found")])
def test_too_few_pictures(tmp_path: Path, count: int, message: str) -> None:
    with pytest.raises(ConfigError, match=f"{message}, INT8 needs at least {MIN_FRAMES}.*photofinish calibrate"):
        frames_from_folder(fill(tmp_path, count), (16, 16))


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        frames_from_folder(tmp_path / "nothing", (16, 16))


def test_unreadable_picture_is_named(tmp_path: Path) -> None:
    fill(tmp_path, MIN_FRAMES)
    (tmp_path / "005.png").write_bytes(b"not a picture")
    with pytest.raises(ConfigError, match=r"005\.png cannot be read as a picture; remove it"):
        frames_from_folder(tmp_path, (16, 16))


def test_a_picture_that_is_cut_short_is_named(tmp_path: Path) -> None:
    fill(tmp_path, MIN_FRAMES)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    encoded = cv2.imencode(".jpg", noise)[1].tobytes()
    (tmp_path / "099.jpg").write_bytes(encoded[: len(encoded) // 2])
    with pytest.raises(ConfigError, match=r"099\.jpg cannot be read as a picture; remove it .*its end is missing"):
        frames_from_folder(tmp_path, (16, 16))


def test_every_kind_of_picture_counts(tmp_path: Path) -> None:
    """What `photofinish detect` takes for a picture is one here too."""
    fill(tmp_path, MIN_FRAMES)
    before = frames_from_folder(tmp_path, (16, 16)).count
    assert cv2.imwrite(str(tmp_path / "more.tiff"), np.zeros((8, 8, 3), np.uint8))
    assert frames_from_folder(tmp_path, (16, 16)).count == before + 1


def test_synthetic_frames_differ() -> None:
    frames = frames_from_synthetic((64, 64), count=8)
    assert frames.count == 8
    assert len({picture.tobytes() for picture in (*frames.range_nhwc, *frames.search_nhwc)}) == 8


def test_the_card_tells_how_it_was_calibrated(tmp_path: Path) -> None:
    frames = frames_from_folder(fill(tmp_path, 20), (16, 16))
    lines: list[str] = []
    made = quantised_from_model(small_model(), frames, target=1.0, on_progress=lines.append)
    card = made.to_card()
    assert (card["frames"], card["frames_sha256"], card["layers"]) == (20, frames.sha256, 2)
    assert card["restored_layers"] == []
    assert card["int8_weights_share"] == 1.0
    assert lines[0] == "calibrating, frame 17 of 17"


def test_the_search_restores_layers_until_the_target(tmp_path: Path) -> None:
    frames = frames_from_folder(fill(tmp_path, 20), (16, 16))
    whole = quantised_from_model(small_model(), frames, target=1.0, on_progress=lambda line: None)
    made = quantised_from_model(
        small_model(), frames, target=whole.search.disagreement_all * 0.9, on_progress=lambda line: None
    )
    assert len(made.search.restored) == 1
    assert made.search.disagreement < whole.search.disagreement_all
    assert set(made.search.layer_errors) == {"first", "second"}
