"""`cameras check` on real streams: what is told of each, and what to do about the rest."""

from __future__ import annotations

import asyncio

from photofinish.client.cameras.streams.server import StreamServer
from photofinish.client.cameras.streams.stream import StreamFaults, TestStream
from photofinish.client.cameras.supervise.check import CheckedCamera, check_cameras
from photofinish.client.cameras.supervise.tables import check_table
from photofinish.client.cameras.values.camera import Camera
from tests.client.cameras.streams.test_server import moving_clip


def test_each_camera_has_its_row() -> None:
    clip, hevc = moving_clip(), moving_clip("hevc", (96, 64))
    faults = {
        "fine": StreamFaults(),
        "locked": StreamFaults(status=401),
        "no keyframe": StreamFaults(no_keyframe=True),
        "clock": StreamFaults(clock_offset_s=-5 * 365 * 86400),
        "garbage": StreamFaults(garbage=True),
    }
    streams = {name: TestStream(clip=clip, frames_per_s=25, faults=given) for name, given in faults.items()}
    streams["small"] = TestStream(clip=hevc, frames_per_s=10, faults=StreamFaults(announced_fps=30))

    async def main() -> list[CheckedCamera]:
        async with StreamServer({name.replace(" ", "-"): stream for name, stream in streams.items()}) as server:
            cameras = [
                Camera(name=name, url=server.url(name.replace(" ", "-")), password="hunter2", frames_per_s=15)
                for name in streams
            ]
            return await check_cameras(cameras, watch_s=4)

    rows = asyncio.run(main())
    assert [row.camera.name for row in rows] == list(streams)
    table = check_table(rows)
    assert "hunter2" not in "".join(table)
    by_name = dict(zip(streams, table[1:], strict=True))
    assert by_name["fine"].split()[1:7] == ["yes", "h264", "160", "×", "96", "25"]
    assert by_name["fine"].endswith("RTCP     –")
    for name, text in {
        "locked": "refuses the user and password",
        "no keyframe": "no keyframe within 4 s",
        "clock": "its clock is 5.0 years behind ours",
        "small": "it sends 10 fps and 15 are wanted",
        "garbage": "restart",
    }.items():
        assert text in by_name[name], by_name[name]
    assert {name: row.is_reachable for name, row in zip(streams, rows, strict=True)}["locked"] is False
