"""What the video decoders of NVIDIA's GPUs do, as published: the driver tells neither their number nor their rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

VideoCodec = Literal["h264", "hevc", "mjpeg"]
DecoderFamily = Literal["Pascal", "Turing", "Ampere", "Ada", "Blackwell"]

DECODER_SOURCE = "NVIDIA's NVDEC Application Note, Video Codec SDK 13.0, section 3: 1920 x 1080, one engine"
PIXELS_1080P = 1920 * 1080
DECODER_RATES: Mapping[DecoderFamily, tuple[Mapping[VideoCodec, float], float]] = {
    "Pascal": ({"h264": 694, "hevc": 810}, 1544),
    "Turing": ({"h264": 771, "hevc": 1316}, 1860),
    "Ampere": ({"h264": 748, "hevc": 1415}, 1665),
    "Ada": ({"h264": 903, "hevc": 1641}, 2160),
    "Blackwell": ({"h264": 2172, "hevc": 1872}, 2362),
}
"""Frames a second of one engine by codec, and the clock in MHz at which they hold. No engine decodes MJPEG here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nvdec:
    """A GPU's video decoders. clock_mhz: what they run at, 0 where the family's published clock holds."""

    family: DecoderFamily
    engines: int
    clock_mhz: float = 0.0

    @property
    def clock_ratio(self) -> float:
        """To the clock at which the family's rates hold; 1 where it is that."""
        return self.clock_mhz / DECODER_RATES[self.family][1] if self.clock_mhz else 1.0

    def frames_per_s(self, codec: VideoCodec, size_wh: tuple[int, int]) -> float:
        """What all engines decode: published, by clock and by pixels; 0 where none can."""
        rates, _ = DECODER_RATES[self.family]
        pixels = size_wh[0] * size_wh[1]
        return self.engines * rates.get(codec, 0.0) * self.clock_ratio * PIXELS_1080P / pixels


_A100 = Nvdec(family="Turing", engines=5, clock_mhz=1290)  # NVIDIA's note: as Turing, by the clock
_HOPPER = Nvdec(family="Turing", engines=7, clock_mhz=1545)  # likewise; the clock of H100 and H200 as SXM
NVDEC: Mapping[str, Nvdec] = {
    "T4": Nvdec(family="Turing", engines=2, clock_mhz=1470),
    "V100": Nvdec(family="Pascal", engines=1, clock_mhz=1372),  # the note has the family before Volta, not Volta
    "A10": Nvdec(family="Ampere", engines=2),
    "A100": _A100,
    "A100 80GB": _A100,
    "L4": Nvdec(family="Ada", engines=4),
    "RTX 4090": Nvdec(family="Ada", engines=1),
    "RTX 5070": Nvdec(family="Blackwell", engines=1),
    "H100 PCIe": _HOPPER,
    "H100 NVL": _HOPPER,
    "H100": _HOPPER,
    "H200 NVL": _HOPPER,
    "H200": _HOPPER,
}
"""By what the driver calls them, or a part of it."""


def known_name(name: str, known: Iterable[str]) -> str | None:
    """The known GPU all of whose words stand in `name`, such as `NVIDIA A100-SXM4-80GB`, the one with most of them.

    None for no such GPU; a laptop's chip is another one than the card's of the same name.
    """
    words = set(name.upper().replace("-", " ").split())
    fitting = [item for item in known if words.issuperset(item.upper().split()) and "LAPTOP" not in words]
    return max(fitting, key=lambda item: len(item.split()), default=None)


def decoder_strengths(names: Iterable[str]) -> tuple[float, ...]:
    """Of each GPU, by the driver's name, the pixels of H.264 that it decodes a second; () unless all are known."""
    found = [known_name(name, NVDEC) for name in names]
    if None in found:
        return ()
    return tuple(NVDEC[name].frames_per_s("h264", (1920, 1080)) * PIXELS_1080P for name in found if name)
