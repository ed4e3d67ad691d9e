"""What is shown of an address."""

from __future__ import annotations

import pytest

from photofinish.address.hiding import host_of, is_network_address, looks_like_address, public_address

SHOWN = [
    ("rtsp://user:hunter2@cam.local:554/live?token=1", "rtsp://cam.local:554/live"),
    ("rtsp://cam.local/live", "rtsp://cam.local/live"),
    ("rtsp://[fe80::1]:554/live", "rtsp://[fe80::1]:554/live"),
    ("rtsp://admin:hunter2@[::1]:554/live", "rtsp://[::1]:554/live"),
    ("RTSP://admin:hunter2@CAM", "RTSP://CAM"),
    ("rtsp://admin:hun@ter2@cam/1", "rtsp://cam/1"),
    ("rtsp://admin:hun[ter2@cam/1", "rtsp://cam/1"),
    ("rtsp://admin:hun]ter2@cam/1", "rtsp://cam/1"),
    ("rtsp://admin:hun/ter2@cam/1", "rtsp://…@cam/1"),
    ("rtsp://admin:hun?ter2@cam/1", "rtsp://…@cam/1"),
    ("rtsp://admin:hun#ter2@cam/1", "rtsp://…@cam/1"),
    ("rtsp://admin:hun@a/ter2@cam/1", "rtsp://…@cam/1"),
    ("rtsp://admin:12/hunter2@cam/1", "rtsp://…@cam/1"),
    ("rtsp://admin:hunter2", "rtsp://…"),
    ("rtsp://admin:hunter2/live", "rtsp://…"),
    ("rtsp://admin:hunter2@", "rtsp://"),
    ("rtsp:/admin:hunter2@cam/1", "rtsp:/cam/1"),
    ("rtsp:admin:hunter2@cam/1", "…@cam/1"),
    ("admin:hunter2@cam/1?x=hunter2", "…@cam/1"),
    ("rtspp://admin:hunter2@cam/1", "rtspp://cam/1"),
    ("rtsp://cam/live?user=admin&password=hunter2", "rtsp://cam/live"),
    ("rtsp://cam/live?user=admin&password=hun@ter2", "rtsp://cam/live"),
    ("rtsp://cam/user=admin_password=hunter2_channel=1_stream=0.sdp?real_stream", "rtsp://cam/…"),
    ("http://cam/api/token=hunter2/live", "http://cam/api/…"),
    ("http://cam/monkey=1/live", "http://cam/monkey=1/live"),
    ("https://unpkg.com/@scope/clip.mp4", "https://unpkg.com/@scope/clip.mp4"),
    ("https://host:8080/@scope/clip.mp4", "https://…@scope/clip.mp4"),
    ("holiday@beach.mp4", "holiday@beach.mp4"),
    ("file:///home/a@b:c.mp4", "file:///home/a@b:c.mp4"),
    ("/dev/video0", "/dev/video0"),
    ("synthetic?seed=1", "synthetic?seed=1"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_what_is_shown(text, shown):
    assert public_address(text) == shown
    assert "hunter2" not in shown
    assert "ter2" not in shown


def test_what_is_shown_is_shown_unchanged_again():
    for _, shown in SHOWN:
        assert public_address(shown) == shown


@pytest.mark.parametrize(
    ("address", "host"),
    [("rtsp://u:p@cam:554/1", "cam"), ("rtsp://[::1]:5/x", "::1"), ("rtsp://", None), ("rtsp://u:p[@cam", "cam")],
)
def test_the_host(address, host):
    assert host_of(address) == host


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://a", True),
        ("HTTPS://a", True),
        ("rtsp:/a", False),
        ("clip.mp4", False),
        ("file:///a", False),
        ("a:b", False),
    ],
)
def test_network_addresses(text, expected):
    assert is_network_address(text) is expected


@pytest.mark.parametrize("text", ["rtsp:/cam", "user:pw@cam", "rtspp://cam"])
def test_what_was_meant_to_be_an_address(text):
    assert looks_like_address(text)
    assert not looks_like_address("clip.mp4")
