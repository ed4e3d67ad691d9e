"""Cameras go where the decoder has least to do for what it can, and change places seldom."""

from __future__ import annotations

import pytest

from photofinish.client.cameras.schedule.placing import DecoderPlacement
from photofinish.client.cameras.schedule.spreading import Spread, Spreadable
from photofinish.client.cameras.values.camera import Camera
from photofinish.machine.nvdec import decoder_strengths

HD, FULL_HD = 1280 * 720 * 25.0, 1920 * 1080 * 25.0


def homes(placement: DecoderPlacement, names: str) -> list[int | None]:
    return [placement.home_of(name) for name in names]


def placed(names: str, *strengths: float) -> DecoderPlacement:
    placement = DecoderPlacement(1, 2, strengths=strengths)
    for name in names:
        placement.add(Camera(name=name, url=f"rtsp://camera/{name}"))
    return placement


def relieved(placement: DecoderPlacement, sent: dict[str, float]) -> list[tuple[str, int]]:
    """All moves until nothing more is worth one."""
    moves = []
    while (found := placement.weigh(sent)) is not None:
        moves.append(found)
        assert placement.rehome(*found) == [found[0]]
        assert len(moves) < 20
    return moves


def test_a_gpu_of_twice_the_strength_gets_twice_the_cameras() -> None:
    placement = placed("abcdefghi", 2.0, 1.0)
    assert homes(placement, "abcdefghi").count(0) == 6
    assert homes(placed("abcd"), "abcd") == [0, 1, 0, 1], "GPUs of which nothing is known are alike"


def test_large_cameras_count_more_and_one_goes_where_less_is_to_do() -> None:
    placement = placed("abcd")
    sent = {"a": FULL_HD, "b": HD, "c": FULL_HD, "d": HD}
    assert relieved(placement, sent) == [], "each of the large ones would only make the other GPU the busier one"
    placement.add(Camera(name="e", url="rtsp://camera/e"))
    assert placement.home_of("e") == 1, "the third camera of a GPU with less to do"
    sent |= {"b": HD / 10, "d": HD / 10, "e": HD / 10}
    assert len(relieved(placement, sent)) == 1
    busy = [sum(sent[name] for name in sent if placement.home_of(name) == home) for home in (0, 1)]
    assert max(busy) == pytest.approx(FULL_HD + 3 * HD / 10, rel=0.01)


def test_when_cameras_leave_the_others_are_spread_anew_and_come_to_rest() -> None:
    placement = placed("abcdefgh")
    for name in "bdf":
        placement.remove(name)
    sent = dict.fromkeys("acegh", HD)
    assert len(relieved(placement, sent)) == 1
    assert homes(placement, "acegh").count(0) == 3
    sent["a"] *= 1.05
    assert relieved(placement, sent) == [], "a rate that varies moves nobody"


def test_nobody_goes_to_a_gpu_without_a_session_and_what_is_not_known_stays() -> None:
    cameras = [Spreadable(name=name, home=0, pixels_per_s=HD) for name in "abc"]
    assert Spread(cameras, 2).relief([False, True]) is None
    assert Spread(cameras, 2).home_for_another([False, True]) == 0
    assert Spread(cameras, 2).relief([False, False]) == ("a", 1)
    silent = [Spreadable(name=name, home=0) for name in "abc"]
    assert Spread(silent, 2).relief([False, False]) is None
    assert Spread(cameras, 1).relief([False]) is None


def test_strengths_are_of_gpus_that_are_all_known() -> None:
    weak, strong = decoder_strengths(["Tesla T4", "NVIDIA GeForce RTX 5070"])
    assert strong / weak == pytest.approx(2172 / (2 * 771 * 1470 / 1860))
    assert decoder_strengths(["Tesla T4", "NVIDIA Later 9000"]) == ()
    assert decoder_strengths(["NVIDIA GeForce RTX 4090 Laptop GPU", "Tesla T4"]) == ()
