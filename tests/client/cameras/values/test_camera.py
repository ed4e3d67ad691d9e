"""A camera's row: what it refuses, and that its secrets stay inside."""

from __future__ import annotations

import pickle

import pytest

from photofinish.client.cameras.values.camera import Camera, Zone, address_parts
from photofinish.errors import ConfigError


def test_secrets_are_in_no_repr_and_in_the_address_only_on_demand() -> None:
    camera = Camera(name="door", url="rtsp://cam/live?token=1", user="ad min", password="p@/w")
    assert "p@/w" not in repr(camera)
    assert "ad min" not in repr(camera)
    assert camera.shown_url == "rtsp://cam/live"
    assert camera.address_with_secret == "rtsp://ad%20min:p%40%2Fw@cam/live?token=1"
    text = f"cannot open {camera.address_with_secret}: p@/w and p%40%2Fw are refused"
    assert "p@/w" not in camera.without_secrets(text)
    assert "p%40%2Fw" not in camera.without_secrets(text)
    assert pickle.loads(pickle.dumps(camera)) == camera


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("rtsp://cam/live", ("rtsp://cam/live", "", "")),
        ("rtsp://admin:pw@cam:554/live", ("rtsp://cam:554/live", "admin", "pw")),
        ("rtsp://admin:p@w@cam/live", ("rtsp://cam/live", "admin", "p@w")),
        ("rtsp://admin:p%40w@cam", ("rtsp://cam", "admin", "p@w")),
        ("rtsp://admin:p/w@cam/live", ("rtsp://cam/live", "admin", "p/w")),
        ("rtsp://cam:554/a@b", ("rtsp://cam:554/a@b", "", "")),
        ("rtsp://[::1]:554/a", ("rtsp://[::1]:554/a", "", "")),
        ("/dev/video0", ("/dev/video0", "", "")),
        ("clip.mp4", ("clip.mp4", "", "")),
    ],
)
def test_an_address_is_split_at_the_last_at_sign(address: str, parts: tuple[str, str, str]) -> None:
    assert address_parts(address) == parts


@pytest.mark.parametrize(
    ("field", "value"),
    [("frames_per_s", 0), ("min_confidence", 2), ("transport", "ip"), ("url", " "), ("max_age_s", 0)],
)
def test_a_wrong_value_is_one_message_with_the_cameras_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"camera 'door': {field} must be"):
        Camera(**{"name": "door", "url": "rtsp://cam", field: value})  # type: ignore[arg-type]


def test_a_zone_is_a_polygon_inside_the_picture() -> None:
    assert len(Zone(name="a", points_xy=((0, 0), (1, 0), (1, 1))).points_xy) == 3
    with pytest.raises(ConfigError, match="three or more points"):
        Zone(name="a", points_xy=((0, 0), (2, 0), (1, 1)))
