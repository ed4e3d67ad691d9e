"""Room for one request: the pictures' memory, and who asks for their inference."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from photofinish.client.triton.regions import InputRegion
from photofinish.client.triton.tensors import write_input
from photofinish.letterbox import Letterbox, Resize
from photofinish.model_card import ModelCard


class Caller(Protocol):
    """How one slot asks for its inference."""

    def call(self, count: int, byte_size: int, timeout_s: float) -> npt.NDArray[np.float32]:
        """The first output, batch first, of the slot's first `count` pictures, which take `byte_size` bytes."""

    def close(self) -> None:
        """Close what belongs to this slot alone."""


class Slot:
    """Room for one request: `write` pictures, or into `input_array` (batch, …) whatever is sent, then submit.

    sent_ns and received_ns: perf_counter_ns around the latest call. rows_on_device: those that another process has
    written into the memory that `on_device` names, for the next request alone. owns_region: the memory ends with it.
    """

    def __init__(self, region: InputRegion, caller: Caller, *, owns_region: bool = True) -> None:
        self.sent_ns = 0
        self.received_ns = 0
        self.rows_on_device: frozenset[int] = frozenset()
        self._region = region
        self._caller = caller
        self._owns_region = owns_region
        self._padded_for: dict[int, Letterbox] = {}

    @property
    def input_array(self) -> npt.NDArray[Any]:
        """What is sent; whoever asks for it may write anything there, so no padding is taken for granted afterwards."""
        self._padded_for.clear()
        return self._region.array

    def write(
        self, row: int, image_hwc_bgr: npt.NDArray[np.uint8], card: ModelCard, resize: Resize | None = None
    ) -> Letterbox:
        """Letterbox one picture into a row; padding that lies there from the last one is left alone."""
        out = self._region.array[row]
        padded_for = self._padded_for.pop(row, None)
        letterbox = write_input(
            image_hwc_bgr, card.contract, card.input_wh, out, resize=resize, is_padded_for=padded_for
        )
        self._padded_for[row] = letterbox
        return letterbox

    @property
    def region(self) -> InputRegion:
        """The memory itself, for another model's request that reads it."""
        return self._region

    @property
    def direct(self) -> str:
        """Where other processes of this user find the memory: see InputRegion."""
        return self._region.direct

    @property
    def on_device(self) -> str:
        """Where other processes of this user find the memory on a GPU: see InputRegion."""
        return self._region.on_device

    def move_on_device(self, target: int, source: int) -> None:
        """Bring a row that was written on the GPU to another row's place."""
        self._region.move_on_device(target, source)

    def infer(self, count: int, timeout_s: float) -> npt.NDArray[np.float32]:
        """Send the first `count` pictures and wait for the first output."""
        self.sent_ns = time.perf_counter_ns()
        self.deliver(count)
        return self.call(count, timeout_s)

    def deliver(self, count: int) -> None:
        """Bring the first `count` pictures to where the server reads them."""
        rows, self.rows_on_device = self.rows_on_device, frozenset()
        self._region.deliver(self._region.array[:count].nbytes, rows)

    def call(self, count: int, timeout_s: float) -> npt.NDArray[np.float32]:
        """Ask for the first output of the first `count` pictures, which were delivered."""
        output = self._caller.call(count, self._region.array[:count].nbytes, timeout_s)
        self.received_ns = time.perf_counter_ns()
        return output

    def close(self) -> None:
        """Give the slot's memory back, where it is the slot's own."""
        self._caller.close()
        if self._owns_region:
            self._region.close()
