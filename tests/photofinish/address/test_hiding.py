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
    # without its scheme
    ("cam/user=admin_password=hunter2_channel=1", "cam/…"),
    ("/user=admin_password=hunter2", "/…"),
    ("192.168.1.10:554/user=admin&password=hunter2&channel=1.sdp", "192.168.1.10:554/…"),
    ("192.168.1.10:554/live?user=admin&password=hunter2", "192.168.1.10:554/live"),
    ("cam/live?password=hunter2", "cam/live?…"),
    ("//admin:hunter2@cam/1", "…@cam/1"),
    (" rtsp://admin:hunter2@cam/1", "…@cam/1"),
    ("admin:hun/ter2@cam/1", "…@cam/1"),
    ("admin%3Ahunter2@cam/1", "…@cam/1"),
    ("admin:x@cam/user=admin_password=hunter2", "…@cam/…"),
    ("hunter2@cam/1", "…@cam/1"),
    ("cam:554/0/admin:hunter2/main", "cam:554/0/…/main"),
    ('rtspsrc location="rtsp://cam/1" user-id=admin user-pw=hunter2', 'rtspsrc location="rtsp://cam/1" …'),
    # in the path, as makers of cameras have it
    ("rtsp://cam/0/admin:hunter2/main", "rtsp://cam/0/…/main"),
    ("rtsp://cam/username:admin/password:hunter2", "rtsp://cam/…/…"),
    ("rtsp:/cam/user=admin_password=hunter2", "rtsp:/cam/…"),
    ("rtsp:/user:hunter2/cam", "rtsp:/…"),
    ("rtsp://cam/live;password=hunter2", "rtsp://cam/live;…"),
    ("rtsp://cam/loginuse=admin&loginpas=hunter2", "rtsp://cam/…"),
    ("rtsp://cam/user_pw=hunter2", "rtsp://cam/…"),
    ("rtsp://cam/password%3Dhunter2", "rtsp://cam/…"),
    ("srt://cam:9000/passphrase=hunter2", "srt://cam:9000/…"),
    ("rtmp://cam/app/streamkey=hunter2", "rtmp://cam/app/…"),
    # encoded as a whole, or typed with a Chinese keyboard
    ("rtsp://admin%3Ahunter2%40cam/1", "rtsp://…"),
    ("rtsp://admin\uff1ahunter2\uff20cam/1", "rtsp://…"),
    ("admin\uff1ahunter2@cam", "…@cam"),
    # no passwords
    ("rtsp://köln.example:554/Kamera-1", "rtsp://köln.example:554/Kamera-1"),
    ("./photos@2024/a.jpg", "./photos@2024/a.jpg"),
    ("clips/turnkey=1.mp4", "clips/turnkey=1.mp4"),
    ("torchvision:resnet18", "torchvision:resnet18"),
    ("C:/clips/street.mp4", "C:/clips/street.mp4"),
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
