"""What the gate remembers, and what it must measure again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photofinish.detections import empty_detections
from photofinish.frame import Frame
from photofinish.perf.accuracy import store as accuracy_store
from photofinish.perf.accuracy.answers import Answers
from photofinish.perf.accuracy.data import Dataset
from photofinish.perf.accuracy.store import AccuracyStore, deciding_code, identity_from_variant
from tests.builders import build_card, build_detections
from tests.conftest import CHECKOUT


class _NoFrames(Dataset):
    def frames(self) -> Iterator[Frame]:
        return iter(())


@pytest.fixture
def store(tmp_path: Path) -> AccuracyStore:
    return AccuracyStore(tmp_path, _NoFrames(kind="labelled", name="toy", class_names=("car",), sha256="ab", size=2))


ANSWERS = Answers(detections=(build_detections([(1, 2, 30, 40, 0.5, 1)]), empty_detections()), request_p50_ns=5)


def test_answers_come_back(store: AccuracyStore) -> None:
    assert store.answers("a") is None
    store.keep_answers("a", ANSWERS)
    known = store.answers("a")
    assert known is not None
    assert [len(item) for item in known.detections] == [len(item) for item in ANSWERS.detections]
    np.testing.assert_array_equal(known.detections[0].boxes_xyxy, ANSWERS.detections[0].boxes_xyxy)
    assert store.answers("b") is None


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_a_damaged_file_is_not_known(store: AccuracyStore, tmp_path: Path, content: bytes) -> None:
    store.keep_answers("a", ANSWERS)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert store.answers("a") is None


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "bf16"},
        {"accelerator": "tensorrt"},
        {"backend": "openvino"},
        {"device": "cuda"},
        {"tf32": True},
        {"cuda_graphs": True},
    ],
)
def test_variants_that_share_a_file_are_measured_each(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"the same graph")
    card = build_card(backend="onnxruntime", precision="fp32")
    assert identity_from_variant(replace(card, **change), tmp_path) != identity_from_variant(card, tmp_path)
    assert identity_from_variant(replace(card, parity={"boxes": 1}), tmp_path) == identity_from_variant(card, tmp_path)


@pytest.mark.parametrize("key", ["cpu", "packages"])
def test_another_machine_or_library_is_measured_again(
    store: AccuracyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    store.keep_answers("a", ANSWERS)
    here = accuracy_store.runtime_fingerprint(None)
    monkeypatch.setattr(accuracy_store, "runtime_fingerprint", lambda nvml: {**here, key: "another"})
    dataset = _NoFrames(kind="labelled", name="toy", class_names=("car",), sha256="ab", size=2)
    assert AccuracyStore(tmp_path, dataset).answers("a") is None
    monkeypatch.setattr(accuracy_store, "runtime_fingerprint", lambda nvml: here)
    assert AccuracyStore(tmp_path, dataset).answers("a") is not None


def test_the_code_that_decides_the_answers_is_known() -> None:
    names = {str(path.relative_to(CHECKOUT)) for path in deciding_code()}
    assert {
        "client/triton/tensors.py",
        "perf/accuracy/figures.py",
        "photofinish/letterbox.py",
        "photofinish/synthetic/traffic.py",
        "server/backend/engines/openvino.py",
        "server/bridge/bridge.cpp",
    } <= names
