"""The Python API against a server in this process: what may be given, what comes back, who may share it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import photofinish
from photofinish import Detector, PhotofinishError
from photofinish.errors import (
    ConfigError,
    InferenceError,
    ModelNotFoundError,
    RequestTimeoutError,
    ServerUnavailableError,
    SourceError,
)
from tests.builders import build_card
from tests.client.fake_triton import FakeModel, FakeTriton, wait_for
from tests.client.pipeline.test_pipelines import one_box, tensor_model
from tests.client.sources.test_sources import write_picture, write_video
from tests.client.triton.test_session import shared_memory_names
from tests.ports import free_port


@pytest.fixture
def server() -> Iterator[FakeTriton]:
    with FakeTriton(FakeModel(infer=one_box), tensor_model()) as fake:
        yield fake


@pytest.fixture
def detector(server: FakeTriton) -> Iterator[Detector]:
    with Detector(server.url, confidence=0) as made:
        yield made


def grey(value: int) -> np.ndarray:
    """A picture in whose middle one box is found with confidence value / 255, in class `bus`."""
    return np.full((64, 64, 3), value, np.uint8)


def test_importing_the_package_loads_no_library() -> None:
    program = "import sys, photofinish, photofinish.errors; print(photofinish.__version__, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()[1:]}
    assert {"numpy", "cv2", "grpc", "tritonclient", "av", "click"} & loaded == set()


def test_what_the_package_offers() -> None:
    assert {"Detector", "Found", "PhotofinishError"} <= set(dir(photofinish))
    assert all(hasattr(photofinish, name) for name in photofinish.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Dedector'"):
        photofinish.Dedector  # noqa: B018


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "photofinish.client.api.detector", None)
    with pytest.raises(ImportError, match=r"pip install 'photofinish\[client\]'"):
        photofinish.__getattr__("Detector")


def test_boxes_scores_and_names_of_a_file(detector: Detector, tmp_path: Path) -> None:
    found = detector(write_picture(tmp_path / "grey.png"))
    assert (found.picture, found.size_wh, found.index, found.presented_s) == ("grey.png", (96, 64), 0, None)
    np.testing.assert_allclose(found.boxes, [[24, 9, 72, 57]], atol=1)
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.tolist()) == (np.float32, np.float32, [1])
    assert found.names == ("bus",)
    assert len(found) == 1
    assert str(found) == "grey.png: bus 0.41"
    ((box, score, name),) = found
    assert (len(box), name) == (4, "bus")
    assert score == pytest.approx(0.408, abs=0.01)
    assert found.drawn().shape == (64, 96, 3)
    assert (found.drawn() != found.image_hwc_bgr).any()


def test_nothing_found_is_empty_arrays(server: FakeTriton) -> None:
    with Detector(server.url, confidence=0.9) as detector:
        found = detector(grey(100))
    assert (found.boxes.shape, found.scores.shape, found.names, list(found)) == ((0, 4), (0,), (), [])
    assert str(found) == "the picture: nothing found"
    assert (found.drawn() == grey(100)).all()


def test_the_same_picture_in_every_form(detector: Detector, tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", 90)
    array = cv2.imread(str(path))
    turned = np.ascontiguousarray(array[:, ::-1])[:, ::-1]
    forms = [path, str(path), array, turned, Image.open(path), Image.open(path).convert("L")]
    found = [detector(form) for form in forms]
    assert {tuple(map(round, item.boxes[0].tolist())) for item in found} == {tuple(map(round, found[0].boxes[0]))}
    assert {round(float(item.scores[0]), 4) for item in found} == {round(float(found[0].scores[0]), 4)}
    assert [item.picture for item in found] == ["a.png", "a.png", "the picture", "the picture", "a.png", "the picture"]


def test_blue_comes_first_in_arrays_and_last_in_pil_images(server: FakeTriton) -> None:
    seen: list[np.ndarray] = []

    def look(inputs):
        seen.append(inputs["frames"][0, 32, 32].copy())
        return one_box(inputs)

    server.models["toy_onnx_fp32"].infer = look
    blue = np.zeros((64, 64, 3), np.uint8)
    blue[:, :, 0] = 200
    with Detector(server.url) as detector:
        detector(blue)
        detector(Image.fromarray(blue[:, :, ::-1]))
    assert [pixel.tolist() for pixel in seen] == [[0, 0, 200], [0, 0, 200]]


@pytest.mark.parametrize("variant", ["onnx_fp32", "torch_fp32_tensor"])
def test_a_list_goes_in_batches_and_keeps_its_order(server: FakeTriton, tmp_path: Path, variant: str) -> None:
    path = write_picture(tmp_path / "b.png", 33)
    values = [*range(10, 200, 10)]
    with Detector(server.url, variant=variant, confidence=0, batch_size=8) as detector:
        before = len(server.requests)
        found = detector([*map(grey, values), path])
        assert detector([]) == []
        assert detector((grey(60),))[0].names == ("bus",)
    assert [int(request.inputs[0].shape[0]) for request in server.requests[before:]] == [8, 8, 4, 1]
    scores = [float(item.scores[0]) for item in found[:-1]]
    np.testing.assert_allclose(scores, np.array(values) / 255, atol=0.005)
    assert [item.picture for item in found[:2]] == ["picture 0", "picture 1"]
    assert found[-1].picture == "b.png"


def test_a_list_of_files_keeps_no_pixels_and_reads_them_again(detector: Detector, tmp_path: Path) -> None:
    (found,) = detector([write_picture(tmp_path / "a.png", 90)])
    assert found.source == tmp_path / "a.png"
    assert found.image_hwc_bgr[0, 0].tolist() == [90, 90, 90]
    (tmp_path / "a.png").unlink()
    with pytest.raises(SourceError, match=r"a\.png cannot be read"):
        found.drawn()


def test_a_model_without_batches_gets_one_picture_a_request() -> None:
    with FakeTriton(FakeModel(infer=one_box, max_batch_size=1)) as server, Detector(server.url) as detector:
        assert len(detector([grey(100), grey(120)])) == 2


def test_a_video_by_iteration(detector: Detector, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", count=12, rate=25)
    found = list(detector.frames(path))
    assert [item.index for item in found] == list(range(12))
    assert [round(25 * (item.presented_s or 0)) for item in found] == list(range(12))
    assert found[3].picture == "clip.mp4 #3"
    scores = [float(item.scores[0]) for item in found]
    assert scores == sorted(scores)
    assert found[7].image_hwc_bgr.shape == (64, 96, 3)


def test_a_folder_by_iteration_and_leaving_early(detector: Detector, tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "c.png"):
        write_picture(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"hello")
    assert [item.picture for item in detector.frames(tmp_path)] == ["a.png", "b.png", "c.png"]
    for item in detector.frames("synthetic?width=96&height=64"):
        if item.index == 3:
            break
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("photofinish-worker")])
    assert detector(grey(90)).names == ("bus",)


def test_many_threads_share_one(server: FakeTriton) -> None:
    server.delay_s = 0.005
    values = [10 * (number % 20) + 10 for number in range(120)]
    with Detector(server.url, confidence=0) as detector, ThreadPoolExecutor(16) as threads:
        scores = list(threads.map(lambda value: float(detector(grey(value)).scores[0]), values))
        lists = list(threads.map(lambda value: len(detector([grey(value)] * 3)), values[:16]))
    np.testing.assert_allclose(scores, np.array(values) / 255, atol=0.005)
    assert lists == [3] * 16


def test_closing_waits_for_what_is_in_flight_and_tells_who_comes_later(server: FakeTriton) -> None:
    server.delay_s = 0.2
    detector = Detector(server.url, confidence=0)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(detector, grey(90)) for _ in range(4)]
        wait_for(lambda: len(server.requests) == 2)
        detector.close()
        outcomes = [task.exception() for task in asked]
    detector.close()
    assert sum(outcome is None for outcome in outcomes) >= 2
    assert {str(outcome) for outcome in outcomes if outcome} <= {"the detector is closed"}
    with pytest.raises(InferenceError, match="the detector is closed"):
        detector(grey(90))
    assert not shared_memory_names()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((8, 8), np.uint8), r"uint8 with shape \(8, 8\).*COLOR_GRAY2BGR"),
        (np.zeros((8, 8, 4), np.uint8), "COLOR_BGRA2BGR"),
        (np.zeros((8, 8, 3), np.float32), r"float32 with shape \(8, 8, 3\).*\* 255"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"list\(array\)"),
        (np.zeros((0, 8, 3), np.uint8), r"shape \(0, 8, 3\)"),
        (7, "the picture is of type int; expected a file's path"),
        (None, "NoneType"),
        ("nowhere.jpg", r"nowhere\.jpg cannot be read: No such file"),
        ("clip.mp4", r"clip\.mp4 is no single picture; .*detector\.frames"),
        (".", r"is no single picture"),
        ("rtsp://user:secret@camera/1", "rtsp://camera/1 is no single picture"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_picture_is_told(detector: Detector, given: object, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        detector(given)
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value, PhotofinishError)


def test_which_picture_of_a_list_is_wrong(detector: Detector) -> None:
    with pytest.raises(SourceError, match=r"^picture 9 is of type int"):
        detector([*[grey(1)] * 9, 3])


def test_the_server_s_failures_are_ours(server: FakeTriton) -> None:
    with pytest.raises(ServerUnavailableError, match="no answer from"):
        Detector(f"127.0.0.1:{free_port()}", timeout_s=0.5)
    with pytest.raises(ModelNotFoundError, match="unknown variant trt_int4"):
        Detector(server.url, variant="trt_int4")
    with pytest.raises(ConfigError, match="transport must be of"):
        Detector(server.url, transport="pigeon")
    with pytest.raises(ConfigError, match="confidence must lie within"):
        Detector(server.url, confidence=25)
    with Detector(server.url, timeout_s=1.0) as detector:
        server.delay_s = 2.5
        with pytest.raises(RequestTimeoutError):
            detector(grey(90))
        server.delay_s = 0
        assert detector(grey(90)).names == ("bus",)
        server.vanish()
        with pytest.raises(ServerUnavailableError):
            detector(grey(90))


def test_one_of_several_networks_is_taken_and_told() -> None:
    old = FakeModel(name="old_onnx_fp32", card=build_card(variant="old_onnx_fp32", model="old", published_ns=1))
    new_card = build_card(variant="new_onnx_fp32", model="new", published_ns=2, weights_sha256="1" * 64, untrained=True)
    said: list[str] = []
    with FakeTriton(old, FakeModel(name="new_onnx_fp32", card=new_card)) as server:
        with Detector(server.url, on_notice=said.append) as detector:
            assert (detector.variant, detector.card.model, detector.model.name) == (
                "new_onnx_fp32",
                "new",
                "new_onnx_fp32",
            )
        with Detector(server.url, model="old", on_notice=print) as detector:
            assert detector.variant == "old_onnx_fp32"
    assert any("there is also old" in line for line in said)
    assert any("is untrained: its boxes mean nothing" in line for line in said)


def test_supervision_gets_arrays_of_its_own(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    found = detector(grey(90))
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ConfigError, match="pip install supervision"):
        found.to_supervision()
    # Its names for what it takes; the library itself is too large to be installed for this.
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=lambda **given: given))
    given = found.to_supervision()
    assert sorted(given) == ["class_id", "confidence", "data", "xyxy"]
    assert given["data"]["class_name"].tolist() == ["bus"]
    given["xyxy"][:] = 0
    assert found.boxes.any()


def broken(inputs: object) -> dict[str, np.ndarray]:
    raise RuntimeError("broken on purpose")


def share_of_white(inputs: Any) -> dict[str, np.ndarray]:
    """Two classes, of which the second has the mean of the middle of the picture."""
    mean = inputs["frames"][:, 24:40, 24:40].mean(axis=(1, 2, 3)) / 255
    return {"scores": np.stack([1 - mean, mean], axis=1).astype(np.float32)}


def test_several_models_look_at_the_same_pictures() -> None:
    pose, face = (
        build_card(variant=f"{name}_onnx_fp32", model=name, class_names=("a", name)) for name in ("pose", "face")
    )
    further = (FakeModel(name="pose_onnx_fp32", card=pose, infer=one_box, max_batch_size=2),
               FakeModel(name="face_onnx_fp32", card=face, infer=broken))  # fmt: skip
    with FakeTriton(FakeModel(infer=one_box), *further) as server:
        with Detector(server.url, variant="toy_onnx_fp32", with_models=["pose", "face"], confidence=0) as detector:
            assert [model.name for model in detector.models] == ["toy_onnx_fp32", "pose_onnx_fp32", "face_onnx_fp32"]
            found = detector([grey(value) for value in (51, 102, 153)])
            sizes = [request.inputs[0].shape[0] for request in server.requests]
        with pytest.raises(ConfigError, match=r"give \['pose'\]"):
            Detector(server.url, with_models="pose")
    assert sorted(sizes) == [1, 1, 1, 2, 2, 2], "batches of what each of them takes"
    for given, score in zip(found, (0.2, 0.4, 0.6), strict=True):
        assert list(given.parts) == ["toy", "pose", "face"]
        assert (given.names, given.parts["pose"].names, given.parts["face"].names) == (("bus",), ("pose",), ())
        assert given.parts["pose"].scores[0] == pytest.approx(score)
        assert given.keypoints is None
        assert "broken on purpose" in given.parts["face"].problem
        assert str(given).startswith(f"{given.picture}: toy: bus {score:.2f}; pose: pose {score:.2f}; face: face_onnx")
        assert (given.drawn() != given.image_hwc_bgr).any()


def kinds(infer: Any = share_of_white, *, device: str = "cuda") -> FakeModel:
    card = build_card(
        variant="kinds_onnx_fp32", model="kinds", task="classify", head="scores", class_names=("x", "y"), device=device
    )
    return FakeModel(name="kinds_onnx_fp32", card=card, infer=infer, outputs=(("scores", "FP32", (2,)),))


def test_each_picture_of_a_list_has_the_time_of_a_request_for_its_crops_and_keeps_its_answers() -> None:
    """On a processor crops go one by one: a list of large crowds would take longer than one request may."""
    asked: list[int] = []

    def slow(inputs: Any) -> Any:
        asked.append(1)
        threading.Event().wait(0.5)
        return share_of_white(inputs) if len(asked) != 6 else broken(inputs)

    with (
        FakeTriton(FakeModel(infer=one_box), kinds(slow, device="cpu")) as server,
        Detector(server.url, crops=["kinds"], crop_side=8, confidence=0.1, timeout_s=1.4) as detector,
    ):
        for problem in ("", "broken on purpose"):
            found = [item.parts["kinds"] for item in detector([grey(204)] * 3)]
            assert [len(item) for item in found] == [1, 1, 0 if problem else 1]
            assert [item.problem for item in found[:2]] == ["", ""]
            assert problem in found[2].problem
    assert len(asked) == 6


def test_further_models_look_at_the_boxes_of_a_list_of_pictures() -> None:
    scores = kinds()
    said: list[str] = []
    with FakeTriton(FakeModel(infer=one_box), scores) as server:
        with Detector(
            server.url, crops=["kinds:bus"], crop_side=8, crop_margin=0.1, confidence=0.1, on_notice=said.append
        ) as detector:
            assert [model.name for model in detector.models] == ["toy_onnx_fp32", "kinds_onnx_fp32"]
            found = detector([grey(value) for value in (51, 0, 204)])
            sizes = [request.inputs[0].shape[0] for request in server.requests]
            scores.infer = broken
            (failed,) = detector([grey(204)])
        with pytest.raises(ConfigError, match=r"crops must be a list of names.*give \['kinds'\]"):
            Detector(server.url, crops="kinds")
        with pytest.raises(ConfigError, match="toy has no class 'dog'"):
            Detector(server.url, crops=["kinds:dog"])
    assert sizes == [3, 2], "crops of several pictures share a request"
    assert any("with a margin of 10% at each side" in line for line in said)
    assert [item.parts["kinds"].names for item in found] == [("x",), (), ("y",)]
    assert [item.parts["kinds"].scores.tolist() for item in found] == [[pytest.approx(0.8)], [], [pytest.approx(0.8)]]
    of = found[2].parts["kinds"].of
    assert of is not None
    assert (of.tolist(), found[2].of, found[2].parts["toy"].of) == ([0], None, None)
    np.testing.assert_array_equal(found[2].parts["kinds"].boxes, found[2].boxes)
    assert str(found[2]).endswith(": bus 0.80 (kinds: y 0.80)")
    assert str(found[2].parts["kinds"]).endswith(": y 0.80")
    assert (found[2].drawn() != found[2].parts["toy"].drawn()).any()
    assert "broken on purpose" in failed.parts["kinds"].problem
    assert failed.names == ("bus",)
    assert any("kinds_onnx_fp32 looks at the boxes of toy (bus)" in line for line in said)
