"""Recordings as people have them, and what comes out: a table of the neighbours that were tried.

Every clip is made here. The number of frames is what another program decodes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from photofinish.client.sources.opening import open_source
from photofinish.errors import SourceError
from tests.client.sources.clips import (
    H264,
    copy_clip,
    cut,
    decodable_frames,
    ffmpeg,
    joined,
    make_clip,
    make_clip_with_sound,
    turned,
    with_codec_tag,
    with_hole,
)

Make = Callable[[Path], Path]
VARIABLE = ("-vf", "select='not(between(n,10,30)+between(n,40,45))'", "-vsync", "vfr", *H264)


def _shifted(folder: Path, offset_s: float) -> Path:
    return make_clip(folder / f"shifted{offset_s}.ts", *H264, "-output_ts_offset", offset_s)


def _trimmed(folder: Path) -> Path:
    whole = make_clip(folder / "whole.mp4", *H264, "-g", "100", seconds=4)
    return copy_clip(whole, folder / "trimmed.mp4", before=("-ss", "2.5"))


def _begun_in_a_group(folder: Path) -> Path:
    content = make_clip(folder / "whole.ts", *H264, "-g", "25", seconds=4).read_bytes()
    path = folder / "begun.ts"
    path.write_bytes(content[len(content) // 8 // 188 * 188 :])
    return path


def _with_cover(folder: Path) -> Path:
    cover = make_clip(folder / "cover.png", "-frames:v", "1", size="64x64")
    path = folder / "cover.mp4"
    ffmpeg("-i", make_clip(folder / "a.mp4"), "-i", cover, "-map", 1, "-map", 0, "-c", "copy",
           "-disposition:v:0", "attached_pic", path)  # fmt: skip
    return path


INTACT: dict[str, Make] = {
    "trimmed without encoding again: an edit list": _trimmed,
    "variable rate in MP4": lambda at: make_clip(at / "a.mp4", *VARIABLE, seconds=3),
    "variable rate in Matroska": lambda at: make_clip(at / "a.mkv", *VARIABLE, seconds=3),
    "variable rate in WebM": lambda at: make_clip(at / "a.webm", *VARIABLE[:4], "-c:v", "libvpx", seconds=3),
    "variable rate in a transport stream": lambda at: make_clip(at / "a.ts", *VARIABLE, seconds=3),
    "AVI with dropped frames": lambda at: make_clip(at / "a.avi", *VARIABLE[:4], "-c:v", "mpeg4", seconds=3),
    "AVI with dropped frames, H.264": lambda at: make_clip(at / "a.avi", *VARIABLE, "-bf", "2", seconds=3),
    "sound longer than the picture, MP4": lambda at: make_clip_with_sound(at / "a.mp4", seconds=1, sound_s=3),
    "sound longer than the picture, Matroska": lambda at: make_clip_with_sound(at / "a.mkv", seconds=1, sound_s=3),
    "sound longer than the picture, TS": lambda at: make_clip_with_sound(at / "a.ts", seconds=1, sound_s=3),
    "sound longer than the picture, FLV": lambda at: make_clip_with_sound(
        at / "a.flv", *H264, "-ar", "44100", seconds=1, sound_s=3
    ),
    "sound begins before the picture": lambda at: make_clip_with_sound(
        at / "a.mkv", *H264, "-af", "asetpts=PTS-1/TB", seconds=1, sound_s=2
    ),
    "time stamps jump forward by an hour": lambda at: joined(at / "a.ts", _shifted(at, 0), _shifted(at, 3600)),
    "time stamps go back": lambda at: joined(at / "a.ts", _shifted(at, 90), _shifted(at, 0)),
    "begun in the middle of a group of pictures": _begun_in_a_group,
    "pictures of two sizes": lambda at: joined(
        at / "a.ts", make_clip(at / "1.ts"), make_clip(at / "2.ts", size="96x96")
    ),
    "in fragments": lambda at: make_clip(
        at / "a.mp4", *H264, "-g", "10", "-movflags", "+frag_keyframe+empty_moov", seconds=2
    ),
    "its index at the beginning": lambda at: make_clip(at / "a.mp4", *H264, "-movflags", "+faststart"),
    "a live Matroska, without sizes": lambda at: make_clip(at / "a.mkv", *H264, "-live", "1"),
    "a live Matroska that was stopped": lambda at: cut(
        make_clip(at / "1.mkv", *H264, "-live", "1", "-cluster_time_limit", "200"), at / "a.mkv", 0.7
    ),
    "AV1 in MP4": lambda at: make_clip(at / "a.mp4", "-c:v", "libaom-av1", "-cpu-used", "8"),
    "AV1 in Matroska": lambda at: make_clip(at / "a.mkv", "-c:v", "libaom-av1", "-cpu-used", "8"),
    "H.264 without a container": lambda at: make_clip(at / "a.h264", *H264),
    "a cover picture before the video": _with_cover,
    "with a colon in its name": lambda at: make_clip(at / "b.mp4").rename(at / "cam:1 12:30.mp4"),
    "a transport stream that ends anywhere": lambda at: cut(make_clip(at / "1.ts", seconds=2), at / "a.ts"),
}


@pytest.mark.parametrize("kind", INTACT)
def test_an_intact_recording_gives_all_its_frames(kind, tmp_path):
    path = INTACT[kind](tmp_path)
    notices: list[str] = []
    with open_source(str(path), on_notice=notices.append) as source:
        frames = list(source.frames())
        count = source.frame_count
    first_video = decodable_frames(path) if "cover" not in kind else 25
    assert [frame.index for frame in frames] == list(range(first_video))
    times_ns = [frame.presented_ns for frame in frames]
    assert times_ns[0] == 0
    assert times_ns == sorted(set(times_ns))
    assert times_ns[-1] < 10e9
    assert not notices
    if "begun" not in kind:
        assert count == first_video


DAMAGED: dict[str, tuple[Make, str]] = {
    "MP4 with its index in front, cut": (
        lambda at: cut(make_clip(at / "1.mp4", *H264, "-movflags", "+faststart", seconds=3), at / "a.mp4"),
        r"a\.mp4 ends after \d+ of 75 frames: it is damaged or cut short",
    ),
    "MP4 with its index behind, cut": (
        lambda at: cut(make_clip(at / "1.mp4"), at / "a.mp4"),
        r"a\.mp4 cannot be opened as a video: it is cut short, \d+ of \d+ bytes are there",
    ),
    "MP4 in fragments, cut": (
        lambda at: cut(INTACT["in fragments"](at), at / "b.mp4"),
        r"b\.mp4 ends after \d+",
    ),
    "Matroska, cut": (
        lambda at: cut(make_clip(at / "1.mkv"), at / "a.mkv"),
        r"a\.mkv ends after \d+ frames: it is cut short, \d+ of \d+ bytes are there",
    ),
    "AVI, cut": (
        lambda at: cut(make_clip(at / "1.avi", "-c:v", "mpeg4", seconds=2), at / "a.avi"),
        r"a\.avi ends after \d+ frames: it is cut short, \d+ of \d+ bytes are there",
    ),
    "FLV, cut": (
        lambda at: cut(make_clip(at / "1.flv"), at / "a.flv"),
        r"a\.flv ends after \d+ frames: it is cut short, its last part is incomplete",
    ),
    "WMV, cut": (
        lambda at: cut(make_clip(at / "1.wmv"), at / "a.wmv"),
        r"a\.wmv ends after \d+ frames: it is cut short, \d+ of \d+ bytes are there",
    ),
    "Ogg, cut": (
        lambda at: cut(make_clip(at / "1.ogv", "-c:v", "libtheora", seconds=2), at / "a.ogv"),
        r"a\.ogv ends after \d+ frames: it is cut short, its last page is incomplete",
    ),
    "GIF, cut": (
        lambda at: cut(make_clip(at / "1.gif", "-c:v", "gif"), at / "a.gif"),
        r"a\.gif ends after \d+ frames: it is cut short, its end is missing",
    ),
    "MP4, a tenth overwritten": (
        lambda at: with_hole(make_clip(at / "1.mp4", *H264, "-movflags", "+faststart", seconds=3), at / "a.mp4"),
        r"a\.mp4 ends after \d+ of 75 frames: it is damaged or cut short",
    ),
    "AVI, a tenth overwritten": (
        lambda at: with_hole(make_clip(at / "1.avi", "-c:v", "mpeg4", "-g", "5", seconds=3), at / "a.avi"),
        r"a\.avi ends after \d+ of 75 frames: it is damaged or cut short",
    ),
    "a coding that nothing here decodes": (
        lambda at: with_codec_tag(make_clip(at / "1.mp4"), at / "my clip.mp4", b"evc1"),
        r"holds video in evc, which cannot be decoded here; convert it: ffmpeg -i '\S+my clip\.mp4' -c:v libx264",
    ),
    "a coding that nobody knows": (
        lambda at: with_codec_tag(make_clip(at / "1.mp4"), at / "a.mp4", b"zzzz"),
        r"a\.mp4 holds video in zzzz, which cannot be decoded here",
    ),
    "encrypted": (lambda at: with_codec_tag(make_clip(at / "1.mp4"), at / "a.mp4", b"encv"), r"a\.mp4 is encrypted"),
    "another coding than it says": (
        lambda at: with_codec_tag(make_clip(at / "1.mp4"), at / "a.mp4", b"vvc1"),
        r"a\.mp4 cannot be opened as a video: it is damaged, or its vvc cannot be decoded here",
    ),
    "only sound": (
        lambda at: make_clip_with_sound(at / "a.mp4", "-map", "1:a", seconds=1, sound_s=1),
        r"a\.mp4 holds no video, only audio",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_recording_is_told_in_one_line(kind, tmp_path):
    make, words = DAMAGED[kind]
    path = make(tmp_path)
    frames = []
    with pytest.raises(SourceError, match=words) as caught, open_source(str(path)) as source:
        frames.extend(source.frames())
    assert "\n" not in str(caught.value)
    assert bool(frames) == ("ends after" in str(caught.value))


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_pictures_that_the_decoder_mends_are_counted(suffix, tmp_path):
    whole = make_clip(tmp_path / f"1.{suffix}", *H264, "-g", "100", seconds=3)
    content = bytearray(whole.read_bytes())
    for position in range(len(content) // 2, len(content) - 500, 5003):
        content[position] ^= 0xA5
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    notices: list[str] = []
    with open_source(str(path), on_notice=notices.append) as source:
        assert len(list(source.frames())) > 60
    assert len(notices) == 1
    assert f"a.{suffix}: " in notices[0]
    assert "damaged in the file" in notices[0]


def test_a_variable_rate_is_presented_and_paced_at_its_own_times(tmp_path):
    path = INTACT["variable rate in Matroska"](tmp_path)
    kept = [n for n in range(75) if not (10 <= n <= 30 or 40 <= n <= 45)]
    with open_source(str(path), paced=True) as source:
        frames = list(source.frames())
        begun_ns = frames[0].captured_ns
    expected_s = np.array([n / 25 for n in kept])
    by_index = {frame.index: frame for frame in frames}
    assert max(by_index) == len(kept) - 1
    for index, frame in by_index.items():
        assert frame.presented_ns / 1e9 == pytest.approx(expected_s[index], abs=0.002)
        assert (frame.captured_ns - begun_ns) / 1e9 >= expected_s[
            index
        ] - 0.4  # without its own times the last is a second early


def test_the_times_go_on_when_it_is_repeated(tmp_path):
    path = make_clip(tmp_path / "a.mp4", *H264, seconds=0.4)
    with open_source(str(path), loop=True) as source:
        frames = source.frames()
        times_ns = [next(frames).presented_ns for _ in range(25)]
    assert np.diff(times_ns) == pytest.approx([40_000_000] * 24, abs=100_000)


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_a_video_is_turned_as_it_says(degrees, corner, tmp_path):
    plain = make_clip(tmp_path / "1.mp4", "-vf", "drawbox=w=20:h=20:c=white:t=fill", *H264)
    path = turned(plain, tmp_path / "a.mp4", degrees)
    with open_source(str(path)) as source:
        size_wh = source.size_wh
        image = next(source.frames()).image_hwc_bgr
    assert size_wh == ((128, 72) if degrees == 180 else (72, 128))
    assert image.shape[1::-1] == size_wh
    assert image[corner].min() > 200


FIELD = {
    "audio_longer.mkv": 30,
    "audio_longer.ts": 30,
    "av1.mp4": 30,
    "begun_mid_gop.ts": 120,
    "photo.avif": 1,
    "timestamp_back.ts": 60,
    "trimmed_edit_list.mp4": 45,
    "vfr.mkv": 45,
    "vfr.webm": 45,
}


@pytest.mark.parametrize("name", FIELD)
def test_files_from_the_field(name, test_data):
    path = test_data / "field" / "media" / name
    notices: list[str] = []
    with open_source(str(path), on_notice=notices.append) as source:
        assert [frame.index for frame in source.frames()] == list(range(FIELD[name]))
    assert not notices


def test_no_file_from_the_field_is_left_out(test_data):
    assert {path.name for path in (test_data / "field" / "media").iterdir()} == set(FIELD)


def test_the_count_of_a_closed_recording_is_unknown(tmp_path):
    """Its index is gone, and asking FFmpeg for it would crash."""
    with open_source(str(make_clip(tmp_path / "a.mp4"))) as source:
        pass
    assert source.frame_count is None
