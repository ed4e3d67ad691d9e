"""What earlier runs of the gate measured, so that only what changed is measured again."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.detections import Detections
from photofinish.keypoints.layout import POINT_WIDTH, Keypoints, layout_from_names
from photofinish.machine.gpu import load_nvml
from photofinish.model_card import ModelCard
from photofinish.perf.accuracy.answers import AccuracyResult, Answers
from photofinish.perf.accuracy.data import Dataset
from photofinish.perf.record.environment import runtime_fingerprint
from photofinish.source_hash import ROOT, source_files, source_hash

DECIDING = ("perf/accuracy", "server/backend", "server/bridge", "client", "photofinish")
"""Folders whose code stands between a frame of a data set and its figures."""
WITHOUT = ("client/ui", "photofinish/commands", "photofinish/flows")


class AccuracyStore:
    """Answers and figures on one data set, by the identity of the variants; a file of another shape is ignored.

    Other code, another machine or another version of an engine's library gives other answers: nothing is known then.
    """

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self._folder = folder
        self._dataset = [dataset.kind, dataset.sha256, _code_hash(), runtime_fingerprint(load_nvml())]

    def answers(self, identity: str) -> Answers | None:
        """The variant's answers; None when they are not known."""
        try:
            with np.load(self._path("answers", [identity], ".npz")) as arrays:
                ends = np.cumsum(arrays["counts"])[:-1]
                request_p50_ns = int(arrays["request_p50_ns"])
                columns = [np.split(arrays[name], ends) for name in ("boxes_xyxy", "confidence", "class_id")]
                keypoints = _split_keypoints(arrays["keypoints_xyv"], str(arrays["keypoint_layout"]), ends)
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            return None
        detections = [
            Detections(boxes_xyxy=boxes, confidence=confidence, class_id=class_id, keypoints=points)
            for boxes, confidence, class_id, points in zip(*columns, keypoints, strict=True)
        ]
        return Answers(detections=detections, request_p50_ns=request_p50_ns)

    def keep_answers(self, identity: str, answers: Answers) -> None:
        """Remember a variant's answers to all frames."""
        found = answers.detections
        path = self._path("answers", [identity], ".npz")
        temporary = path.with_name(f".{os.getpid()}-{path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        points = [item.keypoints for item in found if item.keypoints is not None]
        layout = points[0].layout if points else None
        np.savez(
            temporary,
            request_p50_ns=np.array(answers.request_p50_ns),
            counts=np.array([len(item) for item in found]),
            boxes_xyxy=np.concatenate([item.boxes_xyxy for item in found]),
            confidence=np.concatenate([item.confidence for item in found]),
            class_id=np.concatenate([item.class_id for item in found]),
            keypoints_xyv=np.concatenate([item.xyv for item in points])
            if points
            else np.empty((0, 0, POINT_WIDTH), np.float32),
            keypoint_layout=np.array(json.dumps([layout.names, layout.skeleton] if layout else [[], []])),
        )
        temporary.replace(path)

    def result(self, identity: str, baseline: str, *, name: str) -> tuple[AccuracyResult, str] | None:
        """A variant's figures against that baseline and the cause of its refusal; None when they are not known."""
        try:
            document: dict[str, Any] = json.loads(
                self._path("result", [identity, baseline], ".json").read_text("utf-8")
            )
            return AccuracyResult(**{**document["result"], "variant": name}), str(document["cause"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_result(self, identity: str, baseline: str, result: AccuracyResult, cause: str) -> None:
        """Remember a variant's figures."""
        path = self._path("result", [identity, baseline], ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{os.getpid()}-{path.name}")
        temporary.write_text(json.dumps({"result": asdict(result), "cause": cause}, indent=1), encoding="utf-8")
        temporary.replace(path)

    def _path(self, what: str, identities: list[str], suffix: str) -> Path:
        key = hashlib.sha256(json.dumps([what, *identities, *self._dataset]).encode()).hexdigest()
        return self._folder / f"{what}-{key[:32]}{suffix}"


def _split_keypoints(
    xyv: npt.NDArray[np.float32], told: str, ends: npt.NDArray[np.intp]
) -> list[Keypoints] | list[None]:
    """The keypoints of each frame; None for each where the model has none."""
    names, skeleton = json.loads(told)
    layout = layout_from_names(tuple(names), tuple((first, second) for first, second in skeleton))
    if layout is None:
        return [None] * (len(ends) + 1)
    return [Keypoints(xyv=points, layout=layout) for points in np.split(xyv, ends)]


def identity_from_variant(card: ModelCard, directory: Path) -> str:
    """A hash of what decides a variant's answers: its files, what computes them and in what, how its output is read.

    Two variants may share one file: OpenVINO's bf16 is the FP32 graph, ONNX Runtime's TensorRT provider takes the
    graph of onnx_fp16.
    """
    settings = [card.backend, card.precision, card.accelerator, card.device, card.cuda_graphs, card.tf32]
    settings += [card.contract, card.head, card.nms, list(card.input_wh), card.nms_iou]
    settings += [list(card.keypoint_names), [list(line) for line in card.keypoint_skeleton]]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path in sorted(path for path in (directory / "1").rglob("*") if path.is_file()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _code_hash() -> str:
    return source_hash(deciding_code())


def deciding_code(root: Path = ROOT) -> list[Path]:
    """All code between a frame of a data set and its figures: not the commands and what they compose, not the pages."""
    return source_files(DECIDING, without=WITHOUT, root=root)
