"""`photofinish export --best`: the published variants measured on this machine, the best one named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import ConfigError, VerdictError
from photofinish.flows.gate import GateOutcome, why_not_here
from photofinish.machine.architectures import why_not_on

if TYPE_CHECKING:
    from photofinish.export.publishing.staging import StagedVariant
    from photofinish.perf.judge.best import Candidate, VariantFacts

SOURCE = "synthetic"
CONCURRENCIES = (1, 4, 8)
SECONDS = 5.0
"""Per variant and concurrency; longer where that gives too few requests for a P95."""
SPARE = 1.3
"""The warm-up, by which the time is chosen, may have been quicker than what follows."""


def measure_published(
    repository: Path, models: Sequence[str], *, on_progress: Callable[[str], None]
) -> tuple[Candidate, ...]:
    """Every one of these models under closed-loop load, served from the repository by the embedded server.

    Nothing is measured of no models: a server without names would serve whatever else the repository holds.
    """
    if not models:
        return ()
    from photofinish.percentiles import min_samples
    from photofinish.perf.judge.best import candidates_from_section
    from photofinish.perf.measure.bench import Bench, frames_from_source, served_models
    from photofinish.perf.measure.sweep import run_sweep
    from photofinish.perf.watch.watcher import Watcher
    from photofinish.server.triton.embedded import EmbeddedServer

    frames = frames_from_source(SOURCE)
    with EmbeddedServer(repository, models=tuple(models), on_progress=on_progress) as server:
        at = server.endpoint
        bench = Bench(
            url=at.grpc_url,
            http_url=at.http_url,
            models=served_models(at.grpc_url),
            frames=frames,
            source=SOURCE,
            server={"kind": at.kind, "version": at.version},
            watcher=Watcher(metrics_url=at.metrics_url, server_pid=at.pid),
        )
        section = run_sweep(
            bench,
            None,
            concurrencies=CONCURRENCIES,
            own_seconds=SECONDS,
            own_requests=int(SPARE * min_samples(0.95)),
            on_progress=on_progress,
        )
    return candidates_from_section(section)


def choose_best(
    candidates: Sequence[Candidate],
    p95_ms: float,
    *,
    on_line: Callable[[str], None],
    facts: Sequence[VariantFacts] = (),
) -> str:
    """The best variant's name, its table and why it is that one printed; VerdictError when none keeps the limit."""
    from photofinish.perf.judge.best import best_candidate
    from photofinish.perf.report.command_tables import reason_for_none, sentence_on_best, table_from_candidates

    best = best_candidate(candidates, p95_ms=p95_ms)
    on_line(table_from_candidates(candidates, best, facts=facts, p95_ms=p95_ms))
    if best is None:
        raise VerdictError(reason_for_none(candidates, p95_ms=p95_ms))
    on_line(sentence_on_best(best, candidates, p95_ms=p95_ms))
    return best.model


def facts_from_staged(staged: Sequence[StagedVariant], outcome: GateOutcome) -> tuple[VariantFacts, ...]:
    """What is known of every variant that was made: its accuracy, its file, and why it was not measured."""
    from photofinish.perf.judge.best import VariantFacts

    verdicts = {item.name: item for item in outcome.report.verdicts} if outcome.report else {}
    gpu = this_target() if any(item.card.device != "cpu" for item in staged) else ""
    facts = []
    for item in staged:
        name, verdict = item.variant.name, verdicts.get(item.variant.name)
        why_not = why_not_here(item)
        if not why_not and name not in outcome.published:
            why_not = "refused by the gate" if verdict and not verdict.passed else "not published: not decided"
        if not why_not and gpu and item.card.device != "cpu":
            why_not = why_not_on(gpu, item.variant.backend, item.variant.precision)
        files = [path for path in (item.directory / "1").rglob("*") if path.is_file()]
        facts.append(
            VariantFacts(
                model=name,
                kept=verdict.result.share if verdict else None,
                file_bytes=sum(path.stat().st_size for path in files),
                why_not=why_not,
            )
        )
    return tuple(facts)


def this_target() -> str:
    """The architecture of the GPU at hand, "" without one."""
    from photofinish.export.tensorrt.targets import gpu_at_hand

    gpu = gpu_at_hand()
    return gpu.target if gpu else ""


def runs_here(item: StagedVariant) -> bool:
    """Whether the embedded server of this machine can serve the variant."""
    return not why_not_here(item)


def check_best_options(best: bool, p95_ms: float | None, gate: bool) -> None:
    """ConfigError unless --best and --p95-ms come together, and with the gate: fast and wrong is not best."""
    if best != (p95_ms is not None):
        raise ConfigError("--best needs the limit it has to keep, and the limit needs --best: --best --p95-ms 20")
    if best and not gate:
        raise ConfigError("--best chooses among variants that kept their accuracy; leave --no-gate out")
