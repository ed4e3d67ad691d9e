"""Keypoints in the gate: against labels, against the baseline, and what is refused for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from photofinish.detections import Detections
from photofinish.errors import ConfigError
from photofinish.frame import Frame
from photofinish.keypoints.layout import COCO_POSE, FACE, Keypoints
from photofinish.perf.accuracy.answers import Answers, results_from_answers
from photofinish.perf.accuracy.data import Dataset
from photofinish.perf.accuracy.gate import GateCandidate, GateReport, GateVerdict, verdict_from_result
from photofinish.perf.accuracy.keypoints import expect_same_points, points_from_baseline, points_from_truth
from photofinish.perf.accuracy.labels import LabelledDataset
from photofinish.perf.accuracy.report import POINT_HEADER, table_from_report
from tests.builders import build_card, build_frame

SIZE = (640, 480)


def people(*, off: float = 0.0, visibility: float = 1.0, count: int = 2) -> Detections:
    """Boxes of 100 x 200 whose points lie on a grid in them, `off` pixels to the right."""
    random = np.random.default_rng(0)
    corners = np.array([(50 + 200 * index, 100) for index in range(count)], np.float32).reshape(-1, 2)
    xyv = np.empty((count, 17, 3), np.float32)
    xyv[..., :2] = corners[:, None] + random.uniform(0, 100, (count, 17, 2)) + (off, 0)
    xyv[..., 2] = visibility
    return Detections(
        boxes_xyxy=np.concatenate((corners, corners + np.float32((100, 200))), axis=1).astype(np.float32),
        confidence=np.linspace(0.9, 0.6, count).astype(np.float32),
        class_id=np.zeros(count, np.int32),
        keypoints=Keypoints(xyv=xyv, layout=COCO_POSE),
    )


def test_the_same_points_have_a_full_oks_map() -> None:
    figures = points_from_truth([people()], [people()], [SIZE], ("person",))
    assert figures is not None
    assert (figures.oks_map50_95, figures.oks_map50, figures.mean_error, figures.points) == (1.0, 1.0, 0.0, 34)


def test_points_that_lie_off_lose_oks_and_tell_how_far() -> None:
    figures = points_from_truth([people(off=10)], [people()], [SIZE], ("person",))
    assert figures is not None
    assert 0.2 < figures.oks_map50_95 < 0.95
    assert figures.mean_error == pytest.approx(10 / np.hypot(100, 200), rel=1e-3)


def test_nothing_found_and_nothing_labelled() -> None:
    nothing = people(count=0)
    figures = points_from_truth([nothing], [people()], [SIZE], ("person",))
    assert figures is not None
    assert (figures.oks_map50_95, figures.mean_error, figures.points) == (0.0, None, 0)
    without = replace(people(), keypoints=None)
    assert points_from_truth([without], [people()], [SIZE], ("person",)) is None
    assert points_from_baseline([without], [without]) is None


def test_points_that_the_baseline_does_not_see_are_not_compared() -> None:
    assert points_from_baseline([people(off=50)], [people(visibility=0.3)]) is None
    seen = points_from_baseline([people(off=5)], [people()])
    assert seen is not None
    assert seen.mean_error == pytest.approx(5 / np.hypot(100, 200), rel=1e-3)


def verdict_on(
    precision: str, *, off: float, floor: float = 0.9, labelled: bool = True, visibility: float = 1.0
) -> GateVerdict:
    class Labelled(Dataset):
        def frames(self) -> Iterator[Frame]:
            yield replace(build_frame(size_wh=SIZE), truth=people() if labelled else None)

    dataset = Labelled(
        kind="labelled" if labelled else "unlabelled",
        name="people",
        class_names=("person",) if labelled else (),
        sha256="",
        size=1,
        keypoints=COCO_POSE,
    )
    card = build_card(class_names=("person",), precision=precision, keypoint_names=COCO_POSE.names)
    answers = {
        "base": Answers(detections=[people(visibility=visibility)], request_p50_ns=1),
        "toy": Answers(detections=[people(off=off, visibility=visibility)], request_p50_ns=1),
    }
    result = results_from_answers(answers, dataset, card, baseline="base")["toy"]
    candidate = GateCandidate(name="toy", floor=floor, card=card, directory=Path())
    return verdict_from_result(result, candidate, "")


def test_a_variant_passes_by_its_boxes_and_its_points() -> None:
    assert verdict_on("fp16", off=0.5).passed
    far = verdict_on("int8", off=9, floor=0.95)
    assert not far.passed
    assert "keeps 100.0% of the baseline's mAP50-95 (1.000) and " in far.reason
    assert "of its keypoints' OKS-mAP50-95" in far.reason
    moved = verdict_on("fp16", off=9, labelled=False)
    assert not moved.passed
    assert "its keypoints lie 4.0% of the box's diagonal from the baseline's on average, fp16 may lie 2% off" in (
        moved.reason
    )


def test_points_that_nobody_sees_are_no_figure_and_decide_nothing() -> None:
    unseen = verdict_on("fp16", off=50, labelled=False, visibility=0.3)
    assert unseen.undecided
    assert unseen.reason.startswith("its keypoints could not be judged: no box on these frames has a keypoint")
    assert (unseen.result.mean_point_error, unseen.result.worst_point_error) == (None, None)
    judged = verdict_on("fp16", off=0.5, visibility=0.3)
    assert judged.passed
    assert not judged.undecided
    report = GateReport(baseline="base", dataset="people", kind="labelled", verdicts=(judged,), cached=0)
    assert "1.0000 0.224 % – / –" in " ".join(table_from_report(report).splitlines()[2].split())


def test_the_table_has_columns_for_points_where_there_are_some() -> None:
    verdict = verdict_on("fp16", off=0.5)
    report = GateReport(baseline="base", dataset="people", kind="labelled", verdicts=(verdict,), cached=0)
    lines = table_from_report(report).splitlines()
    assert all(name in lines[1] for name in POINT_HEADER)
    assert "0.224 % / 0.224 %" in lines[2]


def test_another_number_of_points_is_told() -> None:
    with pytest.raises(ConfigError, match=r"faces has 5 keypoints an object and pose.pt tells 17; pass the data set"):
        expect_same_points(COCO_POSE, FACE, where="faces", weights="pose.pt")
    expect_same_points(COCO_POSE, None, where="boxes", weights="pose.pt")


def test_labelled_points_are_read_with_their_boxes(tmp_path: Path) -> None:
    import cv2

    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((100, 200, 3), np.uint8))
    (tmp_path / "data.yaml").write_text("val: images\nkpt_shape: [2, 3]\nnames: [cat]\nkpt_names: {0: [head, tail]}\n")
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.4 0.5 0.25 2 0 0 0\n0 0.2 0.2 0.1 0.1\n")
    dataset = LabelledDataset(tmp_path / "data.yaml")
    assert dataset.keypoints is not None
    assert dataset.keypoints.names == ("head", "tail")
    (frame,) = dataset.frames()
    assert frame.truth is not None
    assert frame.truth.keypoints is not None
    np.testing.assert_allclose(frame.truth.keypoints.xyv[0], [(100, 25, 1), (0, 0, 0)])
    assert not frame.truth.keypoints.xyv[1].any()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.4 0.5 7 2 0 0 0\n")
    with pytest.raises(ConfigError, match="line 1: a keypoint lies outside its picture"):
        LabelledDataset(tmp_path / "data.yaml")
