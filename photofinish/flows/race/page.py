"""The race of the split view's page: on the view's own server and source, which stand still meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import ConfigError
from photofinish.flows.bench import server_version
from photofinish.flows.race.measuring import measured_race, race_frames, race_plan, race_run

if TYPE_CHECKING:
    from photofinish.client.ui.page.panels import PanelContext
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
        from photofinish.machine.gpu import load_nvml
        from photofinish.perf.measure.bench import Bench, served_models
        from photofinish.perf.measure.runs import model_named
        from photofinish.perf.watch.watcher import Watcher

        view, choice = context.view, context.view.choice
        if choice.baseline == choice.optimised:
            raise ConfigError("both sides run the same variant; choose another one for a side, then race again")
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
        runs: list[Run] = []

        def hear(line: str) -> None:
            tell(progress_of(runs[0]) if runs else RaceProgress(stage="warming"))

        runs.append(run := race_run(bench, race_plan(seconds), RECORD, command="photofinish race", on_progress=hear))
        return measured_race(run, (model_named(bench, choice.baseline), model_named(bench, choice.optimised)))

    return race


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
