"""Decode processes that hold what a test gives them, and results to go with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.decode.writing import RegionMaps
from photofinish.client.cameras.values.outcome import DueFrame, Inferred
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.client.triton.tensors import write_input
from tests.client.cameras.outputs.test_json_lines import inferred

WALL_NS = 1_700_000_000 * 10**9
PERIOD_NS = 200_000_000


def result_at(number: int, camera: str = "door", **changes: Any) -> Inferred:
    """The boxes of a camera's frame of this number, five a second."""
    times = {
        "captured_ns": number * PERIOD_NS,
        "arrived_ns": number * PERIOD_NS,
        "captured_unix_ns": WALL_NS + number * PERIOD_NS,
    }
    return replace(inferred(number), camera=camera, is_filmed=True, **{**times, **changes})


def grey_of(number: int) -> int:
    """The grey of the frame of this number."""
    return 20 + number * 9 % 225


class HoldingWriter:
    """A FrameWriter whose decoders hold frame `number` of every camera: all of it in one grey."""

    def __init__(self, size_wh: tuple[int, int] = (640, 360)) -> None:
        self.number: int | None = 0
        self.size_wh = size_wh
        self.asked = 0
        self._maps = RegionMaps()

    def image(self) -> npt.NDArray[np.uint8]:
        """The picture that is held."""
        width, height = self.size_wh
        return np.full((height, width, 3), grey_of(self.number or 0), np.uint8)

    def ask(self, wish: WriteFrame) -> asyncio.Future[FrameWritten]:
        """Write it at once, as a decode process would."""
        self.asked += 1
        future: asyncio.Future[FrameWritten] = asyncio.get_running_loop().create_future()
        if self.number is None:
            future.set_result(FrameWritten(request=0, camera=wish.camera, frame=None, message="no picture is held"))
            return future
        image = self.image()
        out = self._maps.array(wish.region, wish.shape, wish.datatype)[wish.position]
        at_ns = self.number * PERIOD_NS
        told = DueFrame(
            camera=wish.camera,
            sequence=self.number,
            captured_ns=at_ns,
            arrived_ns=at_ns,
            decoded_ns=at_ns,
            clock="arrival",
            size_wh=self.size_wh,
        )
        letterbox = write_input(image, wish.contract, wish.input_wh, out)
        future.set_result(FrameWritten(request=0, camera=wish.camera, frame=told, letterbox=letterbox))
        return future
