"""Events as JSON: the messages that users of Frigate know, and crossings of lines."""

from __future__ import annotations

from typing import Any

from photofinish.client.cameras.values.event import LineCrossing, ObjectEvent, ObjectState


def message_from_event(event: ObjectEvent) -> dict[str, Any]:
    """Frigate's message of `events`: type new, update or end, and the object before and after."""
    return {"type": event.kind, "before": _object(event.before), "after": _object(event.after)}


def message_from_crossing(crossing: LineCrossing) -> dict[str, Any]:
    """One crossing, with the counts of its class at its line since the run began."""
    return {
        "type": "crossing",
        "camera": crossing.camera,
        "line": crossing.line,
        "label": crossing.label,
        "direction": crossing.direction,
        "id": crossing.event_id,
        "frame_time": _seconds(crossing.frame_unix_ns),
        "in": crossing.count_in,
        "out": crossing.count_out,
    }


def _object(state: ObjectState) -> dict[str, Any]:
    """Frigate's names and units: seconds since 1970, whole pixels of the picture."""
    x1, y1, x2, y2 = box = _pixels(state.box_xyxy)
    snapshot = state.snapshot
    return {
        "id": state.event_id,
        "camera": state.camera,
        "label": state.label,
        "frame_time": _seconds(state.frame_unix_ns),
        "start_time": _seconds(state.start_unix_ns),
        "end_time": None if state.end_unix_ns is None else _seconds(state.end_unix_ns),
        "score": round(state.score, 4),
        "top_score": round(state.top_score, 4),
        "box": box,
        "area": (x2 - x1) * (y2 - y1),
        "width": state.size_wh[0],
        "height": state.size_wh[1],
        "current_zones": list(state.current_zones),
        "entered_zones": list(state.entered_zones),
        "crossed_lines": [{"line": line, "direction": direction} for line, direction in state.crossings],
        "has_snapshot": snapshot is not None,
        "snapshot": None
        if snapshot is None
        else {
            "path": snapshot.path,
            "frame_time": _seconds(snapshot.frame_unix_ns),
            "score": round(snapshot.score, 4),
            "box": _pixels(snapshot.box_xyxy),
        },
    }


def _pixels(box_xyxy: tuple[float, float, float, float]) -> list[int]:
    return [round(side) for side in box_xyxy]


def _seconds(unix_ns: int) -> float:
    return round(unix_ns / 1e9, 6)
