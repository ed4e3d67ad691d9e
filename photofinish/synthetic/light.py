"""Time of day and the sensor: what the same town looks like from one minute to the next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from photofinish.synthetic.crowd import Crowd, Faces
from photofinish.synthetic.meshes import Paint
from photofinish.synthetic.palette import FIXED_PAINTS
from photofinish.synthetic.streets import Town
from photofinish.synthetic.viewpoint import Floats, Pixels

LAMPS_ON = 0.2
"""How far street lamps are on when vehicles have their lights on."""
LAMP_GLARE = {Paint.HEADLIGHT: (225, 250, 255), Paint.AMBER: (90, 190, 255), Paint.TAIL_LIGHT: (50, 50, 225)}
BRAKE_GLARE = (60, 60, 255)
DAY_S = 150.0
"""One pass from day through dusk and back."""
LIGHT_STEP_S = 0.5
"""The light changes in steps of this length, each too small to see."""
PEDESTAL = 5
"""Grey levels that the sensor noise adds on average; everything is drawn that much darker."""
NOISE_TILE = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """gain_bgr multiplies every surface; sun is the share of direct light; lamps is how far street lamps are on."""

    gain_bgr: tuple[float, float, float]
    sun: float
    lamps: float
    exposure_s: float


_KEYS: tuple[tuple[float, tuple[float, float, float], float, float], ...] = (
    (0.00, (1.02, 1.02, 1.02), 0.55, 0.0),
    (0.30, (1.00, 1.00, 1.02), 0.50, 0.0),
    (0.46, (0.78, 0.90, 1.04), 0.50, 0.0),
    (0.58, (0.72, 0.66, 0.80), 0.22, 0.7),
    (0.66, (0.68, 0.56, 0.56), 0.08, 1.0),
    (0.74, (0.72, 0.62, 0.66), 0.15, 0.8),
    (0.86, (0.92, 0.92, 0.96), 0.40, 0.0),
    (1.00, (1.02, 1.02, 1.02), 0.55, 0.0),
)
"""Phase of the day; gain, sun, lamps."""


def light_step(time_s: float) -> int:
    """The number of the light step that a time falls into."""
    return int(time_s // LIGHT_STEP_S)


def light_from_step(step: int, day_phase: float) -> Light:
    """The light of one step for a town whose day starts at `day_phase` (0..1)."""
    phase = (step * LIGHT_STEP_S / DAY_S + day_phase) % 1.0
    times = [key[0] for key in _KEYS]
    blue, green, red = (float(np.interp(phase, times, [key[1][channel] for key in _KEYS])) for channel in range(3))
    sun = float(np.interp(phase, times, [key[2] for key in _KEYS]))
    lamps = float(np.interp(phase, times, [key[3] for key in _KEYS]))
    return Light(gain_bgr=(blue, green, red), sun=sun, lamps=lamps, exposure_s=0.010 + 0.010 * lamps)


@lru_cache(maxsize=4)
def _noise_tile(side: int) -> Pixels:
    """The sensor's noise with its pedestal, (side / 2, side, 3); the same for every camera, so do not change it."""
    rng = np.random.default_rng(7)
    tile = np.empty((side // 2, side, 3), dtype=np.uint8)
    for row in tile:  # floats of a whole tile would not stay in the processor's cache
        grain = rng.normal(PEDESTAL, 1.9, row.shape)
        np.rint(grain, out=grain)
        row[...] = np.clip(grain, 0, 255, out=grain).astype(np.uint8)
    tile.setflags(write=False)
    return tile


class Sensor:
    """Adds the same noise to the same frame every time."""

    def __init__(self, seed: int, size_wh: tuple[int, int]) -> None:
        self._seed = seed
        self._size_wh = size_wh
        self._tile = _noise_tile(max(NOISE_TILE, *(edge + 256 for edge in size_wh)))
        if self._tile.shape[0] < size_wh[1] + 256:
            self._tile = np.concatenate([self._tile, self._tile[::-1]])

    def expose(self, canvas: Pixels, index: int) -> None:
        """Add sensor noise in place."""
        width, height = self._size_wh
        mixed = np.random.SeedSequence([self._seed, 3, index]).generate_state(2)
        top = int(mixed[0] % (self._tile.shape[0] - height))
        left = int(mixed[1] % (self._tile.shape[1] - width))
        cv2.add(canvas, self._tile[top : top + height, left : left + width], dst=canvas)


def lit_picture(albedo: Pixels, glow: Pixels, ground: Pixels, light: Light) -> tuple[Pixels, Pixels]:
    """The static town under a light, and how much darker each pixel gets in a shadow.

    ground: 255 where shadows may fall, 0 on what stands; all (h, w, 3).
    """
    lit = _scaled(albedo, light.gain_bgr)
    if light.lamps > 0:
        lit = np.asarray(cv2.addWeighted(lit, 1.0, glow, light.lamps, 0.0), dtype=np.uint8)
    lit = np.asarray(cv2.subtract(lit, np.full_like(lit, PEDESTAL)), dtype=np.uint8)
    strength = 0.10 + 0.62 * light.sun
    shade = cv2.bitwise_and(_scaled(lit, (strength * 0.80, strength * 0.94, strength)), ground)
    return lit, np.asarray(shade, dtype=np.uint8)


def _scaled(image: Pixels, factors_bgr: tuple[float, float, float]) -> Pixels:
    levels = np.arange(256)[:, None] * np.array(factors_bgr)
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(image, table), dtype=np.uint8)


def face_colours(crowd: Crowd, faces: Faces, town: Town, light: Light) -> Floats:
    """Flat shading of every face, (f, 3) blue first, darkened by the sensor's pedestal."""
    table = np.empty((len(crowd.actors), len(Paint), 3))
    for fixed, colour in FIXED_PAINTS.items():
        table[:, fixed] = colour
    for index, actor in enumerate(crowd.actors):
        table[index, : len(actor.paints)] = actor.paints
    paint, shade = crowd.joined("paint")[faces.index], crowd.joined("shade")[faces.index]
    facing = np.maximum(faces.normal @ np.array(town.sun_xyz), 0.0)
    upwards = np.maximum(faces.normal[:, 2], 0)
    brightness = shade * (0.68 + 0.10 * upwards + (0.20 + 0.32 * light.sun) * facing)
    # Balls and two-sided faces have no normal.
    unlit = ~faces.normal.any(axis=1)
    brightness[unlit] = shade[unlit] * (0.80 + 0.21 * light.sun)
    colours: Floats = table[faces.owner, paint] * brightness[:, None] * np.array(light.gain_bgr)
    if light.lamps > LAMPS_ON:
        for lamp, glare in LAMP_GLARE.items():
            colours[paint == lamp] = glare
    braking = np.array([actor.brakes for actor in crowd.actors])
    colours[(paint == Paint.TAIL_LIGHT) & braking[faces.owner]] = BRAKE_GLARE
    shaded: Floats = np.clip(colours - PEDESTAL, 0, 255)
    return shaded
