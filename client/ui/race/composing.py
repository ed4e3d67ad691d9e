"""The race's screen at any moment of its replay: a function of the race and the time alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.ui.page.composer import ACCENTS_BGR
from photofinish.client.ui.page.screen.figures import significant
from photofinish.client.ui.processes.side import SIDES, Side
from photofinish.client.ui.race.headline import RacePhase, headline, race_phase, seconds_text
from photofinish.client.ui.race.lettering import Colour, Weight, draw_text, fitting_size, text_width, wrapped
from photofinish.client.ui.race.places import RaceBox, RaceLayout, TextPlace, places_for
from photofinish.client.ui.race.replay import NS_PER_S, Race
from photofinish.client.ui.race.sides import PanelPictures
from photofinish.client.ui.race.strip import (
    GROUND,
    INK,
    PLATE,
    SOFT,
    axis_end,
    column_of,
    draw_axis,
    draw_gap,
    draw_lane,
    draw_post,
    finish_post,
)
from photofinish.client.ui.words import PageWords

_VOID_GREY = 0.85


class RaceScreen:
    """Draws a race. Not safe to use from several threads."""

    def __init__(
        self, race: Race, say: PageWords, *, layout: RaceLayout = "wide", height_px: int | None = None
    ) -> None:
        """height_px: of the pictures; None: 1080 lines wide, 1280 tall."""
        self.race = race
        self._say = say
        self._places = places_for(layout, height_px)
        self._pictures = PanelPictures(race.pictures, self._places.panels[0])
        self._axis_ns = axis_end(race.duration_ns)
        self._ground = self._drawn_ground()

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return self._places.size_wh

    def picture(self, now_ns: int) -> npt.NDArray[np.uint8]:
        """The screen at that moment: (height, width, 3) uint8, blue first."""
        canvas = self._ground.copy()
        phase = race_phase(self.race, now_ns)
        for position, side in enumerate(SIDES):
            self._draw_panel(canvas, self._places.panels[position], side, now_ns, phase)
            self._draw_lane(canvas, self._places.lanes[position], side, now_ns)
        self._draw_gap(canvas, now_ns, phase)
        self._draw_head(canvas, now_ns, phase)
        if not self.race.claim.is_void:
            return canvas
        grey = cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY)[:, :, None]
        return (canvas * (1 - _VOID_GREY) + grey * _VOID_GREY).astype(np.uint8)

    def last_picture(self) -> npt.NDArray[np.uint8]:
        """The screen when all is over: who won, by how much, and that both found the same."""
        return self.picture(self.race.duration_ns)

    def _name(self, side: Side) -> str:
        return self._say(f"race.{side}")

    def _drawn_ground(self) -> npt.NDArray[np.uint8]:
        places, unit = self._places, self._places.unit
        width, height = places.size_wh
        canvas = np.full((height, width, 3), PLATE, np.uint8)
        side = round(places.brand.size * 0.72)
        flag_top = round(places.brand.y - side)
        square = max(side // 3, 1)
        flag = RaceBox(left=places.panels[0].left, top=flag_top, width=4 * square, height=3 * square)
        rows, columns = np.indices((flag.height, flag.width))
        light = ((rows // square + columns // square) % 2 == 0)[:, :, None]
        canvas[flag.top : flag.bottom, flag.left : flag.right] = np.where(light, np.array(INK), np.array(GROUND))
        self._text(canvas, "Photofinish", places.brand, INK, weight="Black")
        self._text(canvas, self.race.model, places.machine, SOFT, anchor="right")
        draw_post(canvas, places.post)
        self._text(canvas, self._say("race.strip"), places.strip, SOFT)
        draw_axis(canvas, places.lanes[1], self._axis_ns, places.axis, self._say("race.seconds", seconds="{}"), unit)
        foot = self._say(
            "race.measured",
            machine=self.race.machine.get(self._say.language, ""),
            rounds=self.race.rounds,
            block=format(self.race.block_s, "g"),
        )
        self._text(canvas, foot, places.foot, SOFT)
        return canvas

    def _text(
        self,
        canvas: npt.NDArray[np.uint8],
        text: str,
        place: TextPlace,
        colour: Colour,
        *,
        weight: Weight = "Medium",
        anchor: Literal["left", "right"] = "left",
    ) -> None:
        draw_text(
            canvas, text, (place.x, place.y), place.size, colour, weight=weight, anchor=anchor, width_px=place.width
        )

    def _draw_panel(
        self, canvas: npt.NDArray[np.uint8], box: RaceBox, side: Side, now_ns: int, phase: RacePhase
    ) -> None:
        race = self.race
        done = race.done(side, now_ns) if phase != "set" else 0
        panel = canvas[box.top : box.bottom, box.left : box.right]
        panel[...] = self._pictures.picture(side, done)
        accent = ACCENTS_BGR[side]
        small = box.width / 920
        chip = f"{self._name(side)} · {race.lanes[side].how}" if race.lanes[side].how else self._name(side)
        chip_width = self._chip(panel, chip, 36 * small, accent)
        has_finished = done == race.finish
        if has_finished:
            same, everything = race.pictures.shared(race.pictures.index_of(race.finish))
            if phase == "done" and everything:
                told = self._say("race.same_picture", same=same, all=everything)
                self._chip(panel, told, 36 * small, INK, beside=chip_width)
        plate_h = round(104 * small)
        plate = panel[-plate_h:]
        plate[...] = (plate * 0.22 + np.array(PLATE) * 0.78).astype(np.uint8)
        base, margin = box.height - 28 * small, 22 * small
        width = draw_text(panel, str(done), (margin, base), 84 * small, accent, weight="Black")
        of = self._say("race.of_frames", finish=race.finish)
        draw_text(panel, of, (margin + width + 14 * small, base), 40 * small, INK)
        if not done:
            return
        end = box.width - margin
        if has_finished:
            time = self._say("race.seconds", seconds=seconds_text(race.lanes[side].finish_ns(race.finish)))
            width = draw_text(panel, time, (end, base), 84 * small, INK, weight="Black", anchor="right")
            square = max(round(14 * small), 2)
            right = round(end - width - 20 * small)
            flag = RaceBox(left=right - 4 * square, top=round(base - 4 * square), width=4 * square, height=4 * square)
            draw_post(panel, flag)
            return
        rate = done * NS_PER_S / int(race.lanes[side].arrivals_ns[done - 1])
        told = self._say("race.per_second", rate=significant(rate))
        draw_text(panel, told, (end, base), 40 * small, INK, anchor="right")

    def _chip(
        self, panel: npt.NDArray[np.uint8], text: str, size: float, ground: Colour, *, beside: int | None = None
    ) -> int:
        """A label in the panel's upper left corner, or in the right one beside a label that is so wide; its width."""
        margin, height = size * 0.45, round(size * 1.5)
        if beside is not None:
            size = fitting_size(text, size, panel.shape[1] - beside - 3 * margin, weight="Black")
        width = round(text_width(text, size, weight="Black") + 2 * margin)
        left = 0 if beside is None else panel.shape[1] - width
        panel[:height, max(left, 0) : left + width] = ground
        draw_text(panel, text, (left + margin, height / 2 + size * 0.33), size, PLATE, weight="Black")
        return width

    def _draw_lane(self, canvas: npt.NDArray[np.uint8], box: RaceBox, side: Side, now_ns: int) -> None:
        race, unit = self.race, self._places.unit
        arrived = race.lanes[side].arrivals_ns[: race.done(side, now_ns) if now_ns >= 0 else 0]
        draw_lane(canvas, box, arrived, self._axis_ns, ACCENTS_BGR[side], unit)
        finish_ns = race.lanes[side].finish_ns(race.finish)
        if now_ns >= finish_ns:
            draw_post(canvas, finish_post(box, finish_ns, self._axis_ns, unit))
        elif now_ns >= 0:
            column = min(round(column_of(now_ns, box, self._axis_ns)), box.right - 1)
            canvas[box.top : box.bottom, column : column + max(round(2 * unit), 1)] = INK

    def _draw_gap(self, canvas: npt.NDArray[np.uint8], now_ns: int, phase: RacePhase) -> None:
        if phase not in ("won", "done") or self.race.claim.is_void:
            return  # a gap beside a gain that is not claimed would claim it
        race, unit = self.race, self._places.unit
        box = self._places.lanes[SIDES.index(race.winner)]
        begin = finish_post(box, race.won_ns, self._axis_ns, unit).right + round(4 * unit)
        end = round(column_of(min(now_ns, race.duration_ns), box, self._axis_ns))
        if phase == "won":
            text = self._say("race.behind", gap=seconds_text(now_ns - race.won_ns))
        else:
            key = "race.gap_one" if race.gap_frames == 1 else "race.gap"
            text = self._say(key, gap=seconds_text(race.gap_ns), frames=race.gap_frames)
        draw_gap(canvas, box, begin, end, text, box.height * 0.62, unit)

    def _draw_head(self, canvas: npt.NDArray[np.uint8], now_ns: int, phase: RacePhase) -> None:
        places, race = self._places, self.race
        head = headline(race, phase, now_ns, self._say)
        is_claimed = phase == "done" and not race.claim.is_void and race.claim.shows_difference
        self._text(canvas, head.figure, places.figure, ACCENTS_BGR[race.winner] if is_claimed else INK, weight="Black")
        self._paragraph(canvas, [head.title], places.title, INK, weight="Black")
        self._paragraph(canvas, head.lines, places.lines, INK if is_claimed else SOFT, weight="Medium")

    def _paragraph(
        self,
        canvas: npt.NDArray[np.uint8],
        lines: Sequence[str],
        places: Sequence[TextPlace],
        colour: Colour,
        *,
        weight: Weight,
    ) -> None:
        """The lines in their places; a single one goes on in the next place where it is too long."""
        if len(lines) == 1:
            lines = wrapped(lines[0], places[0].size, [place.width for place in places], weight=weight)
        for line, place in zip(lines, places, strict=False):
            self._text(canvas, line, place, colour, weight=weight)
