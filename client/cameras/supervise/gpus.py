"""Which GPUs of this machine infer and decode cameras, and why none does."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

from photofinish.client.cameras.decode.gpu.process import STAND_IN, threads_wanted
from photofinish.client.cameras.values.camera import DecodeChoice
from photofinish.errors import ConfigError
from photofinish.machine.gpu import (
    driver_numbers,
    gpu_handles,
    gpu_lines_from_nvidia_smi,
    gpu_name,
    opened_nvml,
)
from photofinish.machine.nvdec import decoder_strengths

DEVICE_VARIABLE = "PHOTOFINISH_DECODE_DEVICE"
"""Environment variable: `stand-in` rehearses the GPU's way on the CPU."""
VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
REMEDY = "pip install 'photofinish[nvdec]'"
BY_WISH = "the CPU decodes, as --decode cpu says"
MAX_STAND_INS = 64
CAMERAS_A_DECODER = 100
"""Of 25 frames a second. A decode process is Python: with 128 cameras on an H200 the P50 was 7.5 ms, with 250 it was 57
ms, and the process used 2.1 cores whatever was asked of it, with the decoder half idle (docs/decisions.md)."""
MOST_DECODERS = 3
"""So many have all sessions that a GPU opens; each takes a context's memory, and contexts take turns on the GPU. At 250
cameras three dropped a tenth, where one of as many threads dropped three quarters (docs/decisions.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodePlan:
    """numbers: the GPUs that infer, as CUDA counts them here; cameras are spread over them. () without a GPU.

    devices: of each GPU's decode process, as it is started with, in the order of `numbers`; () where the CPU decodes.
    strengths: of each decoding GPU against the others; () where they are alike, or nothing is known of one.
    each: decode processes of a GPU. sentence: what decodes here, for people.
    is_rehearsed: whether stand-ins on the CPU are in the GPUs' places.
    """

    devices: tuple[str, ...]
    sentence: str
    each: int = 1
    choice: DecodeChoice = "auto"
    numbers: tuple[int, ...] = ()
    strengths: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError where a GPU decodes that does not infer."""
        if self.devices and len(self.devices) != len(self.numbers):
            raise ValueError(f"{len(self.devices)} devices decode, and {len(self.numbers)} GPUs infer")

    @property
    def is_rehearsed(self) -> bool:
        """Whether stand-ins on the CPU are in the GPUs' places."""
        return STAND_IN in self.devices

    def for_cameras(self, count: int) -> DecodePlan:
        """With as many decode processes of each GPU as so many cameras need."""
        share = -(-count // max(len(self.numbers), 1))
        return replace(self, each=min(max(-(-share // CAMERAS_A_DECODER), 1), MOST_DECODERS))


CPU_ALONE = DecodePlan(devices=(), sentence="the CPU decodes")


def decode_plan(
    choice: DecodeChoice = "auto",
    gpus: str = "0",
    *,
    environment: Mapping[str, str] = os.environ,
    count_gpus: Callable[[], int] | None = None,
    has_library: Callable[[], bool] | None = None,
    names_of: Callable[[Sequence[int]], Sequence[str]] | None = None,
) -> DecodePlan:
    """What infers and decodes here. gpus: `all`, or numbers such as 0,1.

    Raises ConfigError for a GPU that is not there, and for a number of threads that is none.
    """
    threads_wanted(environment)
    if choice != "cpu" and environment.get(DEVICE_VARIABLE) == STAND_IN:
        numbers = _numbers(gpus, 1 if gpus == "all" else MAX_STAND_INS)
        many = "a stand-in on the CPU decodes" if len(numbers) == 1 else f"{len(numbers)} stand-ins on the CPU decode"
        sentence = f"a rehearsal: {many} in a GPU's place ({DEVICE_VARIABLE}={STAND_IN})"
        return DecodePlan(devices=(STAND_IN,) * len(numbers), sentence=sentence, choice=choice, numbers=numbers)
    found = (count_gpus or partial(number_of_gpus, environment))()
    numbers = _numbers(gpus, found) if found else ()
    spread = _on_several(numbers, found)
    if choice == "cpu":
        return DecodePlan(devices=(), sentence=f"{BY_WISH}{spread}", choice=choice, numbers=numbers)
    if not found:
        return DecodePlan(devices=(), sentence="the CPU decodes: there is no NVIDIA GPU here", choice=choice)
    if not (has_library or _has_library)():
        sentence = f"the CPU decodes: {REMEDY} has the GPU do it{spread}"
        return DecodePlan(devices=(), sentence=sentence, choice=choice, numbers=numbers)
    sentence = f"{_named(numbers)} {'decodes' if len(numbers) == 1 else 'decode'}, and the CPU what is left{spread}"
    strengths = decoder_strengths((names_of or partial(gpu_names, environment))(numbers)) if len(numbers) > 1 else ()
    return DecodePlan(
        devices=tuple(map(str, numbers)), sentence=sentence, choice=choice, numbers=numbers, strengths=strengths
    )


def _on_several(numbers: Sequence[int], found: int) -> str:
    """What is to be said of a machine with several GPUs; "" for one with fewer."""
    if found < 2:
        return ""
    if len(numbers) > 1:
        return f"; the cameras are spread over {_named(numbers)}, each with a server of its own"
    return f"; {_named(numbers)} alone infers, and --gpus all spreads the cameras over all {found}"


def _named(numbers: Sequence[int]) -> str:
    return " and ".join(f"GPU {number}" for number in numbers)


def number_of_gpus(environment: Mapping[str, str]) -> int:
    """How many NVIDIA GPUs programs started from here see; CUDA counts those that CUDA_VISIBLE_DEVICES lets it."""
    if (visible := environment.get(VISIBLE_VARIABLE)) is not None:
        return len(visible_gpus(visible))
    with opened_nvml() as nvml:
        return len(gpu_handles(nvml)) or len(gpu_lines_from_nvidia_smi())


def gpu_names(environment: Mapping[str, str], numbers: Sequence[int]) -> list[str]:
    """What the driver calls the GPUs that CUDA numbers so here; "" where it does not tell."""
    with opened_nvml() as nvml:
        handles = gpu_handles(nvml)
        found = driver_numbers(nvml, numbers, environment)
        return [gpu_name(nvml, handles[number]) if number < len(handles) else "" for number in found]


def visible_gpus(text: str) -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES names: those before the first that is none."""
    names = [name.strip() for name in text.split(",")]
    return list(takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), names))


def _has_library() -> bool:
    return importlib.util.find_spec("PyNvVideoCodec") is not None


def _numbers(text: str, found: int) -> tuple[int, ...]:
    if text == "all":
        return tuple(range(found))
    words = text.split(",")
    if not all(word.strip().isdigit() for word in words):
        raise ConfigError(f"--gpus must be all or numbers such as 0,1, got {text!r}")
    numbers = sorted({int(word) for word in words})
    if numbers[-1] >= found:
        have = "GPU 0 alone" if found == 1 else f"GPUs 0 to {found - 1}"
        raise ConfigError(f"--gpus names GPU {numbers[-1]}, and this machine has {have}")
    return tuple(numbers)
