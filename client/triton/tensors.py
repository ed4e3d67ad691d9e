"""Names, types and shapes of a served model's tensors; a picture laid out as one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.letterbox import Letterbox, Resize, letterbox_from_image, letterboxed_from_image, write_letterboxed

DTYPES: Mapping[str, type[np.generic]] = {
    "UINT8": np.uint8,
    "FP16": np.float16,
    "FP32": np.float32,
}
"""Triton's data types that pictures and detections come in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """One input or output. dims: per picture, without the batch dimension; -1 where the server leaves it open."""

    name: str
    datatype: str
    dims: tuple[int, ...]


def tensor_from_metadata(tensor: Any, max_batch_size: int) -> TensorInfo:
    """A TensorInfo from Triton's model metadata, whose shape has a batch dimension in front.

    Models with max_batch_size 0 may still have one of their own: pictures of four dimensions, rows of three.
    """
    shape = tuple(int(side) for side in tensor.shape)
    has_batch = max_batch_size > 0 or len(shape) == 4 or (len(shape) == 3 and shape[0] in (-1, 1))
    return TensorInfo(name=tensor.name, datatype=tensor.datatype, dims=shape[1:] if has_batch else shape)


def array_from_response(response: Any, position: int = 0) -> npt.NDArray[np.float32]:
    """One output of a ModelInferResponse, batch first, as float32. FP32 is a read-only view, not a copy."""
    tensor = response.outputs[position]
    raw = response.raw_output_contents[position]
    array = np.frombuffer(raw, dtype=DTYPES[tensor.datatype]).reshape(tuple(tensor.shape))
    return np.asarray(array, dtype=np.float32)


def require_rows(output: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """The output itself. Raises ValueError unless it has a row for each of `count` pictures."""
    if output.ndim == 0 or len(output) < count:
        raise ValueError(f"shape {output.shape} for {count} pictures")
    return output


def write_input(
    image_hwc_bgr: npt.NDArray[np.uint8],
    contract: str,
    input_wh: tuple[int, int],
    out: npt.NDArray[Any],
    *,
    resize: Resize | None = None,
    is_padded_for: Letterbox | None = None,
) -> Letterbox:
    """Write one letterboxed RGB picture into `out`, as the contract lays it out, and give its letterbox.

    out: uint8 (height, width, 3) for frames; float32 or float16 (3, height, width), 0 to 1, for tensor.
    resize: for frames, in place of OpenCV where it can. is_padded_for: whose padding lies in `out` already, for frames.
    """
    letterbox = letterbox_from_image(image_hwc_bgr, input_wh)
    if contract == "frames":
        write_letterboxed(
            image_hwc_bgr,
            letterbox,
            out,
            swap_channels=True,
            resize=resize,
            is_padded=is_padded_for == letterbox,
        )
    else:
        pixels, _ = letterboxed_from_image(image_hwc_bgr, input_wh, swap_channels=True)
        np.divide(pixels.transpose(2, 0, 1), 255, out=out, casting="same_kind", dtype=np.float32)
    return letterbox
