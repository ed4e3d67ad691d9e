"""The kernel's own code, run on the CPU, against the numpy reference and against what the CPU path draws."""

from __future__ import annotations

import locale
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from photofinish.client.cameras.decode.nv12.building import (
    PTX,
    SOURCE,
    compiled_kernel,
    find_nvrtc,
    ptx_from_source,
    source_key,
)
from photofinish.client.cameras.decode.nv12.job import Colours, LetterboxJob, gains_from_colours, job_from_picture
from photofinish.client.cameras.decode.nv12.reference import letterboxed_from_nv12
from photofinish.client.sources.converting import BgrConverter
from photofinish.client.triton.tensors import write_input
from photofinish.letterbox import Letterbox

Plane = npt.NDArray[np.uint8]
COLOURS = [Colours(matrix=matrix, is_full_range=full) for matrix in ("bt601", "bt709") for full in (False, True)]
SIZES = [
    ((1280, 720), (640, 640)),
    ((1920, 1080), (640, 384)),
    ((704, 576), (640, 384)),
    ((640, 480), (640, 360)),
    ((638, 358), (333, 201)),
    ((320, 240), (640, 640)),
    ((96, 64), (96, 64)),
]
"""Source and target: 16:9 in a square and in 16:9, 4:3 in 16:9, odd ones, larger, unchanged."""


def picture(size_wh: tuple[int, int], colours: Colours, seed: int = 0) -> VideoFrame:
    """Smooth shapes with noise on them, in the values that the range allows."""
    width, height = size_wh
    rng = np.random.default_rng(seed)
    low, high = (0, 255) if colours.is_full_range else (16, 235)
    rows = []
    for shape in ((height, width), (height // 2, width // 2), (height // 2, width // 2)):
        plane = rng.integers(low, high + 1, shape).astype(np.uint8)
        rows.append(plane)
    frame = VideoFrame(width, height, "yuvj420p" if colours.is_full_range else "yuv420p")
    for plane, values in zip(frame.planes, rows, strict=True):
        whole = np.zeros((values.shape[0], plane.line_size), np.uint8)
        whole[:, : values.shape[1]] = values
        plane.update(whole.tobytes())
    return coloured(frame, colours)


def coloured(frame: VideoFrame, colours: Colours) -> VideoFrame:
    frame.colorspace = 1 if colours.matrix == "bt709" else 5  # AVCOL_SPC_BT709, AVCOL_SPC_BT470BG
    frame.color_range = ColorRange.JPEG if colours.is_full_range else ColorRange.MPEG
    return frame


def nv12_from_frame(frame: VideoFrame) -> tuple[Plane, Plane]:
    width, height = frame.width, frame.height
    planes = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    chroma = np.empty(((height + 1) // 2, width + width % 2), np.uint8)
    chroma[:, ::2] = planes[1][: chroma.shape[0], : chroma.shape[1] // 2]
    chroma[:, 1::2] = planes[2][: chroma.shape[0], : chroma.shape[1] // 2]
    return np.ascontiguousarray(planes[0][:height, :width]), chroma


def by_cpu_path(frame: VideoFrame, target_wh: tuple[int, int]) -> Plane:
    out = np.empty((target_wh[1], target_wh[0], 3), np.uint8)
    write_input(BgrConverter(threads=1).image_from_frame(frame), "frames", target_wh, out)
    return out


def by_kernel(luma: Plane, chroma: Plane, letterbox: Letterbox, colours: Colours) -> Plane:
    width, height = letterbox.target_wh
    out = np.zeros((height, width, 3), np.uint8)
    job = job_from_picture(
        letterbox,
        colours,
        luma=luma.ctypes.data,
        chroma=chroma.ctypes.data,
        out=out.ctypes.data,
        luma_pitch=luma.strides[0],
        chroma_pitch=chroma.strides[0],
    )
    compiled_kernel()(job)
    return out


def worst(first: Plane, second: Plane) -> int:
    return int(np.abs(first.astype(np.int16) - second.astype(np.int16)).max())


@pytest.mark.parametrize("colours", COLOURS, ids=str)
@pytest.mark.parametrize(("source_wh", "target_wh"), SIZES)
def test_reference_is_within_two_grey_levels_of_the_cpu_path(
    source_wh: tuple[int, int], target_wh: tuple[int, int], colours: Colours
) -> None:
    frame = picture(source_wh, colours)
    letterbox = Letterbox(source_wh=source_wh, target_wh=target_wh)
    found = letterboxed_from_nv12(*nv12_from_frame(frame), letterbox, colours)
    assert worst(found, by_cpu_path(frame, target_wh)) <= 2


@pytest.mark.parametrize("colours", COLOURS, ids=str)
@pytest.mark.parametrize(("source_wh", "target_wh"), [*SIZES, ((319, 181), (200, 200)), ((3, 5), (7, 4))])
def test_the_kernels_own_code_gives_the_bytes_of_the_reference(
    source_wh: tuple[int, int], target_wh: tuple[int, int], colours: Colours
) -> None:
    rng = np.random.default_rng(1)
    width, height = source_wh
    luma = rng.integers(0, 256, (height, width + 24), np.uint8)[:, :width]  # rows are longer than the picture
    chroma = rng.integers(0, 256, ((height + 1) // 2, width + 41), np.uint8)
    letterbox = Letterbox(source_wh=source_wh, target_wh=target_wh)
    expected = letterboxed_from_nv12(luma, chroma[:, : width + width % 2], letterbox, colours)
    np.testing.assert_array_equal(by_kernel(luma, chroma, letterbox, colours), expected)


@pytest.mark.parametrize("name", ["highway_cars_720p.mp4", "one-by-one-person-detection.mp4"])
def test_real_clips_are_within_two_grey_levels(test_data: Path, name: str) -> None:
    with av.open(str(test_data / "videos" / name)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % 20:
                continue
            letterbox = Letterbox(source_wh=(frame.width, frame.height), target_wh=(640, 384))
            matrix = "bt709" if int(frame.colorspace) == Colorspace.ITU709 else "bt601"
            colours = Colours(matrix=matrix, is_full_range=int(frame.color_range) == 2)
            found = by_kernel(*nv12_from_frame(frame), letterbox, colours)
            assert worst(found, by_cpu_path(frame, (640, 384))) <= 2
            if number > 80:
                return


def test_gains_are_those_of_the_standards() -> None:
    """White, black and the primaries of 8-bit BT.709, limited range, as its tables have them."""
    gains = gains_from_colours(Colours(matrix="bt709"))
    assert gains["luma_offset"] == 16
    for (y, u, v), rgb in {
        (235, 128, 128): (255, 255, 255),
        (16, 128, 128): (0, 0, 0),
        (63, 102, 240): (255, 0, 0),
        (173, 42, 26): (0, 255, 0),
        (32, 240, 118): (0, 0, 255),
    }.items():
        bright = (y - gains["luma_offset"]) * gains["luma_gain"]
        red = bright + (v - 128) * gains["v_to_red"]
        green = bright + (u - 128) * gains["u_to_green"] + (v - 128) * gains["v_to_green"]
        blue = bright + (u - 128) * gains["u_to_blue"]
        assert np.abs(np.clip(np.array((red, green, blue)) / 8192, 0, 255) - rgb).max() < 2


def test_wrong_planes_are_refused() -> None:
    letterbox = Letterbox(source_wh=(8, 8), target_wh=(4, 4))
    with pytest.raises(ValueError, match="planes of 8 x 8 expected"):
        letterboxed_from_nv12(np.zeros((8, 7), np.uint8), np.zeros((4, 8), np.uint8), letterbox, Colours())


def test_the_committed_ptx_is_of_the_committed_source() -> None:
    text = PTX.read_text()
    assert text.splitlines()[0] == f"// {SOURCE.name} {source_key(SOURCE.read_text())}"
    assert ".target sm_75" in text
    assert ".visible .entry letterbox_nv12" in text
    parameter = next(line for line in text.splitlines() if ".param" in line and ".b8" in line)
    import ctypes

    assert f"[{ctypes.sizeof(LetterboxJob)}]" in parameter, "the argument in Python is that of the kernel"


def test_nvrtc_makes_the_committed_ptx() -> None:
    library = find_nvrtc()
    if library is None:
        pytest.skip("no NVRTC 12.4 here; pip install nvidia-cuda-nvrtc-cu12==12.4.127")
    encoding = locale.getpreferredencoding(False)
    assert ptx_from_source(SOURCE.read_text(), library) == PTX.read_text()
    assert locale.getpreferredencoding(False) == encoding, "the compiler changes the locale of its process"
