"""A result in words: a line for a reader, JSON for a program, a label file for YOLO's tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from photofinish.client.detect.drawing import class_name
from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.pipeline.part import Crops, FramePart
from photofinish.client.sources.pictures import PictureSource
from photofinish.client.sources.source import Source
from photofinish.detections import Detections, points_by_name


def picture_name(source: Source, index: int) -> str:
    """The file name of a picture, or the source's name and the frame's number."""
    if isinstance(source, PictureSource):
        return source.path_of(index).name
    return f"{source.name} #{index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one model found, as a line tells it. crops: of a model that looks at the first one's boxes."""

    name: str
    detections: Detections
    class_names: tuple[str, ...]
    problem: str = ""
    crops: Crops | None = None

    def labels(self) -> list[str]:
        """`person 0.92` for each detection."""
        columns = zip(self.detections.class_id.tolist(), self.detections.confidence, strict=True)
        return [f"{class_name(self.class_names, class_id)} {confidence:.2f}" for class_id, confidence in columns]


def text_from_result(result: FrameResult, name: str, class_names: tuple[str, ...]) -> str:
    """One line for a reader, as `text_from_shares` has it."""
    alone = Share(name="", detections=result.detections, class_names=class_names)
    shares = [
        Share(
            name=part.name,
            detections=part.detections,
            class_names=part.class_names,
            problem=part.problem,
            crops=part.crops,
        )
        for part in result.parts
    ]
    return text_from_shares(name, shares or [alone])


def text_from_shares(picture: str, shares: Sequence[Share]) -> str:
    """`bus.jpg: bus 0.93, person 0.92`.

    Where several models see the whole picture each is named: `bus.jpg: street: bus 0.93; pose: person 0.89`, or why it
    gave no answer. What was found in a box stands behind it: `person 0.92 (yunet: face 0.84)`.
    """
    looking = [share for share in shares if share.crops and not share.problem]
    whole = [share for share in shares if not share.crops]
    texts = []
    for number, share in enumerate(whole):
        labels = _with_crops(share.labels(), looking) if number == 0 else share.labels()
        told = share.problem or ", ".join(labels) or "nothing found"
        texts.append(f"{share.name}: {told}" if len(whole) > 1 else told)
    texts += [f"{share.name}: {share.problem}" for share in shares if share.crops and share.problem]
    return f"{picture}: {'; '.join(texts)}"


def _with_crops(labels: list[str], looking: Sequence[Share]) -> list[str]:
    """The first model's boxes, each with what was found in it; nothing behind those that were not cut out."""
    inside: list[list[str]] = [[] for _ in labels]
    for share in looking:
        crops, found = share.crops, share.labels()
        for number in crops.looked_at.tolist() if crops else ():
            told = [label for label, of in zip(found, crops.of.tolist() if crops else (), strict=True) if of == number]
            inside[number].append(f"{share.name}: {', '.join(told) or 'nothing'}")
    return [f"{label} ({'; '.join(told)})" if told else label for label, told in zip(labels, inside, strict=True)]


def json_from_result(result: FrameResult, name: str, class_names: tuple[str, ...], *, ascii_only: bool = False) -> str:
    """One JSON line for a program; boxes and keypoints in pixels of the picture.

    Of several models every box names its part, and `parts` says of each which variant it was, how long it took and,
    where it gave no answer, why. What was found in a crop has `of`: the place in this list of the box that it was cut
    out by. ascii_only: other characters as JSON's escapes.
    """
    boxes = [box for part in result.parts for box in _boxes_of(part)]
    document = {
        "picture": name,
        "stream_id": result.frame.stream_id,
        "index": result.frame.index,
        "size_wh": list(result.frame.size_wh),
        **({} if result.frame.presented_ns is None else {"presented_s": round(result.frame.presented_ns / 1e9, 6)}),
        "service_ms": round(result.service_ns / 1e6, 3),
        **({"crops_ms": round(result.crops_ns / 1e6, 3)} if result.has_crops else {}),
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


def _boxes_of(part: FramePart) -> list[dict[str, Any]]:
    boxes = _boxes(part.detections, part.class_names)
    if part.crops is None:
        return [{"part": part.name, **box} for box in boxes]
    return [{"part": part.name, "of": of, **box} for of, box in zip(part.crops.of.tolist(), boxes, strict=True)]


def _account(part: FramePart) -> dict[str, Any]:
    told: dict[str, Any] = {
        "variant": part.variant,
        "outcome": part.outcome,
        "took_ms": round(part.took_ns / 1e6, 3),
    }
    if part.crops:
        told["cutting_ms"] = round(part.crops.prepare_ns / 1e6, 3)
        told["looked_at"] = part.crops.looked_at.tolist()
        told["left_out"] = {"too_small": part.crops.too_small, "over_limit": part.crops.over_limit}
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
