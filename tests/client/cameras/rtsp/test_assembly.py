"""Pictures from RTP: whole, in pieces, with losses, with marker bits that lie, and from garbage."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from photofinish.client.cameras.rtsp.assembly import CodedPicture, PictureAssembler
from photofinish.client.cameras.rtsp.nal import annex_b_from_units, nal_units, rtp_payloads
from photofinish.client.cameras.rtsp.rtp import (
    RtpError,
    RtpPacket,
    SenderReport,
    is_goodbye,
    packet_bytes,
    packet_from_bytes,
    sender_report_bytes,
    sender_reports,
)

SPS, PPS = b"\x67sps", b"\x68pps"
KEY, INTER, LONELY = b"\x65\x88" + b"k" * 4000, b"\x41\x9a" + b"p" * 900, b"\x01\x9a" + b"b" * 30
LATER_SLICE = b"\x41\x20" + b"s" * 20
HEVC_KEY, HEVC_INTER = b"\x26\x01\x80" + b"k" * 4000, b"\x02\x01\x80" + b"p" * 300
HEVC_LONELY = b"\x00\x02\x80" + b"b" * 30


def packets(pictures: list[list[bytes]], codec: str = "h264", *, first: int = 65530) -> Iterator[RtpPacket]:
    sequence = first
    for number, units in enumerate(pictures):
        payloads = [piece for unit in units for piece in rtp_payloads(unit, codec, 1000)]
        for at, payload in enumerate(payloads):
            wire = packet_bytes(
                payload, sequence=sequence, timestamp=3000 * number, ssrc=7, is_marked=at == len(payloads) - 1
            )
            yield packet_from_bytes(wire)
            sequence = (sequence + 1) & 0xFFFF


def assembled(assembler: PictureAssembler, stream: Iterator[RtpPacket]) -> list[CodedPicture]:
    return [picture for packet in stream for picture in assembler.push(packet)]


def test_a_picture_is_given_with_its_last_packet() -> None:
    assembler = PictureAssembler("h264")
    stream = list(packets([[SPS, PPS, KEY], [INTER], [LONELY]]))
    assert not [p for packet in stream[:6] for p in assembler.push(packet)]
    found = assembled(assembler, iter(stream[6:]))
    assert [p.is_keyframe for p in found] == [True, False, False]
    assert [p.is_reference for p in found] == [True, True, False]
    assert list(nal_units(found[0].data)) == [SPS, PPS, KEY]
    assert assembler.lost == 0


def test_hevc() -> None:
    assembler = PictureAssembler("hevc", (b"@\x01vps", b"B\x01sps", b"D\x01pps"))
    found = assembled(assembler, packets([[HEVC_KEY], [HEVC_INTER], [HEVC_LONELY]], "hevc"))
    assert [(p.is_keyframe, p.is_reference) for p in found] == [(True, True), (False, True), (False, False)]
    assert list(nal_units(found[0].data)) == [b"@\x01vps", b"B\x01sps", b"D\x01pps", HEVC_KEY]


def test_parameter_sets_of_the_description_come_before_a_keyframe_without_any() -> None:
    found = assembled(PictureAssembler("h264", (SPS, PPS)), packets([[KEY]]))
    assert found[0].data == annex_b_from_units([SPS, PPS, KEY])


def test_parameter_sets_in_packets_of_their_own_belong_to_the_picture_behind_them() -> None:
    """Many cameras mark them as if they were pictures."""
    found = assembled(PictureAssembler("h264"), packets([[SPS], [PPS], [KEY]]))
    assert [list(nal_units(p.data)) for p in found] == [[SPS, PPS, KEY]]


@pytest.mark.parametrize("missing", [0, 2, 4])
def test_a_loss_is_counted_and_told(missing: int) -> None:
    assembler = PictureAssembler("h264")
    stream = [packet for at, packet in enumerate(packets([[INTER], [KEY], [INTER]])) if at != missing + 1]
    found = assembled(assembler, iter(stream))
    assert assembler.lost == 1
    assert any(p.is_after_loss for p in found)
    assert not found[0].is_after_loss


def test_a_packet_that_comes_twice_changes_nothing() -> None:
    stream = [packet for packet in packets([[SPS, KEY], [INTER]]) for _ in range(2)]
    assembler = PictureAssembler("h264")
    assert len(assembled(assembler, iter(stream))) == 2
    assert assembler.lost == 0


def test_marker_bits_that_lie_are_found_out() -> None:
    """Some cameras mark every slice: from then on the next timestamp ends a picture."""
    assembler = PictureAssembler("h264")
    slices = [
        RtpPacket(True, 96, number, 3000 * (number // 2), 7, INTER if number % 2 == 0 else LATER_SLICE)
        for number in range(10)
    ]
    found = assembled(assembler, iter(slices))
    assert list(nal_units(found[-1].data)) == [INTER, LATER_SLICE]


def test_sender_reports_are_read_back() -> None:
    report = SenderReport(ssrc=7, unix_ns=1_700_000_000_123_456_789, timestamp=90_000)
    wire = sender_report_bytes(report, packets=3, octets=4)
    (found,) = sender_reports(wire + b"\x81\xca\x00\x01abcd")
    assert abs(found.unix_ns - report.unix_ns) < 2
    assert found.timestamp == 90_000
    assert not is_goodbye(wire)
    assert is_goodbye(wire + b"\x81\xcb\x00\x01abcd")


def test_garbage_neither_crashes_nor_grows() -> None:
    chance = random.Random(3)
    for codec in ("h264", "hevc"):
        assembler = PictureAssembler(codec)
        for _ in range(4000):
            data = b"\x80\x60" + chance.randbytes(chance.randrange(0, 60))
            list(sender_reports(data))
            is_goodbye(data)
            try:
                assembler.push(packet_from_bytes(data))
            except RtpError:
                continue
        assert assembler.malformed > 0


def test_a_picture_of_very_many_units_is_given_up() -> None:
    """One packet of 16,000 slices behind 96,000 other units took 26 s of the loop that all cameras share."""
    assembler = PictureAssembler("h264")
    began_s = time.thread_time()
    for sequence in range(7):
        unit = b"\x06\x00" if sequence < 6 else b"\x01\x00"
        payload = b"\x18" + (len(unit).to_bytes(2, "big") + unit) * 16_000
        assert assembler.push(RtpPacket(False, 96, sequence, 1, 7, payload)) == []
    assert assembler.malformed == 7
    assert time.thread_time() - began_s < 2
    found = assembled(assembler, packets([[SPS, PPS, KEY]], first=7))
    assert [list(nal_units(p.data)) for p in found] == [[SPS, PPS, KEY]]


def test_parameter_sets_that_changed_in_the_stream_come_before_the_next_keyframes() -> None:
    """Those of the description would bring the size back that the camera had before."""
    new = b"\x67new"
    found = assembled(PictureAssembler("h264", (SPS, PPS)), packets([[KEY], [new, KEY], [INTER], [KEY]]))
    assert list(nal_units(found[-1].data)) == [PPS, new, KEY]


def test_a_camera_that_counts_its_packets_anew_is_heard_after_the_second_one() -> None:
    """Half of all new counts lie "before" the old one: 32,768 packets were taken for late ones, until a stall."""
    assembler = PictureAssembler("h264")
    assembled(assembler, packets([[SPS, PPS, KEY]], first=40_000))
    found = assembled(assembler, packets([[INTER], [LONELY], [SPS, PPS, KEY]], first=30_000))
    assert [p.is_keyframe for p in found] == [False, True]
    assert found[0].is_after_loss
    assert assembler.lost == 1
