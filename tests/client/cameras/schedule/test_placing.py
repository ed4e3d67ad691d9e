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


def test_a_camera_that_comes_goes_to_a_gpu_with_room() -> None:
    placement = placed(DecoderPlacement(1, 2), *(camera(name) for name in "abc"))
    full(placement, 2, "c")
    placement.remove("b")
    for name in "defg":
        placement.add(camera(name))
    assert [placement.home_of(name) for name in "defg"] == [1, 1, 1, 1], "GPU 0 has its two"
    placement.give_up(2, "its decode process does not stay")
    placement.add(camera("h"))
    assert placement.home_of("h") == 0, "none has room: the one with fewer cameras"


def test_cameras_are_spread_over_gpus_and_keep_theirs() -> None:
    placement = placed(DecoderPlacement(1, 2), *(camera(name) for name in "abcd"))
    assert [placement.home_of(name) for name in "abcd"] == [0, 1, 0, 1]
    assert [placement.numbers[name] for name in "abcd"] == [1, 2, 1, 2]
    assert full(placement, 1, "c") == ["c"]
    assert [placement.is_on_gpu(name) for name in "abcd"] == [True, True, False, True], "the other GPU has room"
    assert placement.home_of("c") == 0
    assert placement.session_limits == {0: 1}


def ways(placement: DecoderPlacement, names: str) -> dict[str, str]:
    return {name: placement.way_of(name) for name in names}


def test_where_the_cpu_has_no_room_the_least_important_share_sessions_for_keyframes() -> None:
    placement = placed(DecoderPlacement(1, 1), *(camera(name, priority) for priority, name in enumerate("abcdef")))
    full(placement, 3, "a")
    assert ways(placement, "abcdef") == dict.fromkeys("abc", "cpu") | dict.fromkeys("def", "gpu")
    assert (placement.spilled, placement.pooled, placement.poolable) == (3, 0, 3)
    moved = placement.leave_room_for(2)
    assert ways(placement, "abcdef") == dict.fromkeys("ab", "pool") | dict.fromkeys("cd", "cpu") | {
        "e": "gpu",
        "f": "gpu",
    }, "one of three sessions is the pool's, so d has none of its own"
    assert moved == ["d", "a", "b"], "who leaves a session goes first"
    assert [placement.numbers[name] for name in "abcdef"] == [1, 1, 0, 0, 1, 1]
    assert placement.reason_of("a") == "the GPU opens no more than 3 decoding sessions, and the CPU has no room"
    assert (placement.spilled, placement.pooled, placement.without_session) == (2, 2, {1: 4})
    assert placement.remove("f") == ["a", "b", "d", "c"], "the CPU has room for two: the pool's session is free again"
    assert ways(placement, "abcde") == {"a": "cpu", "b": "cpu", "c": "gpu", "d": "gpu", "e": "gpu"}
    assert placement.leave_room_for(1) == ["c", "a", "b"]
    assert ways(placement, "abcde") == {"a": "pool", "b": "pool", "c": "cpu", "d": "gpu", "e": "gpu"}
    assert placement.leave_room_for(None) == ["a", "b", "c"]
    assert ways(placement, "abcde") == {"a": "cpu", "b": "cpu", "c": "gpu", "d": "gpu", "e": "gpu"}


def test_one_session_alone_is_nobodys_to_share_and_many_keep_a_few_for_it() -> None:
    placement = placed(DecoderPlacement(1, 1), camera("a"), camera("b"), camera("c"))
    full(placement, 1, "c")
    placement.leave_room_for(0)
    assert ways(placement, "abc") == {"a": "gpu", "b": "cpu", "c": "cpu"}
    assert placement.poolable == 0
    found = []
    for limit in (2, 15, 16, 285):
        full(placement, limit, "a")
        found.append(placement.pool_sessions_of("a"))
    assert found == [1, 1, 2, 4]


def test_what_a_pool_cannot_decode_goes_to_the_cpu_whatever_room_it_has() -> None:
    placement = placed(DecoderPlacement(1, 1), *(camera(name) for name in "abcd"))
    full(placement, 2, "d")
    placement.leave_room_for(0)
    assert ways(placement, "abcd") == {"a": "gpu", "b": "pool", "c": "pool", "d": "pool"}
    assert placement.refuse("d", Refusal(reason="the GPU failed on it 3 times: broken")) == ["d"]
    assert placement.way_of("d") == "cpu"
    assert placement.reason_of("d") == "the GPU failed on it 3 times: broken"


def test_a_limit_that_was_found_rises_when_the_gpu_opens_more() -> None:
    placement = placed(DecoderPlacement(1, 1), *(camera(name) for name in "abcd"))
    full(placement, 1, "d")
    assert placement.without_session == {1: 3}
    assert placement.lift(1, 2) == ["b", "c"]
    assert ways(placement, "abcd") == {"a": "gpu", "b": "gpu", "c": "gpu", "d": "cpu"}
    assert placement.lift(1, 5) == ["d"]
    assert placement.without_session == {}
    assert placed(DecoderPlacement(1, 1), camera("a")).lift(1, 3) == [], "without a limit there is nothing to lift"


def several(cameras: int, each: int = 2, gpus: int = 1) -> DecoderPlacement:
    """Cameras named by numbers, on GPUs of which each has so many decode processes; number 0 is on the CPU."""
    return placed(DecoderPlacement(1, gpus, each=each), *(camera(str(number)) for number in range(cameras)))


def test_the_decode_processes_of_a_gpu_share_its_cameras() -> None:
    placement = several(8, each=2, gpus=2)
    assert [placement.home_of(str(number)) for number in range(4)] == [0, 1, 0, 1]
    assert sorted(placement.numbers.values()) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert {placement.home_of(name) for name, number in placement.numbers.items() if number in (3, 4)} == {1}
    assert placement.rehome("0", 1) == ["0"]
    assert placement.numbers["0"] in (3, 4)


def test_the_decode_processes_of_a_gpu_share_its_sessions() -> None:
    """By priority, whichever of them is refused."""
    placement = several(0)
    for number, priority in enumerate((0, 1, 1, 1, 0, 1)):
        placement.add(camera(str(number), priority))
    first = [name for name, place in placement.numbers.items() if place == 1]
    assert first == ["0", "2", "4"]
    assert full(placement, 2, "5") == ["4", "5"], "the least important leaves the other process"
    assert placement.session_limits == {0: 5}, "what the other has counts as it is"
    assert full(placement, 2, "5") == ["0", "5"]
    assert placement.reason_of("0") == "the GPU opens no more than 4 decoding sessions"
    assert all(placement.is_on_gpu(name) for name in "1235")
    assert placement.without_session == {1: 2}, "one is asked for more, for all of them"
    placement.leave_room_for(0)
    pooled = [name for name in placement.numbers if placement.way_of(name) == "pool"]
    assert pooled == ["0", "4", "5"], "and the newest of the others, whose session they share"
    assert {placement.numbers[name] for name in pooled} == {1}, "one process has it, so that no other keeps one"
    assert sorted(placement.leave_room_for(None)) == pooled
    assert placement.lift(1, 1) == ["0"]
    assert placement.restarted(2) == ["4"]
    assert placement.session_limits == {}


def test_what_a_decode_process_leaves_the_others_of_its_gpu_take() -> None:
    placement = several(4)
    mine = [name for name, place in placement.numbers.items() if place == 2]
    assert sorted(placement.give_up(2, "it ended")) == mine
    assert set(placement.numbers.values()) == {1}
    placement.add(camera("new"))
    assert placement.numbers["new"] == 1
    assert sorted(placement.give_up(1, "it ended too")) == ["0", "1", "2", "3", "new"]
    assert not any(placement.is_on_gpu(name) for name in placement.numbers)
