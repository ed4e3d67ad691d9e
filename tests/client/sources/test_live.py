"""Which names are cameras of this machine."""

from __future__ import annotations

import os

import pytest

from photofinish.client.sources.live import camera_index


@pytest.mark.parametrize(
    ("spec", "index"),
    [
        ("0", 0),
        ("/dev/video12", 12),
        ("/dev/v4l/by-id/usb-Logitech_C920-video-index0", 7),
        ("/dev/v4l/by-path/pci-0000:00:14.0-usb-0:2:1.0-video-index0", 7),
        ("/dev/front-door", 7),
        ("/dev/sda", None),
        ("/dev/video1234", None),
        ("video0", None),
        ("1234", None),
        ("²", None),
        ("-1", None),
        ("/dev/vid\0eo", None),
        ("clip.mp4", None),
    ],
)
def test_what_is_a_camera(spec, index, monkeypatch):
    linked = ("/dev/v4l/", "/dev/front")
    monkeypatch.setattr(os.path, "realpath", lambda path: "/dev/video7" if path.startswith(linked) else path)
    assert camera_index(spec) == index
