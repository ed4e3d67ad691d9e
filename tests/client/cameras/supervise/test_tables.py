from __future__ import annotations

from dataclasses import replace

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
    assert "decoded:" not in summary_line(status), "without a GPU there is one way alone"


def test_the_way_that_each_camera_is_decoded_is_in_its_row() -> None:
    why = "the GPU opens no more than 2 decoding sessions"
    status = cell_status(
        camera_status("gate", decode="gpu"),
        camera_status("door", decode="cpu", decode_reason=why),
        camera_status("yard", decode="pool", decode_reason=f"{why}, and the CPU has no room", sampling="keyframes"),
    )
    _, gate, door, yard = status_table(status)
    assert gate.split()[3] == "gpu"
    assert door.endswith(f"on the CPU: {why}")
    assert "pool, keyframes" in yard
    assert yard.endswith(f"keyframes by shared decoders: {why}, and the CPU has no room")
    gpus = {"gate": 0, "door": 1, "yard": 1}
    spread = cell_status(*(replace(row, gpu=gpus[row.camera]) for row in status.cameras))
    ways = ("gpu 0", "cpu for gpu 1", "pool of gpu 1, keyframes")
    assert all(way in line for way, line in zip(ways, status_table(spread)[1:], strict=True))
    assert "decoded: 1 by a GPU, 1 by the CPU, 1 by a GPU's pool for keyframes" in summary_line(status)
