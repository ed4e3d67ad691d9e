"""Where one request's time goes: client prepare, wire, queue, input copy, engine, output copy, client decode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photofinish.perf.record.observation import joined_means
from photofinish.perf.record.record import Arm, Section

STAGES = ("prepare", "wire", "queue", "compute_input", "compute_infer", "compute_output", "decode")
"""In the order a request passes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One arm's mean microseconds per stage. server_known: the server's own times were there; else wire holds them."""

    arm: Arm
    stage_us: dict[str, float]
    server_known: bool

    @property
    def total_us(self) -> float:
        """All stages together."""
        return sum(self.stage_us.values())


def stage_rows(section: Section) -> tuple[StageRow, ...]:
    """One row per arm whose client measured its stages.

    wire is what is left of the client's waiting after the server's own time: network, marshalling, scheduling.
    """
    rows = []
    for arm in section.arms:
        blocks = [block for block in section.blocks_of(arm.key) if block.stages_ns.get("wire")]
        if not blocks:
            continue
        client = {
            key: float(np.mean(np.concatenate([block.stages_ns[key] for block in blocks]))) / 1000
            for key in ("prepare", "wire", "decode")
        }
        triton = joined_means([block.observed.triton for block in blocks])
        server = {
            key: float(getattr(triton, f"{key}_us")) if triton else 0.0
            for key in ("queue", "compute_input", "compute_infer", "compute_output")
        }
        stage_us = client | server | {"wire": max(0.0, client["wire"] - sum(server.values()))}
        rows.append(StageRow(arm=arm, stage_us={key: stage_us[key] for key in STAGES}, server_known=triton is not None))
    return tuple(rows)
