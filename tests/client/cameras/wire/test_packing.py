"""Every value comes out of its bytes as it went in."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from photofinish.client.cameras.values.access_unit import AccessUnit
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.wire.messages import DecodeReport, FrameWritten, WriteFrame
from photofinish.client.cameras.wire.packing import bytes_from_value, value_from_bytes
from photofinish.letterbox import Letterbox

FRAME = DueFrame(
    camera="gate", sequence=3, captured_ns=1, arrived_ns=2, decoded_ns=3, clock="rtcp", size_wh=(64, 48), connection=2
)
LETTERBOX = Letterbox(source_wh=(64, 48), target_wh=(32, 32))
FLAT: list[Any] = [
    FRAME,
    AccessUnit(camera="gate", connection=2, data=b"unit", captured_ns=1, arrived_ns=2, clock="rtcp", is_keyframe=True),
    WriteFrame(request=1, camera="gate", region="1/2/3", shape=(8, 32, 32, 3), datatype="uint8", position=7,
               contract="frames", input_wh=(32, 32)),
    FrameWritten(request=1, camera="gate", frame=FRAME, letterbox=LETTERBOX),
    FrameWritten(request=1, camera="gate", frame=None, message="no picture is held"),
]  # fmt: skip


@pytest.mark.parametrize("value", [*FLAT, DecodeReport(camera="gate"), (), (0, "gate"), (DecodeReport(camera="gate"),)])
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    found = value_from_bytes(memoryview(bytes_from_value(value)))
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, FrameWritten) and value.letterbox is not None:
        assert found.letterbox.offset_xy == value.letterbox.offset_xy, "what follows from the sizes"


@pytest.mark.parametrize("value", FLAT)
def test_the_values_of_every_frame_name_no_class(value: Any) -> None:
    assert b"photofinish" not in bytes_from_value(value)
    assert b"photofinish" in pickle.dumps(value)
