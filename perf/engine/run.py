"""A record for a run without a server."""

from __future__ import annotations

from typing import Any

from photofinish.errors import ConfigError
from photofinish.perf.load.settling import measure_harness
from photofinish.perf.record.environment import environment_fingerprint, utc_now
from photofinish.perf.record.record import Record, Section


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
    reasons = dict.fromkeys(item.reason for item in section.not_run)
    raise ConfigError(f"nothing could be measured here: {'; '.join(reasons) or 'no artifact was given'}")
