"""The server, models and frames that a measurement runs on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from photofinish.address.hiding import public_address
from photofinish.client.choosing.networks import choose_network
from photofinish.client.sources.opening import open_source
from photofinish.client.triton.served import ServedModel, TritonClient
from photofinish.client.triton.session import ignore_notice
from photofinish.errors import ConfigError, SourceError
from photofinish.frame import Frame
from photofinish.model_card import ModelCard
from photofinish.names import all_chosen_by_name
from photofinish.perf.record.environment import environment_fingerprint, frames_fingerprint
from photofinish.perf.record.record import Arm
from photofinish.perf.watch.watcher import Watcher

Progress = Callable[[str], None]

READY_TIMEOUT_S = 3.0
"""How long a server that should be there already may take to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is measured and on what. server: kind and version, for the fingerprint. models: the baseline first.

    http_url: the server's HTTP endpoint where it is known. on_notice hears what sessions have to say, of a server that
    reads pictures across GPUs for example.
    """

    url: str
    models: tuple[ServedModel, ...]
    frames: tuple[Frame, ...]
    source: str
    server: dict[str, Any]
    watcher: Watcher
    http_url: str | None = None
    on_notice: Progress = ignore_notice

    @property
    def baseline(self) -> ServedModel:
        """The model every other one is compared with."""
        return self.models[0]

    @property
    def cards(self) -> dict[str, ModelCard]:
        """What is known of each model, in their order."""
        return {model.name: model.require_card() for model in self.models}

    @property
    def sizes_wh(self) -> set[tuple[int, int]]:
        """The sizes of the frames."""
        return {frame.size_wh for frame in self.frames}

    def environment(self) -> dict[str, Any]:
        """The fingerprint of this machine and the server."""
        return environment_fingerprint(self.watcher.nvml, server=self.server)

    def source_fingerprint(self) -> dict[str, Any]:
        """The fingerprint of the frames."""
        return frames_fingerprint(self.source, self.frames)


def frames_from_source(spec: str, *, count: int = 16, stride: int = 10) -> tuple[Frame, ...]:
    """`count` frames of a source: every `stride`-th one of a recording while they last, else those that come first.

    Raises SourceError for none.
    """
    frames: list[Frame] = []
    with open_source(spec) as source:
        total = source.frame_count
        step = 1 if total is None else max(1, min(stride, total // count))
        for position, frame in enumerate(source.frames()):
            if position % step == 0:
                frames.append(frame)
            if len(frames) == count:
                break
    if not frames:
        raise SourceError(f"{public_address(spec)} gave no frame; choose another --source")
    return tuple(frames)


def served_models(
    url: str,
    names: Sequence[str] = (),
    *,
    model: str | None = None,
    also: Sequence[str] = (),
    weights_changed: bool = False,
    is_chosen: bool = False,
    on_notice: Progress = lambda line: None,
) -> tuple[ServedModel, ...]:
    """The variants to measure, the baseline first: all of one network, the one called `model` or that exported last.

    names: only these of them, by full name or suffix, and those of `also`. also: variants of the same network.
    weights_changed: with those that were pruned from it. is_chosen: the server holds what is measured and nothing else.
    Raises ConfigError where they are not, or where it is not clear which network is meant.
    """
    with TritonClient(url) as client:
        client.wait_until_ready(timeout_s=READY_TIMEOUT_S)
        served = client.models()
    usable = [model for model in served if model.card is not None]
    if not usable:
        found = [model.name for model in served] or "none"
        raise ConfigError(
            f"the server at {url} serves no model this client can use, found {found}; run `photofinish export`"
        )
    if not is_chosen:
        cards = {item.name: item.require_card() for item in usable}
        network = choose_network(
            cards, where=url, model=model, named=(*names, *also), weights_changed=weights_changed, on_notice=on_notice
        )
        chosen = all_chosen_by_name(network, (*names, *also) if names else (), where=url)
        usable = [item for item in usable if item.name in chosen]
    return tuple(sorted(usable, key=lambda item: (item.require_card().role != "baseline", item.name)))


def arm_from_model(model: ServedModel, **changes: Any) -> Arm:
    """An arm with all that the model's card tells. changes: at least key and label."""
    card = model.require_card()
    batch_size = int(changes.get("batch_size", 1))
    return Arm(
        model=model.name,
        role=card.role,
        backend=card.backend,
        precision=card.precision,
        contract=card.contract,
        device=card.device,
        untrained=card.untrained,
        tf32=card.tf32,
        weights=card.weights,
        weights_sha256=card.weights_sha256,
        unpruned_sha256=card.unpruned_sha256,
        bytes_per_request=batch_size * input_bytes(model),
        input_wh=card.input_wh,
        accuracy=card.accuracy,
        **changes,
    )


def input_bytes(model: ServedModel) -> int:
    """Bytes of one picture as the model's input takes it."""
    width = {"UINT8": 1, "FP16": 2, "FP32": 4}.get(model.inputs[0].datatype, 4)
    return width * math.prod(model.input_dims())
