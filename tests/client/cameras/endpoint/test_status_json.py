from __future__ import annotations

import json
from typing import Any

import pytest

from photofinish.client.cameras.endpoint.status_json import json_from_status, status_from_json
from photofinish.errors import ConfigError
from tests.client.cameras.endpoint.statuses import camera_status, cell_status, dead_camera


def document() -> dict[str, Any]:
    status = cell_status(camera_status(size_wh=(640, 360), p50_ms=12.5), dead_camera(), notes=("degraded",))
    return dict(json.loads(json.dumps(json_from_status(status, with_lines=True))))


def test_a_status_comes_back_as_it_was() -> None:
    status = cell_status(camera_status(size_wh=(640, 360), p50_ms=12.5), dead_camera(), notes=("degraded",))
    found = status_from_json(document())
    lines = tuple(map(tuple, (row.ingest.lines for row in found.cameras)))
    assert lines == (("PLAY 200",), ())
    assert json_from_status(found) == json_from_status(status)


def test_lines_are_left_out_unless_asked_for() -> None:
    assert json_from_status(cell_status(camera_status()))["cameras"][0]["ingest"]["lines"] == []


def test_how_a_camera_is_decoded_comes_back() -> None:
    status = cell_status(camera_status(decode="pool", decode_reason="no room"))
    (row,) = status_from_json(json.loads(json.dumps(json_from_status(status)))).cameras
    assert (row.decode, row.decode_reason) == ("pool", "no room")


def test_what_a_later_release_adds_is_passed_over() -> None:
    later = document()
    later["mood"] = later["cameras"][0]["mood"] = "good"
    assert len(status_from_json(later).cameras) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"cameras": 7},
        {"cameras": [{}]},
        {"cameras": [{**document()["cameras"][0], "quality": "superb"}]},
        {"cameras": [{**document()["cameras"][0], "decode": "magic"}]},
        {"cameras": [{**document()["cameras"][0], "served_fps": "many"}]},
        {"cameras": [{**document()["cameras"][0], "count": None}]},
    ],
)
def test_what_is_no_status_is_one_error(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no status"):
        status_from_json({**document(), **change})
    with pytest.raises(ConfigError, match="no status"):
        status_from_json([1, 2])
