"""Fixed buffers and batch buckets: requests are laid side by side into one buffer, run at a prepared batch size.

Imports nothing of Photofinish, and nothing of TensorRT: the launch is a function, so that this can be tested anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from photofinish_batches import bucket_for
from photofinish_model import ServedModel


@dataclass
class Buffers:
    """Memory for the largest batch, in the order of config.pbtxt. On a CPU the host buffers are the device's.

    inputs, outputs: on the device, their addresses never change. host_inputs, host_outputs: page-locked.
    """

    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]
    host_inputs: list[torch.Tensor]
    host_outputs: list[torch.Tensor]
    stream: Any

    @classmethod
    def on_device(cls, model: ServedModel, device: torch.device) -> Buffers:
        """Zeroed buffers for `model.max_batch_size` pictures."""
        size = model.max_batch_size
        on_gpu = device.type == "cuda"

        def zeros(ios: Sequence[Any], *, host: bool) -> list[torch.Tensor]:
            place = {"pin_memory": on_gpu} if host else {"device": device}
            return [torch.zeros(io.shape(size), dtype=_torch_dtype(io.dtype), **place) for io in ios]

        inputs, outputs = zeros(model.inputs, host=False), zeros(model.outputs, host=False)
        return cls(
            inputs=inputs,
            outputs=outputs,
            host_inputs=zeros(model.inputs, host=True) if on_gpu else inputs,
            host_outputs=zeros(model.outputs, host=True) if on_gpu else outputs,
            stream=torch.cuda.Stream(device) if on_gpu else None,
        )


@dataclass
class Launcher:
    """Buffers and the function that runs one bucket on them, enqueued on the buffers' stream."""

    buffers: Buffers
    launch: Callable[[int], None]


class BucketRunner:
    """Runs several requests as one batch, at the smallest prepared size that holds it."""

    def __init__(self, model: ServedModel, launcher: Launcher) -> None:
        self._model = model
        self._launcher = launcher

    def run_parts(self, parts: Sequence[Sequence[Any]]) -> list[list[np.ndarray]]:
        """The outputs of each part, whose inputs are numpy arrays or tensors on any device.

        Rows of an earlier batch that a larger bucket still holds are computed again and thrown away.
        """
        sizes = [len(part[0]) for part in parts]
        total = sum(sizes)
        bucket = bucket_for(total, self._model.buckets)
        buffers = self._launcher.buffers
        with torch.inference_mode(), torch.cuda.stream(buffers.stream) if buffers.stream else nullcontext():
            self._fill(parts, sizes)
            self._launcher.launch(bucket)
            for host, device in zip(buffers.host_outputs, buffers.outputs, strict=True):
                if host is not device:
                    host[:total].copy_(device[:total], non_blocking=True)
            if buffers.stream:
                buffers.stream.synchronize()
        outputs = [host[:total].numpy().copy() for host in buffers.host_outputs]
        starts = np.cumsum([0, *sizes])
        return [
            [output[start : start + size] for output in outputs] for start, size in zip(starts, sizes, strict=False)
        ]

    def _fill(self, parts: Sequence[Sequence[Any]], sizes: Sequence[int]) -> None:
        """Lay the parts' rows side by side into the input buffers; rows in host memory cross to the GPU at once."""
        buffers = self._launcher.buffers
        for index, (host, device) in enumerate(zip(buffers.host_inputs, buffers.inputs, strict=True)):
            start, host_rows = 0, []
            for part, size in zip(parts, sizes, strict=True):
                rows = part[index]
                if isinstance(rows, torch.Tensor) and rows.is_cuda:
                    device[start : start + size].copy_(rows, non_blocking=True)
                else:
                    host[start : start + size].copy_(torch.as_tensor(rows))
                    host_rows.append(slice(start, start + size))
                start += size
            if host is not device:
                for rows in _joined(host_rows):
                    device[rows].copy_(host[rows], non_blocking=True)


def _joined(slices: Sequence[slice]) -> list[slice]:
    """Neighbouring slices made one."""
    joined: list[slice] = []
    for item in slices:
        if joined and joined[-1].stop == item.start:
            joined[-1] = slice(joined[-1].start, item.stop)
        else:
            joined.append(item)
    return joined


def _torch_dtype(dtype: np.dtype) -> torch.dtype:
    return torch.from_numpy(np.zeros(1, dtype)).dtype
