"""RTSP messages, passwords and descriptions: as they are on the wire, in pieces, and spoilt."""

from __future__ import annotations

import random
import time

import pytest

from photofinish.client.cameras.rtsp.digest import Authorizer, challenge_from_headers, is_authorized
from photofinish.client.cameras.rtsp.messages import (
    Interleaved,
    RtspMessage,
    RtspParser,
    RtspProtocolError,
    interleaved_bytes,
    message_bytes,
)
from photofinish.client.cameras.rtsp.sdp import NoVideoError, control_url, sdp_of_video, video_track_from_sdp


def test_messages_and_packets_come_whole_however_they_are_cut() -> None:
    wire = (
        message_bytes("RTSP/1.0 200 OK", {"CSeq": "3", "Session": "1"}, b"body")
        + interleaved_bytes(0, b"x" * 300)
        + b"\r\n"
        + message_bytes("OPTIONS * RTSP/1.0", {"CSeq": "4"})
        + interleaved_bytes(1, b"")
    )
    for step in (1, 2, 7, 1000):
        parser = RtspParser()
        found = [item for at in range(0, len(wire), step) for item in parser.feed(wire[at : at + step])]
        assert [type(item) for item in found] == [RtspMessage, Interleaved, RtspMessage, Interleaved]
        answer = found[0]
        assert isinstance(answer, RtspMessage)
        assert (answer.status, answer.sequence, answer.body, answer.header("session")) == (200, 3, b"body", "1")


@pytest.mark.parametrize(
    "spoilt", [b"\x00\x01", b"<html>", b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n", b"A" * 70000]
)
def test_what_is_no_rtsp_is_refused(spoilt: bytes) -> None:
    with pytest.raises(RtspProtocolError):
        RtspParser().feed(spoilt)


def test_random_bytes_neither_hang_nor_crash() -> None:
    chance = random.Random(1)
    for _ in range(2000):
        parser = RtspParser()
        head = chance.choice([b"$", b"RTSP/1.0 ", b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n", b""])
        try:
            parser.feed(head + chance.randbytes(chance.randrange(200)))
            parser.feed(b"\r\n\r\n")
        except RtspProtocolError:
            continue


@pytest.mark.parametrize(
    "asked",
    [
        'Digest realm="c am", nonce="abc"',
        'Digest realm="c", nonce="a,b", algorithm=SHA-256, qop="auth,auth-int"',
        'Basic realm="c"',
    ],
)
def test_a_password_is_proved_and_a_wrong_one_is_not(asked: str) -> None:
    challenge = challenge_from_headers(["Negotiate", asked])
    assert challenge is not None
    realm, nonce = challenge.parameters["realm"], challenge.parameters.get("nonce", "")
    header = Authorizer(challenge, 'ad"min', "p@:/ä").header("DESCRIBE", "rtsp://cam/live")
    if challenge.scheme == "basic":
        assert is_authorized(header, "DESCRIBE", 'ad"min', "p@:/ä", realm, nonce)
    header = Authorizer(challenge, "admin", "p@:/ä").header("DESCRIBE", "rtsp://cam/live")
    assert "p@:/ä" not in header
    assert is_authorized(header, "DESCRIBE", "admin", "p@:/ä", realm, nonce)
    assert not is_authorized(header, "DESCRIBE", "admin", "other", realm, nonce)


def test_the_digest_of_the_standard() -> None:
    """RFC 2617, 3.5."""
    challenge = challenge_from_headers(
        ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"']
    )
    assert challenge is not None
    header = Authorizer(challenge, "Mufasa", "Circle Of Life").header("GET", "/dir/index.html")
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in header


def test_the_first_video_track_is_taken_and_audio_passed_over() -> None:
    track = video_track_from_sdp(sdp_of_video("H264", [b"\x67abc", b"\x68d"], announced_fps=12.5).decode())
    assert (track.codec, track.payload_type, track.control, track.announced_fps) == ("h264", 96, "track1", 12.5)
    assert track.parameter_sets == (b"\x67abc", b"\x68d")
    assert control_url("rtsp://cam/live/", track) == "rtsp://cam/live/track1"
    hevc = video_track_from_sdp(sdp_of_video("H265", [b"@vps", b"Bsps", b"Dpps"], announced_fps=None).decode())
    assert (hevc.codec, hevc.announced_fps, len(hevc.parameter_sets)) == ("hevc", None, 3)


def test_other_descriptions_are_told_apart() -> None:
    jpeg = video_track_from_sdp("v=0\nm=video 0 RTP/AVP 26\na=control:rtsp://cam/x/v\na=framerate:180000\n")
    assert (jpeg.encoding, jpeg.codec, jpeg.announced_fps) == ("JPEG", "", None)
    assert control_url("rtsp://cam/x", jpeg) == "rtsp://cam/x/v"
    with pytest.raises(NoVideoError):
        video_track_from_sdp("v=0\r\nm=audio 0 RTP/AVP 0\r\n")


def test_random_descriptions_are_read_or_refused() -> None:
    chance = random.Random(2)
    text = sdp_of_video("H264", [b"\x67abc"], announced_fps=5).decode()
    for _ in range(3000):
        letters = list(text)
        for _ in range(chance.randrange(1, 12)):
            letters[chance.randrange(len(letters))] = chr(chance.randrange(1, 300))
        try:
            video_track_from_sdp("".join(letters))
        except NoVideoError:
            continue


def test_a_flood_of_messages_and_one_in_small_pieces_cost_no_more_than_their_bytes() -> None:
    """256 KB of the shortest messages kept the loop of all cameras for 25 s, and the same process was then killed."""
    began_s = time.thread_time()
    with pytest.raises(RtspProtocolError):
        RtspParser().feed(b"A\n\n" * 87_000)
    parser = RtspParser()
    for _ in range(60_000):
        assert parser.feed(b"A") == []
    (message,) = parser.feed(b"\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000)
    assert isinstance(message, RtspMessage)
    assert (len(message.first), len(message.body)) == (60_000, 60_000)
    parser.feed(b"RTSP/1.0 200 OK\r\n" + b"a:b\r\n" * 10_000 + b"Content-Length: 100000\r\n\r\n")
    assert not any(parser.feed(b"x") for _ in range(2000))
    assert time.thread_time() - began_s < 3
