from __future__ import annotations

from photofinish.client.cameras.supervise.tables import aligned, status_table, summary_line
from tests.client.cameras.endpoint.statuses import camera_status, cell_status, dead_camera


def test_columns_lie_below_each_other_in_chinese_too() -> None:
    lines = aligned([("camera", "fps"), ("后院", "5"), ("door", "25")])
    assert lines == ["camera  fps", "后院    5", "door    25"]


def test_the_camera_with_the_most_trouble_is_first_and_the_rest_is_counted() -> None:
    status = cell_status(camera_status("door"), dead_camera("yard"), camera_status("gate"))
    lines = status_table(status, limit=1)
    assert lines[1].startswith("yard")
    assert "nobody listens there (next try in 3 s)" in lines[1]
    assert lines[2] == "… and 2 more cameras"
    assert "2 of 3 cameras play" in summary_line(status)
