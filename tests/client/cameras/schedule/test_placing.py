"""Which decode process has which camera."""

from __future__ import annotations

from photofinish.client.cameras.schedule.placing import DecoderPlacement
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.wire.messages import Refusal


def camera(name: str, priority: int = 0, decode: str = "auto") -> Camera:
    return Camera(name=name, url=f"rtsp://camera/{name}", priority=priority, decode=decode)  # type: ignore[arg-type]


def placed(placement: DecoderPlacement, *cameras: Camera) -> DecoderPlacement:
    for item in cameras:
        placement.add(item)
    return placement


def full(placement: DecoderPlacement, sessions: int, names: str) -> list[str]:
    """What happens when the GPU opens so many sessions and is asked for more."""
    return placement.refuse(names, Refusal(reason="no more", sessions=sessions))


def test_without_a_gpu_cameras_are_spread_over_the_processors() -> None:
    placement = placed(DecoderPlacement(2), camera("a"), camera("b"), camera("c", decode="gpu"))
    assert [placement.numbers[name] for name in "abc"] == [0, 1, 0]
    assert placement.reason_of("a") == ""
    assert placement.reason_of("c") == "no GPU decodes here"
    assert not placement.is_on_gpu("c")


def test_with_a_gpu_all_go_there_but_those_that_want_the_cpu() -> None:
    placement = placed(DecoderPlacement(2, 1), camera("a"), camera("b", decode="cpu"), camera("c", decode="gpu"))
    assert [placement.is_on_gpu(name) for name in "abc"] == [True, False, True]
    assert placement.numbers["a"] == 2
    by_wish = placed(DecoderPlacement(1, 1, "cpu"), camera("a"), camera("b", decode="gpu"))
    assert [by_wish.is_on_gpu(name) for name in "ab"] == [False, True]


def test_what_a_gpu_cannot_decode_goes_to_the_cpu_with_the_reason() -> None:
    placement = placed(DecoderPlacement(1, 1), camera("a"), camera("b"))
    assert placement.refuse("b", Refusal(reason="GPUs decode no mjpeg")) == ["b"]
    assert not placement.is_on_gpu("b")
    assert placement.reason_of("b") == "GPUs decode no mjpeg"
    assert placement.is_on_gpu("a")
    assert placement.refuse("b", Refusal(reason="late")) == [], "it is not there any more"
    assert placement.change(camera("b", priority=1)) == ["b"], "a changed row is tried again"


def test_beyond_the_session_limit_the_least_important_leave() -> None:
    placement = placed(DecoderPlacement(1, 1), camera("low"), camera("middle", 1), camera("late", 1), camera("high", 2))
    assert full(placement, 3, "high") == ["low", "high"], "one leaves, and the one that was refused is tried again"
    assert [placement.is_on_gpu(name) for name in ("low", "middle", "late", "high")] == [False, True, True, True]
    assert placement.reason_of("low") == "the GPU opens no more than 3 decoding sessions"
    assert full(placement, 2, "late") == ["late"]
    assert placement.add(camera("top", 9)) == ["middle"], "a more important one takes a place"
    assert placement.is_on_gpu("top")
    assert placement.remove("high") == ["middle"], "and who left comes back when there is room"
    assert placement.reason_of("middle") == ""


def test_a_gpu_that_begins_anew_is_asked_again() -> None:
    placement = placed(DecoderPlacement(1, 1), camera("a"), camera("b"), camera("c"))
    placement.refuse("a", Refusal(reason="GPUs decode no mjpeg"))
    full(placement, 1, "c")
    assert [placement.is_on_gpu(name) for name in "abc"] == [False, True, False]
    assert sorted(placement.restarted(1)) == ["a", "c"]
    assert all(placement.is_on_gpu(name) for name in "abc")
    assert placement.restarted(0) == []


def test_gpus_that_infer_have_their_cameras_where_the_cpu_decodes_too() -> None:
    placement = placed(DecoderPlacement(2, 0, homes=2), *(camera(name, decode="gpu") for name in "abc"))
    assert [placement.home_of(name) for name in "abc"] == [0, 1, 0]
    assert [placement.numbers[name] for name in "abc"] == [0, 1, 0], "of the processes on the CPU"
    assert placement.reason_of("a") == "no GPU decodes here"
    assert placed(DecoderPlacement(1), camera("a")).home_of("a") is None


def test_cameras_are_spread_over_gpus_and_keep_theirs() -> None:
    placement = placed(DecoderPlacement(1, 2), *(camera(name) for name in "abcd"))
    assert [placement.home_of(name) for name in "abcd"] == [0, 1, 0, 1]
    assert [placement.numbers[name] for name in "abcd"] == [1, 2, 1, 2]
    assert full(placement, 1, "c") == ["c"]
    assert [placement.is_on_gpu(name) for name in "abcd"] == [True, True, False, True], "the other GPU has room"
    assert placement.home_of("c") == 0
    assert placement.session_limits == {0: 1}
