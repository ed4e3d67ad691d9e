"""A result in words: a line for a reader, JSON for a program, a label file for YOLO's tools."""

from __future__ import annotations

import json

from photofinish.client.detect.drawing import class_name
from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.sources.pictures import PictureSource
from photofinish.client.sources.source import Source
from photofinish.detections import points_by_name


def picture_name(source: Source, index: int) -> str:
    """The file name of a picture, or the source's name and the frame's number."""
    if isinstance(source, PictureSource):
        return source.path_of(index).name
    return f"{source.name} #{index}"


def text_from_result(result: FrameResult, name: str, class_names: tuple[str, ...]) -> str:
    """One line for a reader: `bus.jpg: bus 0.93, person 0.92`."""
    found = result.detections
    parts = [
        f"{class_name(class_names, class_id)} {confidence:.2f}"
        for class_id, confidence in zip(found.class_id, found.confidence, strict=True)
    ]
    return f"{name}: {', '.join(parts) or 'nothing found'}"


def json_from_result(result: FrameResult, name: str, class_names: tuple[str, ...], *, ascii_only: bool = False) -> str:
    """One JSON line for a program; boxes and keypoints in pixels of the picture.

    ascii_only: other characters as JSON's escapes.
    """
    found = result.detections
    columns = (found.boxes_xyxy, found.confidence, found.class_id)
    rows = zip(*(column.tolist() for column in columns), points_by_name(found), strict=True)
    document = {
        "picture": name,
        "stream_id": result.frame.stream_id,
        "index": result.frame.index,
        "size_wh": list(result.frame.size_wh),
        **({} if result.frame.presented_ns is None else {"presented_s": round(result.frame.presented_ns / 1e9, 6)}),
        "service_ms": round(result.service_ns / 1e6, 3),
        "detections": [
            {
                "box_xyxy": [round(side, 2) for side in box],
                "confidence": round(confidence, 4),
                "class_id": class_id,
                "class": class_name(class_names, class_id),
                **({} if points is None else {"keypoints": points}),
            }
            for box, confidence, class_id, points in rows
        ],
    }
    return json.dumps(document, ensure_ascii=ascii_only)


def yolo_from_result(result: FrameResult) -> str:
    """A label file as YOLO's tools read it: `class cx cy width height` in shares of the picture, a line a box.

    Empty where nothing was found, which is how they write a picture without objects. It has no confidence: with a
    sixth number it would be no label.
    """
    width, height = result.frame.size_wh
    lines = []
    for class_id, (x1, y1, x2, y2) in zip(
        result.detections.class_id.tolist(), result.detections.boxes_xyxy.tolist(), strict=True
    ):
        shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        lines.append(" ".join([str(class_id), *(f"{share:.6f}" for share in shares)]) + "\n")
    return "".join(lines)
