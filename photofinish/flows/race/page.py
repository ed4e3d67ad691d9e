"""The race of the split view's page: on the view's own server and source, which stand still meanwhile."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.address.command_line import public_arguments
from photofinish.flows.bench import server_version
from photofinish.flows.race.measuring import measured_race, race_frames, race_plan, race_run

if TYPE_CHECKING:
    from photofinish.client.ui.page.panels import PanelContext
    from photofinish.client.ui.page.split_view import Choice
    from photofinish.client.ui.race.desk import RaceProgress, Tell
    from photofinish.client.ui.race.panel import ViewRacer
    from photofinish.client.ui.race.replay import Race
    from photofinish.perf.measure.runs import Run
    from photofinish.server.triton.embedded import ServerEndpoint

RECORD = Path(".photofinish/results/page_race.json")


def view_racer(endpoint: Callable[[], ServerEndpoint] | None = None, *, metrics_url: str | None = None) -> ViewRacer:
    """What measures a race on the view. endpoint: of our own server, as it is now; None for a server of others'.

    metrics_url: of a server of others', where it is known.
    """

    def race(context: PanelContext, seconds: float, tell: Tell) -> Race:
        from photofinish.client.ui.race.desk import RaceProgress
        from photofinish.client.ui.words import WordedError
        from photofinish.machine.gpu import load_nvml
        from photofinish.perf.measure.bench import Bench, served_models
        from photofinish.perf.measure.runs import model_named
        from photofinish.perf.watch.watcher import Watcher

        view, choice = context.view, context.view.choice
        if choice.baseline == choice.optimised:
            raise WordedError("race.why.same_variant")
        at = endpoint() if endpoint else None
        url = at.grpc_url if at else view.url
        tell(RaceProgress(stage="warming"))
        bench = Bench(
            url=url,
            http_url=at.http_url if at else None,
            models=served_models(url, (choice.baseline, choice.optimised)),
            frames=race_frames(choice.source),
            source=choice.source,
            server={"kind": at.kind if at else "external", "version": at.version if at else server_version(url)},
            watcher=Watcher(
                metrics_url=(at.metrics_url if at else metrics_url) or "",
                server_pid=at.pid if at else 0,
                nvml=load_nvml(),
            ),
        )
        command = race_command(choice, seconds, url="" if at else url, metrics_url=metrics_url)
        runs: list[Run] = []

        def hear(line: str) -> None:
            tell(progress_of(runs[0]) if runs else RaceProgress(stage="warming"))

        runs.append(run := race_run(bench, race_plan(seconds), RECORD, command=command, on_progress=hear))
        return measured_race(run, (model_named(bench, choice.baseline), model_named(bench, choice.optimised)))

    return race


def race_command(choice: Choice, seconds: float, *, url: str = "", metrics_url: str | None = None) -> str:
    """The command line that repeats a race of the page, without what may be a password in the source's address.

    url: of a server of others'; "" for our own, which the command starts for itself.
    """
    words = ["photofinish", "race", "--baseline", choice.baseline, "--optimised", choice.optimised, "--source",
             choice.source, "--seconds", f"{seconds:g}"]  # fmt: skip
    if url:
        words += ["--url", url, "--metrics-url", metrics_url or "none"]
    return shlex.join(public_arguments(words))


def progress_of(run: Run) -> RaceProgress:
    """How far a run is, by what its record holds."""
    from photofinish.client.ui.race.desk import RaceProgress

    rounds = run.plan.rounds
    section = next(iter(run.record.sections), None)
    if section is None:
        return RaceProgress(stage="warming")
    if section.complete:
        return RaceProgress(stage="looking")
    number = len(section.blocks) // 2 + 1
    return RaceProgress(stage="round", number=number, rounds=rounds, share=(number - 1) / rounds)
