"""The bench and the run of the `photofinish perf` commands: where server, client and measurement meet."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photofinish.address.command_line import public_arguments
from photofinish.client.choosing.networks import choose_network
from photofinish.client.choosing.sides import sides_from_cards
from photofinish.errors import ConfigError, VerdictError
from photofinish.flows import tell
from photofinish.flows.showing.core_groups import require_all_cores
from photofinish.machine.addresses import is_loopback
from photofinish.names import all_chosen_by_name, names_meant

if TYPE_CHECKING:
    from photofinish.frame import Frame
    from photofinish.model_card import ModelCard
    from photofinish.perf.engine.loops import Artifact
    from photofinish.perf.judge.findings import Findings
    from photofinish.perf.load.settling import ClientMemory
    from photofinish.perf.measure.bench import Bench
    from photofinish.perf.measure.budget import Budget
    from photofinish.perf.measure.perf_analyzer_program import PerfAnalyzer
    from photofinish.perf.measure.runs import Plan, Run
    from photofinish.perf.record.record import Record


@contextmanager
def open_bench(
    *,
    url: str | None,
    metrics_url: str | None,
    repository: Path,
    names: tuple[str, ...],
    model: str | None,
    source: str,
    also: tuple[str, ...] = (),
    sides: tuple[str | None, str | None] | None = None,
    weights_changed: bool = False,
    take_frames: Callable[[str], tuple[Frame, ...]] | None = None,
) -> Iterator[Bench]:
    """The bench on a server of our own or the given one; a server of our own is stopped afterwards.

    names, model, also, weights_changed: which variants are measured, as `served_models` says. sides: baseline and
    optimised, each None where it has no name, where nothing but a comparison is measured: ours then loads just them.
    take_frames: which frames of the source; None for those of every measurement.
    """
    from photofinish.machine.gpu import bytes_in_use, load_nvml
    from photofinish.perf.measure.bench import Bench, frames_from_source, served_models
    from photofinish.perf.watch.watcher import Watcher

    nvml = load_nvml()
    take = take_frames or frames_from_source
    also = (*also, *filter(None, sides or ()))
    if url is not None:
        host = url.removeprefix("grpc://").rpartition(":")[0]
        metrics = {None: f"{host}:8002", "none": ""}.get(metrics_url, metrics_url) or ""
        watcher = Watcher(metrics_url=metrics, nvml=nvml if is_loopback(url) else None)
        models = served_models(url, names, model=model, also=also, weights_changed=weights_changed, on_notice=tell)
        require_all_cores(url, [served.name for served in models])
        yield Bench(
            url=url,
            models=models,
            frames=take(source),
            source=source,
            server={"kind": "external", "version": server_version(url)},
            watcher=watcher,
            on_notice=cache(tell),
        )
        return
    from photofinish.server.triton.embedded import EmbeddedServer

    frames = take(source)
    idle_bytes = bytes_in_use(nvml)
    held = models_named(repository, names, model=model, also=also, weights_changed=weights_changed)
    cards, _ = cards_in(repository)
    ours = {name: cards[name] for name in held if name in cards}
    is_chosen = len(ours) == len(held)  # by its network, so nothing is left to choose
    if sides is not None:
        held = _models_of_sides(ours, held, sides, frames, where=str(repository))
    with EmbeddedServer(repository, models=held, on_progress=tell) as server:
        at = server.endpoint
        yield Bench(
            url=at.grpc_url,
            http_url=at.http_url,
            models=served_models(
                at.grpc_url,
                names,
                model=model,
                also=also,
                weights_changed=weights_changed,
                is_chosen=is_chosen,
                on_notice=tell,
            ),
            frames=frames,
            source=source,
            server={"kind": at.kind, "version": at.version},
            watcher=Watcher(metrics_url=at.metrics_url, server_pid=at.pid, nvml=nvml, idle_gpu_bytes=idle_bytes),
            on_notice=cache(tell),  # each notice once
        )


def models_named(
    repository: Path,
    names: tuple[str, ...],
    *,
    model: str | None = None,
    also: tuple[str, ...] = (),
    weights_changed: bool = False,
) -> tuple[str, ...]:
    """The variants of a repository that are measured, so that no other one is loaded; () for all of them.

    Those of one network: the one called `model`, the one that `names` and `also` belong to, else that exported last.
    What was not made by Photofinish is loaded where it is named, or where nothing else is there.
    """
    cards, others = cards_in(repository, model)
    if not cards or any(not names_meant(cards, name) and names_meant(others, name) for name in (*names, *also)):
        held = (*cards, *others)
        return all_chosen_by_name(held, (*names, *also), where=str(repository)) if names else ()
    network = choose_network(
        cards,
        where=str(repository),
        model=model,
        named=(*names, *also),
        weights_changed=weights_changed,
        on_notice=tell,
    )
    wanted = (*names, *also) if names else ()
    return all_chosen_by_name(network, wanted, where=str(repository))


def _models_of_sides(
    cards: Mapping[str, ModelCard],
    held: tuple[str, ...],
    sides: tuple[str | None, str | None],
    frames: Sequence[Frame],
    *,
    where: str,
) -> tuple[str, ...]:
    """Those of `held` that a comparison needs. Of models without our card all, unless both sides are named."""
    if len(cards) == len(held):
        sizes_wh = {frame.size_wh for frame in frames}
        return sides_from_cards(cards, *sides, sizes_wh=sizes_wh, where=where, on_notice=tell).names
    named = tuple(filter(None, sides))
    return all_chosen_by_name(held, named, where=where) if len(named) == len(sides) else held


def cards_in(repository: Path, model: str | None = None) -> tuple[dict[str, ModelCard], tuple[str, ...]]:
    """The cards of a repository's variants by name, and the names of the models without one of ours.

    Raises ModelRepositoryError where all of ours are of another version, or all of `model`.
    """
    from photofinish.export.publishing.cards import card_from_directory, require_model, require_readable

    directories = sorted(path.parent for path in repository.glob("*/config.pbtxt"))
    found = {directory.name: card_from_directory(directory) for directory in directories}
    cards, others = (
        {name: card for name, card in found.items() if card},
        tuple(name for name in found if not found[name]),
    )
    if not cards:
        require_readable(repository, others)
    require_model(repository, found, model)
    return cards, others


def server_version(url: str) -> str:
    """Triton's version as the server tells it."""
    from photofinish.client.triton.served import TritonClient

    with TritonClient(url) as client:
        return client.server_version()


def artifacts_in(repository: Path, names: tuple[str, ...], model: str | None = None) -> list[Artifact]:
    """The variants of one network of a repository on disk, by name or suffix; all of them when none is named."""
    from photofinish.perf.engine.loops import Artifact
    from photofinish.server.triton.run_folder import BACKEND

    cards, _ = cards_in(repository)
    if not cards:
        raise ConfigError(f"{repository} holds no variant; run `photofinish export`")
    network = choose_network(cards, where=str(repository), model=model, named=names, on_notice=tell)
    found = []
    for name in all_chosen_by_name(network, names, where=str(repository)):
        directory = repository / name
        version = max((path for path in directory.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
        found.append(Artifact(card=cards[name], directory=version, backend_package=BACKEND))
    return found


def find_program() -> PerfAnalyzer:
    """perf_analyzer, with the Triton wheel's libraries where it needs them."""
    from photofinish.perf.measure.perf_analyzer_program import PerfAnalyzerError, find_perf_analyzer
    from photofinish.server.triton.files import find_triton
    from photofinish.wheels import WheelError

    try:
        return find_perf_analyzer(lambda: find_triton(tell).libraries, on_progress=tell)
    except (WheelError, PerfAnalyzerError) as exc:
        raise ConfigError(f"{exc}; or measure without it: --no-perf-analyzer") from exc


def repeat_command() -> str:
    """The command line that repeats this run; an address in it goes without its user, password and query."""
    return shlex.join(["photofinish", *public_arguments(sys.argv[1:])])


QUICK_MINUTES, WHOLE_MINUTES = 0.85, 1.8
"""For each part where no time is given: 3.4 for the four of a quick standard set, 9 for the five of a whole one."""


def budget_for(parts: Sequence[str], minutes: float | None, *, quick: bool, began_s: float) -> Budget | None:
    """The time for these parts: what was given is used up, a quick run ends when every P95 and gain may be told."""
    from photofinish.perf.judge.claims import are_medians_known
    from photofinish.perf.measure.budget import Budget

    if minutes is not None and quick:
        raise ConfigError("--quick takes the time that it needs, --minutes what you say; give one of them")
    if not parts:
        return None
    total_min = minutes or len(set(parts)) * (QUICK_MINUTES if quick else WHOLE_MINUTES)
    return Budget(
        60 * total_min,
        parts,
        fills=minutes is not None,
        stops_early=quick,
        is_known=are_medians_known,
        began_s=began_s,
    )


@contextmanager
def open_run(*, out: Path, lang: str, plan: Plan, quick: bool, client_memory: ClientMemory,
             parts: Sequence[str] = (), minutes: float | None = None,
             limits: dict[str, float] | None = None, **bench: Any) -> Iterator[Run]:  # fmt: skip
    """A run on an open bench, with an empty record. Its end draws the reports, of an interrupted one too, and prints.

    parts: what is measured, in order, where the time for it is shared out; without them `quick` is a quarter of it.

    Raises VerdictError when the verdict falls short.
    """
    from photofinish.perf.load.settling import settle_client_memory
    from photofinish.perf.measure.runs import Run, new_record
    from photofinish.perf.record.record import keep_earlier, require_writable
    from photofinish.perf.report.text import terminal_report

    began_s = time.monotonic()
    require_writable(out)
    settled = settle_client_memory(client_memory, tell)
    with open_bench(**bench) as opened:
        if earlier := keep_earlier(out):
            tell(f"the record of the run before is kept as {earlier}")
        record = new_record(opened, command=repeat_command(), limits=limits, client_memory=settled)
        chosen = plan.scaled(0.25) if quick and not parts else plan
        budget = budget_for(parts, minutes, quick=quick, began_s=began_s)
        run = Run(bench=opened, plan=chosen, out=out, on_progress=tell, record=record, budget=budget)
        try:
            yield run
        except BaseException:
            if run.record.sections:
                draw_reports(run.record, out, lang)
            raise
        findings = draw_reports(run.record, out, lang)
        click.echo(terminal_report(findings, lang=lang))
        click.echo(f"\n{out}")
        if findings.verdict.falls_short:
            raise VerdictError("the run is not valid or misses a limit; the reasons stand in the report above")


def place_of_reports(record: Path, results: Path) -> Path:
    """The name beside which a record's reports go when none is asked for.

    That is the record's own, but of a packed one: it is evidence that was put away, so they go to our results.
    """
    return results / record.name.removesuffix(".gz") if record.suffix == ".gz" else record


def draw_reports(record: Record, out: Path, lang: str) -> Findings:
    """Judge a record, write its reports beside `out`, and give what was found for printing."""
    from photofinish.perf.judge.findings import findings_from_record
    from photofinish.perf.report.files import write_reports

    findings = findings_from_record(record)
    for path in write_reports(findings, out, lang=lang):
        tell(f"wrote {path}")
    return findings
