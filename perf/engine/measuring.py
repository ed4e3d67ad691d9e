"""Every artifact measured without a server: the floor that serving is compared with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from photofinish.errors import ConfigError
from photofinish.model_card import ModelCard
from photofinish.perf.engine.loops import Artifact, NoLoopError, loop_from_artifact, package_of, timed_loop
from photofinish.perf.engine.packages import holds_packages, package_loop
from photofinish.perf.load.settling import measure_harness
from photofinish.perf.record.changes import NotRun, not_run_from_error, reason_to_stop, text_of_error
from photofinish.perf.record.environment import environment_fingerprint, utc_now
from photofinish.perf.record.record import Arm, Block, Load, Record, Section
from photofinish.perf.record.samples import Samples
from photofinish.perf.watch.watcher import Watcher


def measure_engines(
    artifacts: Sequence[Artifact],
    *,
    batch_sizes: Sequence[int] = (1,),
    seconds: float = 4.0,
    seed: int = 0,
    nvml: Any | None = None,
    on_progress: Callable[[str], None],
    on_section: Callable[[Section], None] = lambda section: None,
) -> Section:
    """The section of kind "engine": every artifact at every batch size it takes, warm, one after the other.

    On a GPU the input already lies on the device and every execution is waited for. Input is noise of the right shape:
    a detector's time does not depend on its pixels.
    """
    _settle_tf32([artifact.card for artifact in artifacts])
    load = Load(mode="loop", block_s=seconds, seed=seed)
    watcher = Watcher(nvml=nvml, no_server=True)
    arms: list[Arm] = []
    blocks: list[Block] = []
    not_run: list[NotRun] = []
    for artifact in artifacts:
        for batch_size in batch_sizes:
            card = artifact.card
            label = f"{card.variant}, batch {batch_size}"
            on_progress(f"engine: {label}")
            try:
                with _warm(artifact, batch_size, seed) as measure:
                    samples, observed = watcher.watch("", partial(measure, seconds))
            except KeyboardInterrupt as exc:
                stopped = _section(load, arms, blocks, not_run, complete=False)
                on_section(replace(stopped, stopped_by=reason_to_stop(exc)))
                raise
            except Exception as exc:  # every engine raises classes of its own; the others go on
                reason = not_run_from_error(exc)
                not_run.append(replace(reason, model=card.variant, batch_size=batch_size))
                on_progress(f"engine: {label}: not run: {text_of_error(reason)}")
                continue
            arm = _arm(card, batch_size)
            arms.append(arm)
            blocks.append(Block(arm=arm.key, round=0, began_ns=0, samples=samples, observed=observed))
            on_section(_section(load, arms, blocks, not_run, complete=False))
    section = _section(load, arms, blocks, not_run, complete=True)
    on_section(section)
    return section


@contextmanager
def _warm(artifact: Artifact, batch_size: int, seed: int) -> Iterator[Callable[[float], Samples]]:
    """A function that runs the artifact for so many seconds. Compiled packages run in a process of their own."""
    card = artifact.card
    if batch_size > card.batch_buckets[-1]:
        raise NoLoopError(NotRun(key="batch", values={"model": card.variant, "size": card.batch_buckets[-1]}))
    if card.backend == "pytorch" and holds_packages(artifact.directory):
        package = package_of(artifact)
        with package_loop(card, artifact.directory, batch_size, seed=seed, backend_package=package) as measure:
            yield measure
    else:
        loop = loop_from_artifact(artifact, batch_size, seed)
        yield lambda seconds: timed_loop(loop, seconds, batch_size)


def _settle_tf32(cards: Sequence[ModelCard]) -> None:
    """Switch TF32 off for the whole process unless the variants ask for it.

    torch's own switches leave cuDNN's convolutions in TF32 on some GPUs; only this variable, read at CUDA's first
    use, turns it off (measured on an H100 with torch 2.11).
    """
    asked = {card.tf32 for card in cards if card.device == "cuda"}
    if len(asked) > 1:
        raise ConfigError("variants with and without TF32 cannot share a process; use --variant, in two runs")
    if asked == {False}:
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def _arm(card: ModelCard, batch_size: int) -> Arm:
    return Arm(
        key=f"{card.variant}/{batch_size}",
        model=card.variant,
        role=card.role,
        backend=card.backend,
        precision=card.precision,
        contract=card.contract,
        device=card.device,
        batch_size=batch_size,
        span="engine",
        untrained=card.untrained,
        tf32=card.tf32,
        weights=card.weights,
        weights_sha256=card.weights_sha256,
    )


def _section(
    load: Load, arms: Sequence[Arm], blocks: Sequence[Block], not_run: Sequence[NotRun], *, complete: bool
) -> Section:
    return Section(
        kind="engine",
        name="engine",
        load=load,
        arms=tuple(arms),
        blocks=tuple(blocks),
        not_run=tuple(not_run),
        complete=complete,
    )


def engine_record(*, command: str, nvml: Any | None) -> Record:
    """A record without sections: fingerprint taken, harness measured, no server, no frames."""
    return Record(
        command=command,
        created_utc=utc_now(),
        environment=environment_fingerprint(nvml, server={"kind": "none", "version": "in this process"}),
        source={"name": "noise"},
        sections=(),
        harness=measure_harness(),
    )


def require_measured(section: Section) -> None:
    """Raise ConfigError with the reasons when no artifact could be run at all: there is nothing to report."""
    if section.arms:
        return
    reasons = dict.fromkeys(text_of_error(item) for item in section.not_run)
    raise ConfigError(f"nothing could be measured here: {'; '.join(reasons) or 'no artifact was given'}")
