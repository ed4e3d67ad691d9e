"""A result in words: a line for a reader, JSON for a program, a label file for YOLO's tools."""

from __future__ import annotations

import json
from typing import Any

from photofinish.client.detect.drawing import class_name
from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.pipeline.part import FramePart
from photofinish.client.sources.pictures import PictureSource
from photofinish.client.sources.source import Source
from photofinish.detections import Detections, points_by_name


def picture_name(source: Source, index: int) -> str:
    """The file name of a picture, or the source's name and the frame's number."""
    if isinstance(source, PictureSource):
        return source.path_of(index).name
    return f"{source.name} #{index}"


def text_from_result(result: FrameResult, name: str, class_names: tuple[str, ...]) -> str:
    """One line for a reader: `bus.jpg: bus 0.93, person 0.92`.

    Of several models each is named: `bus.jpg: street: bus 0.93; pose: person 0.89`, or why it gave no answer.
    """
    if not result.parts:
        return f"{name}: {_listed(result.detections, class_names)}"
    parts = (f"{part.name}: {part.problem or _listed(part.detections, part.class_names)}" for part in result.parts)
    return f"{name}: {'; '.join(parts)}"


def _listed(found: Detections, class_names: tuple[str, ...]) -> str:
    boxes = (
        f"{class_name(class_names, class_id)} {confidence:.2f}"
        for class_id, confidence in zip(found.class_id, found.confidence, strict=True)
    )
    return ", ".join(boxes) or "nothing found"


def json_from_result(result: FrameResult, name: str, class_names: tuple[str, ...], *, ascii_only: bool = False) -> str:
    """One JSON line for a program; boxes and keypoints in pixels of the picture.

    Of several models every box names its part, and `parts` says of each which variant it was, how long it took and,
    where it gave no answer, why. ascii_only: other characters as JSON's escapes.
    """
    boxes = [{"part": part.name, **box} for part in result.parts for box in _boxes(part.detections, part.class_names)]
    document = {
        "picture": name,
        "stream_id": result.frame.stream_id,
        "index": result.frame.index,
        "size_wh": list(result.frame.size_wh),
        **({} if result.frame.presented_ns is None else {"presented_s": round(result.frame.presented_ns / 1e9, 6)}),
        "service_ms": round(result.service_ns / 1e6, 3),
        **({"parts": {part.name: _account(part) for part in result.parts}} if result.parts else {}),
        "detections": boxes if result.parts else _boxes(result.detections, class_names),
    }
    return json.dumps(document, ensure_ascii=ascii_only)


def _boxes(found: Detections, class_names: tuple[str, ...]) -> list[dict[str, Any]]:
    columns = (found.boxes_xyxy, found.confidence, found.class_id)
    rows = zip(*(column.tolist() for column in columns), points_by_name(found), strict=True)
    return [
        {
            "box_xyxy": [round(side, 2) for side in box],
            "confidence": round(confidence, 4),
            "class_id": class_id,
            "class": class_name(class_names, class_id),
            **({} if points is None else {"keypoints": points}),
        }
        for box, confidence, class_id, points in rows
    ]


def _account(part: FramePart) -> dict[str, Any]:
    told = {"variant": part.variant, "outcome": part.outcome, "took_ms": round(part.took_ns / 1e6, 3)}
    return {**told, "problem": part.problem} if part.problem else told


def yolo_from_detections(found: Detections, size_wh: tuple[int, int]) -> str:
    """A label file as YOLO's tools read it: `class cx cy width height` in shares of the picture, a line a box.

    Empty where nothing was found, which is how they write a picture without objects. It has no confidence: with a
    sixth number it would be no label.
    """
    width, height = size_wh
    lines = []
    for class_id, (x1, y1, x2, y2) in zip(found.class_id.tolist(), found.boxes_xyxy.tolist(), strict=True):
        shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        lines.append(" ".join([str(class_id), *(f"{share:.6f}" for share in shares)]) + "\n")
    return "".join(lines)
