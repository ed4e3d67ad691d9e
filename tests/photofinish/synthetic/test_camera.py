"""Determinism, sizes, rates and the camera's own limits."""

from __future__ import annotations

import numpy as np
import pytest

from photofinish.synthetic import CLASS_NAMES, SyntheticCamera

SMALL = (320, 180)


def test_a_frame_depends_on_seed_and_index_alone() -> None:
    forward = SyntheticCamera(seed=3, size_wh=SMALL)
    backward = SyntheticCamera(seed=3, size_wh=SMALL)
    wanted = (0, 7, 450, 2000)
    first = {index: forward.frame(index) for index in wanted}
    second = {index: backward.frame(index) for index in reversed(wanted)}
    for index in wanted:
        assert np.array_equal(first[index].image_hwc_bgr, second[index].image_hwc_bgr)
        truth, again = first[index].truth, second[index].truth
        assert truth is not None
        assert again is not None
        assert np.array_equal(truth.boxes_xyxy, again.boxes_xyxy)
        assert np.array_equal(truth.class_id, again.class_id)


def test_seeds_give_different_towns() -> None:
    means = {SyntheticCamera(seed=seed, size_wh=SMALL).frame(0).image_hwc_bgr.tobytes() for seed in range(4)}
    assert len(means) == 4


def test_defaults_give_a_720p_frame_with_truth() -> None:
    frame = SyntheticCamera().frame(0)
    assert frame.size_wh == (1280, 720)
    assert frame.stream_id == "synthetic-0"
    assert frame.truth is not None
    assert len(frame.truth) > 3


@pytest.mark.parametrize("size_wh", [(640, 360), (641, 363), (360, 640), (96, 64), (1920, 1080)])
def test_any_size(size_wh: tuple[int, int]) -> None:
    camera = SyntheticCamera(seed=1, size_wh=size_wh)
    frame = camera.frame(10)
    assert frame.size_wh == size_wh
    assert frame.truth is not None
    boxes = frame.truth.boxes_xyxy
    assert (boxes >= 0).all()
    assert (boxes[:, [0, 2]] <= size_wh[0]).all()
    assert (boxes[:, [1, 3]] <= size_wh[1]).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 8).all()


def test_the_frame_rate_sets_how_far_things_move() -> None:
    slow = SyntheticCamera(seed=2, size_wh=SMALL, frames_per_s=10.0)
    fast = SyntheticCamera(seed=2, size_wh=SMALL, frames_per_s=40.0)
    here, there = slow.frame(30).truth, fast.frame(120).truth
    assert here is not None
    assert there is not None
    assert np.array_equal(here.boxes_xyxy, there.boxes_xyxy)


def test_every_class_appears_and_crowding_sets_how_many() -> None:
    counts = {}
    seen: set[int] = set()
    for crowding in (0.0, 0.5, 2.0):
        camera = SyntheticCamera(seed=5, size_wh=(640, 360), crowding=crowding)
        truths = [camera.frame(index).truth for index in range(0, 3000, 150)]
        counts[crowding] = sum(len(truth) for truth in truths if truth is not None)
        seen |= {int(class_id) for truth in truths if truth is not None for class_id in truth.class_id}
    assert counts[0.0] == 0
    assert 0 < counts[0.5] < counts[2.0]
    assert seen == set(range(len(CLASS_NAMES)))


def test_light_drifts() -> None:
    camera = SyntheticCamera(seed=1, size_wh=SMALL, crowding=0.0)
    levels = [float(camera.frame(index).image_hwc_bgr.mean()) for index in range(0, 4500, 450)]
    assert max(levels) - min(levels) > 20


def test_sensor_noise_changes_between_frames() -> None:
    camera = SyntheticCamera(seed=1, size_wh=SMALL, crowding=0.0)
    first, second = (camera.frame(index).image_hwc_bgr.astype(np.int16) for index in (0, 1))
    changed = np.abs(first - second)[: SMALL[1] // 8]
    assert 0.5 < float(changed.mean()) < 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"size_wh": (32, 32)},
        {"size_wh": (3841, 2160)},
        {"frames_per_s": 0.0},
        {"frames_per_s": float("nan")},
        {"frames_per_s": float("inf")},
        {"crowding": -0.1},
        {"crowding": 6.0},
        {"crowding": float("nan")},
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, object]) -> None:
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"{name}="):
        SyntheticCamera(**wrong)  # type: ignore[arg-type]


def test_negative_index_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0, got -1"):
        SyntheticCamera(size_wh=SMALL).frame(-1)
