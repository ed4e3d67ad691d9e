"""Where everything stands on the race's screen: one layout for a big screen, one for a phone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

RaceLayout = Literal["wide", "tall"]
"""wide: panels side by side, 16:9. tall: one above the other, for a phone held upright."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPlace:
    """A line of text. x, y: where its base line begins, or ends for text that is set right; width: what it may take."""

    x: float
    y: float
    size: float
    width: float

    def scaled(self, scale: float) -> TextPlace:
        """The same place on a canvas of another size."""
        return TextPlace(x=self.x * scale, y=self.y * scale, size=self.size * scale, width=self.width * scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceBox:
    """A rectangle in whole pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column beyond it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row beyond it."""
        return self.top + self.height

    def scaled(self, scale: float) -> RaceBox:
        """The same rectangle on a canvas of another size."""
        sides = (self.left, self.top, self.width, self.height)  # two panels of one size stay so
        left, top, width, height = (round(side * scale) for side in sides)
        return RaceBox(left=left, top=top, width=width, height=height)


@dataclass(frozen=True, slots=True, kw_only=True)
class RacePlaces:
    """All places, in pixels of the canvas. unit: how many of its pixels are one of the drawing's.

    figure: the clock, at last the ratio. title, lines: what it means. panels, lanes: baseline first.
    """

    size_wh: tuple[int, int]
    brand: TextPlace
    machine: TextPlace
    figure: TextPlace
    title: tuple[TextPlace, ...]
    lines: tuple[TextPlace, ...]
    panels: tuple[RaceBox, RaceBox]
    post: RaceBox
    strip: TextPlace
    lanes: tuple[RaceBox, RaceBox]
    axis: TextPlace
    foot: TextPlace
    unit: float = 1.0


_PLACES: Mapping[RaceLayout, RacePlaces] = {
    "wide": RacePlaces(
        size_wh=(1920, 1080),
        brand=TextPlace(x=84, y=62, size=44, width=420),
        machine=TextPlace(x=1892, y=60, size=32, width=1240),
        figure=TextPlace(x=24, y=222, size=168, width=500),
        title=(TextPlace(x=556, y=146, size=64, width=1336),),
        lines=(TextPlace(x=558, y=196, size=36, width=1334), TextPlace(x=558, y=240, size=36, width=1334)),
        panels=(RaceBox(left=28, top=266, width=920, height=518), RaceBox(left=972, top=266, width=920, height=518)),
        post=RaceBox(left=952, top=266, width=16, height=518),
        strip=TextPlace(x=28, y=824, size=28, width=1864),
        lanes=(RaceBox(left=28, top=840, width=1864, height=62), RaceBox(left=28, top=910, width=1864, height=62)),
        axis=TextPlace(x=0, y=1004, size=26, width=80),
        foot=TextPlace(x=28, y=1054, size=27, width=1864),
    ),
    "tall": RacePlaces(
        size_wh=(720, 1280),
        brand=TextPlace(x=66, y=48, size=34, width=300),
        machine=TextPlace(x=696, y=46, size=24, width=380),
        figure=TextPlace(x=20, y=164, size=112, width=300),
        title=(TextPlace(x=340, y=112, size=40, width=356), TextPlace(x=340, y=158, size=40, width=356)),
        lines=(TextPlace(x=24, y=214, size=29, width=672), TextPlace(x=24, y=254, size=29, width=672)),
        panels=(RaceBox(left=24, top=276, width=672, height=378), RaceBox(left=24, top=670, width=672, height=378)),
        post=RaceBox(left=24, top=656, width=672, height=12),
        strip=TextPlace(x=24, y=1084, size=24, width=672),
        lanes=(RaceBox(left=24, top=1098, width=672, height=46), RaceBox(left=24, top=1150, width=672, height=46)),
        axis=TextPlace(x=0, y=1222, size=22, width=60),
        foot=TextPlace(x=24, y=1262, size=22, width=672),
    ),
}


def places_for(layout: RaceLayout, height_px: int | None = None) -> RacePlaces:
    """The places of a layout on a canvas of that height; None: as it is drawn, 1920 × 1080 or 720 × 1280."""
    drawn = _PLACES[layout]
    scale = 1.0 if height_px is None else height_px / drawn.size_wh[1]
    even_wh = (round(drawn.size_wh[0] * scale / 2) * 2, round(drawn.size_wh[1] * scale / 2) * 2)  # H.264 wants even
    return replace(
        drawn,
        size_wh=even_wh,
        brand=drawn.brand.scaled(scale),
        machine=drawn.machine.scaled(scale),
        figure=drawn.figure.scaled(scale),
        title=tuple(place.scaled(scale) for place in drawn.title),
        lines=tuple(place.scaled(scale) for place in drawn.lines),
        panels=(drawn.panels[0].scaled(scale), drawn.panels[1].scaled(scale)),
        post=drawn.post.scaled(scale),
        strip=drawn.strip.scaled(scale),
        lanes=(drawn.lanes[0].scaled(scale), drawn.lanes[1].scaled(scale)),
        axis=drawn.axis.scaled(scale),
        foot=drawn.foot.scaled(scale),
        unit=scale,
    )
