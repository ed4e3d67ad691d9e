"""`photofinish race`: measured, told, and written as the files that were asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photofinish.errors import ConfigError, VerdictError
from photofinish.flows import tell
from photofinish.flows.bench import open_bench, repeat_command
from photofinish.flows.race.measuring import measured_race, race_frames, race_plan, race_run
from photofinish.flows.showing.toy import warn_of_demo_detector

if TYPE_CHECKING:
    from photofinish.client.ui.race.replay import Race
    from photofinish.client.ui.words import PageWords
    from photofinish.perf.load.settling import ClientMemory

ENDINGS = {"--record": (".mp4",), "--gif": (".gif",), "--still": (".png", ".jpg", ".jpeg")}


def run_race(
    *,
    baseline: str | None,
    optimised: str | None,
    seconds: float,
    frames: int | None,
    record: Path | None,
    gif: Path | None,
    still: Path | None,
    out: Path,
    lang: Any,
    transport: Any,
    client_memory: ClientMemory,
    **bench: Any,
) -> None:
    """Measure, print who won, write what is asked for. Raises VerdictError where nothing may be claimed.

    bench: the options of `open_bench`.
    """
    from photofinish.client.ui.race.headline import headline
    from photofinish.client.ui.words import PageWords
    from photofinish.perf.measure.runs import choose_pair
    from photofinish.perf.record.record import keep_earlier, require_writable

    for option, path in {"--record": record, "--gif": gif, "--still": still}.items():
        if path is not None:
            require_ending(option, path)
            require_writable(path)
    require_writable(out)
    with open_bench(sides=(baseline, optimised), take_frames=race_frames, **bench) as opened:
        if earlier := keep_earlier(out):
            tell(f"the record of the race before is kept as {earlier}")
        run = race_run(
            opened, race_plan(seconds, transport), out, command=repeat_command(), client_memory=client_memory
        )
        warn_of_demo_detector(opened.source, opened.cards.values())
        pair = choose_pair(opened, baseline, optimised, tell)
        race = measured_race(run, pair, frames=frames)
    say = PageWords(lang)
    found = headline(race, "done", race.duration_ns, say)
    text = "\n".join([found.title, *race.claim.doubts.get(lang, found.lines)])
    click.echo(click.style(text, dim=True) if race.claim.is_void else text)
    click.echo(f"\n{out}")
    write_files(race, say, record=record, gif=gif, still=still)
    if race.claim.is_void:
        raise VerdictError("no gain is claimed: do what stands in the lines above, then race again")


def require_ending(option: str, path: Path) -> None:
    """Raise ConfigError now, not after measuring, for a name that says something else than what is written."""
    endings = ENDINGS[option]
    if path.suffix.lower() not in endings:
        raise ConfigError(f"{option} writes {' or '.join(endings)}, got {path.name}; name it {path.stem}{endings[0]}")


def write_files(race: Race, say: PageWords, *, record: Path | None, gif: Path | None, still: Path | None) -> None:
    """The files that were asked for, each named on stderr once it is whole."""
    from photofinish.client.ui.race.composing import RaceScreen
    from photofinish.client.ui.race.recording import GIF_HEIGHT, record_gif, record_video, save_still

    if record is not None:
        record_video(RaceScreen(race, say), record)
    if still is not None:
        save_still(RaceScreen(race, say), still)
    if gif is not None:
        record_gif(RaceScreen(race, say, height_px=GIF_HEIGHT), gif)
    for path in filter(None, (record, still, gif)):
        tell(f"wrote {path}")
