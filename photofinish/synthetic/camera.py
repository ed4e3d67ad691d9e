"""The synthetic camera: toy traffic at a junction, with exact boxes."""

from __future__ import annotations

import time
from collections.abc import Callable

from photofinish.frame import Frame
from photofinish.synthetic.backdrop import Backdrop, backdrop_from_town
from photofinish.synthetic.light import Light, Sensor, light_from_step, light_step, lit_picture
from photofinish.synthetic.projection import project_actors
from photofinish.synthetic.rendering import draw_actor, draw_shadows
from photofinish.synthetic.streets import town_from_seed
from photofinish.synthetic.traffic import CLASS_NAMES, Traffic
from photofinish.synthetic.truth import TruthFinder
from photofinish.synthetic.viewpoint import Pixels

MIN_SIDE_PX = 64
MAX_PIXELS = 3840 * 2160
"""Drawing the town takes 2.2 GB at this size."""
MAX_FRAMES_PER_S = 1000.0
START_S = 3600.0
"""Town time of frame 0."""


class SyntheticCamera:
    """Renders any frame of one seed's town; the same (seed, size, rate, index) gives the same pixels and boxes.

    A seed decides the streets, the houses, the camera's place, the traffic and the time of day. Frames may be
    asked for in any order. Not for use from several threads at once: each takes a camera of its own.
    """

    class_names: tuple[str, ...] = CLASS_NAMES

    def __init__(
        self,
        *,
        seed: int = 0,
        size_wh: tuple[int, int] = (1280, 720),
        frames_per_s: float = 30.0,
        crowding: float = 1.0,
        stream_id: str | None = None,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """crowding: 1.0 is the default amount of traffic, 0 an empty town, 2 a rush hour."""
        is_sized = min(size_wh) >= MIN_SIDE_PX and size_wh[0] * size_wh[1] <= MAX_PIXELS
        if seed < 0 or not is_sized or not 0 < frames_per_s <= MAX_FRAMES_PER_S or not 0 <= crowding <= 5:
            raise ValueError(
                f"seed must be at least 0, both sides at least {MIN_SIDE_PX} px, the picture at most 3840x2160, "
                f"frames_per_s above 0 and at most {MAX_FRAMES_PER_S:g}, crowding within 0..5; "
                f"got seed={seed}, size_wh={size_wh}, frames_per_s={frames_per_s}, crowding={crowding}"
            )
        self.seed = seed
        self.size_wh = size_wh
        self.frames_per_s = frames_per_s
        self.stream_id = f"synthetic-{seed}" if stream_id is None else stream_id
        self._clock_ns = clock_ns
        self._town = town_from_seed(seed, size_wh)
        self._traffic = Traffic(seed, self._town.lanes, crowding)
        self._sensor = Sensor(seed, size_wh)
        self._truth = TruthFinder(size_wh)
        self._backdrop: Backdrop = backdrop_from_town(self._town)
        self._lit_step: int | None = None
        self._lit: Pixels = self._backdrop.albedo
        self._shade: Pixels = self._backdrop.albedo
        self._light: Light = light_from_step(0, self._town.day_phase)

    def frame(self, index: int) -> Frame:
        """Frame `index` (from 0), its truth filled in; captured_ns is when the picture was ready."""
        if index < 0:
            raise ValueError(f"index must be at least 0, got {index}")
        time_s = START_S + index / self.frames_per_s
        self._set_light(light_step(time_s))
        canvas = self._lit.copy()
        self._backdrop.draw_signals(canvas, time_s)
        projected = project_actors(self._traffic.actors(time_s), self._town, self._light)
        draw_shadows(canvas, self._lit, self._shade, projected, self._town, self._light)
        depth = self._backdrop.depth_m
        behind_static = [draw_actor(canvas, item, depth, self._backdrop.nearest_m, self._town) for item in projected]
        truth = self._truth.truth(projected, behind_static, depth)
        self._sensor.expose(canvas, index)
        return Frame(
            image_hwc_bgr=canvas,
            stream_id=self.stream_id,
            index=index,
            captured_ns=self._clock_ns(),
            truth=truth,
        )

    def _set_light(self, step: int) -> None:
        if step == self._lit_step:
            return
        self._light = light_from_step(step, self._town.day_phase)
        self._lit, self._shade = lit_picture(
            self._backdrop.albedo, self._backdrop.glow, self._backdrop.ground, self._light
        )
        self._lit_step = step
