"""What Triton tells a backend about its model, checked; and how a backend refuses a model."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = {
    "TYPE_BOOL": np.dtype(np.bool_),
    "TYPE_UINT8": np.dtype(np.uint8),
    "TYPE_UINT16": np.dtype(np.uint16),
    "TYPE_UINT32": np.dtype(np.uint32),
    "TYPE_UINT64": np.dtype(np.uint64),
    "TYPE_INT8": np.dtype(np.int8),
    "TYPE_INT16": np.dtype(np.int16),
    "TYPE_INT32": np.dtype(np.int32),
    "TYPE_INT64": np.dtype(np.int64),
    "TYPE_FP16": np.dtype(np.float16),
    "TYPE_FP32": np.dtype(np.float32),
    "TYPE_FP64": np.dtype(np.float64),
}
"""Triton's config datatypes that these backends carry."""


GROUP = "PHOTOFINISH_GROUP"
"""Environment variable: 1 lets the models of one backend on one device share a process, and a GPU's context."""
LANES = "PHOTOFINISH_LANES"
"""Environment variable: how many executions of a model may stand ready at once, 1 (the usual) or 2."""
CORES = "PHOTOFINISH_CORES"
"""Environment variable: {"a model's name": [0, 1]} in JSON; its process computes on these alone, others on all."""


class RefusedModelError(Exception):
    """A model that cannot be served as configured: found, expected, remedy."""


class ApartError(RefusedModelError):
    """A model that does not go together with those in this process. Its text: how the name of its group goes on."""


@dataclass(frozen=True)
class Io:
    """One input or output as config.pbtxt states it; dims without the batch dimension, -1 for variable."""

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int, ...]

    def shape(self, batch_size: int) -> tuple[int, ...]:
        """The shape with a batch dimension in front when batch_size is positive."""
        return (batch_size, *self.dims) if batch_size else self.dims


@dataclass(frozen=True)
class ConfiguredModel:
    """One model instance. device: "cpu" or "cuda". card: Photofinish's metadata, {} when the config has none.

    folder: the version's folder, with the artifact `file_name` in it. accelerators: the execution accelerators that
    the config asks for on a GPU, by name. capability_files: the artifact's file name by compute capability, "12.0".
    is_grouped: other models run in this process.
    """

    name: str
    folder: Path
    file_name: str
    inputs: tuple[Io, ...]
    outputs: tuple[Io, ...]
    max_batch_size: int
    device: str
    device_id: int
    instance_count: int
    card: dict[str, Any] = field(default_factory=dict)
    accelerators: tuple[str, ...] = ()
    capability_files: dict[str, str] = field(default_factory=dict)
    is_grouped: bool = False

    def artifact(self) -> Path:
        """The artifact's path. Raises RefusedModelError when there is no such file."""
        path = self.folder / self.file_name
        if not path.is_file():
            raise RefusedModelError(f"{path} does not exist; export the model again")
        return path

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes to prepare, ascending; (0,) for a model without a batch dimension."""
        if not self.max_batch_size:
            return (0,)
        chosen = {size for size in self.card.get("batch_buckets", (1,)) if 0 < size < self.max_batch_size}
        return (*sorted(chosen), self.max_batch_size)

    @property
    def has_fixed_shapes(self) -> bool:
        """Whether no dimension but the batch varies."""
        return all(dim > 0 for io in (*self.inputs, *self.outputs) for dim in io.dims)


def configured_model(args: dict[str, str], default_file_name: str) -> ConfiguredModel:
    """The model that Triton's `initialize` arguments describe. Raises RefusedModelError."""
    config = json.loads(args["model_config"])
    name = config["name"]
    card = _card(config)
    device = "cuda" if args["model_instance_kind"] == "GPU" else "cpu"
    wanted = card.get("device", device)
    if wanted != device:
        raise RefusedModelError(
            f"{name} is made for {wanted} and its instance_group asks for {device}; export it again for this machine"
        )
    if config.get("model_transaction_policy", {}).get("decoupled"):
        raise RefusedModelError(f"{name} is configured as decoupled; this backend answers each request once")
    model = ConfiguredModel(
        name=name,
        folder=(Path(args["model_repository"]) / args["model_version"]).resolve(),
        file_name=config.get("default_model_filename") or default_file_name,
        inputs=_ios(config, "input"),
        outputs=_ios(config, "output"),
        max_batch_size=config.get("max_batch_size", 0),
        device=device,
        device_id=int(args["model_instance_device_id"]),
        instance_count=sum(int(group.get("count", 1)) for group in config.get("instance_group", [])) or 1,
        card=card,
        accelerators=_accelerators(config),
        capability_files=config.get("cc_model_filenames") or {},
        is_grouped="group" in args,
    )
    for kind, ios in (("input", model.inputs), ("output", model.outputs)):
        if not ios:
            raise RefusedModelError(f"{name}: config.pbtxt names no {kind}; export the model again")
    return model


def _card(config: dict[str, Any]) -> dict[str, Any]:
    text = config.get("parameters", {}).get("photofinish", {}).get("string_value", "")
    try:
        card = json.loads(text) if text else {}
    except ValueError as exc:
        raise RefusedModelError(f"the parameter `photofinish` is not JSON: {exc}; export the model again") from exc
    if not isinstance(card, dict):
        raise RefusedModelError("the parameter `photofinish` must be a JSON object; export the model again")
    return card


def _accelerators(config: dict[str, Any]) -> tuple[str, ...]:
    chosen = config.get("optimization", {}).get("execution_accelerators", {})
    return tuple(item["name"] for item in chosen.get("gpu_execution_accelerator", []))


def _ios(config: dict[str, Any], kind: str) -> tuple[Io, ...]:
    found = []
    for item in config.get(kind, []):
        if item["data_type"] not in DTYPES:
            raise RefusedModelError(
                f"{kind} {item['name']!r} has data_type {item['data_type']}, this backend carries {sorted(DTYPES)}"
            )
        reshape = item.get("reshape", {})
        dims = reshape.get("shape", item["dims"]) if reshape else item["dims"]
        found.append(Io(item["name"], DTYPES[item["data_type"]], tuple(int(dim) for dim in dims)))
    return tuple(found)


def lane_count() -> int:
    """How many executions may stand ready at once: while one runs, the next one is copied. 2 is an experiment."""
    return 2 if os.environ.get(LANES) == "2" else 1


def keep_to_own_cores(model: ConfiguredModel) -> None:
    """Let this process compute on the model's cores alone, where it has cores of its own. Raises RefusedModelError.

    To be called before the engine is opened: libraries ask once how many cores there are.
    """
    cores = json.loads(os.environ.get(CORES) or "{}").get(model.name)
    if not cores or model.is_grouped:
        return
    try:
        for thread in Path("/proc/self/task").iterdir():  # libraries that are imported already may have some
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)
    except OSError as exc:
        raise RefusedModelError(
            f"{model.name} cannot compute on the cores {cores} alone: {exc.strerror}; show it with `--turns on`"
        ) from exc


def thread_count(model: ConfiguredModel) -> int:
    """Threads for one instance on the CPU: the cores this process may use, shared among the instances."""
    return max(1, len(os.sched_getaffinity(0)) // model.instance_count)
