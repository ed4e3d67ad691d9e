"""Options that several `photofinish perf` commands share."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from photofinish.client.triton.transport import TRANSPORT_CHOICES, choice_from_text
from photofinish.commands.source_options import source_credentials
from photofinish.errors import ConfigError, said_of_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RESULTS = Path(".photofinish/results")
"""Where results of one's own go; `results/` holds the committed ones."""
SECONDS = click.FloatRange(min=0, min_open=True)
Command = TypeVar("Command", bound=Callable[..., Any])


def transport_option(help_text: str | None = None) -> Callable[[Command], Command]:
    """`--transport`, one word of the choices; the command gets the value."""
    return click.option(
        "--transport",
        type=click.Choice(TRANSPORT_CHOICES),
        default="auto",
        show_default=True,
        callback=lambda context, parameter, word: choice_from_text(word),
        help=help_text,
    )


model_option = click.option("--model", help="Which model, by its name in the repository. Default: that exported last.")


def bench_options(command: Command) -> Command:
    """The options that say what is measured."""
    command = source_credentials(command)
    for option in reversed(
        (
            click.option(
                "--url", help="A server that runs already, host:port of gRPC. Default: start the embedded one."
            ),
            click.option("--metrics-url", help="Its metrics, host:port, or `none`. Default: the host's port 8002."),
            click.option(
                "--repository",
                type=click.Path(path_type=Path),
                default=Path("model_repository"),
                show_default=True,
                help="What the embedded server serves.",
            ),
            click.option(
                "--variant", "names", multiple=True, help="Only this variant (name or suffix); may be repeated."
            ),
            model_option,
            click.option(
                "--weights-changed",
                is_flag=True,
                help="Compare with what was pruned from the model too: their weights changed, and so do the boxes.",
            ),
            click.option("--source", default="synthetic", show_default=True, help="Where the frames come from."),
            transport_option("How pictures reach the server."),
            click.option(
                "--client-memory",
                type=click.Choice(["kept", "plain"]),
                default="kept",
                show_default=True,
                help="Keep freed memory, or leave it to the C library as a tutorial's script does.",
            ),
        )
    ):
        command = option(command)
    return command


def _time_options(minutes: bool) -> Iterator[Callable[[Command], Command]]:
    if not minutes:
        yield click.option("--quick", is_flag=True, help="A quarter of the time.")
        return
    yield click.option(
        "--quick",
        is_flag=True,
        help="Only until every P95 and gain may be told, without the ladder; some minutes at most.",
    )
    yield click.option(
        "--minutes",
        type=SECONDS,
        help="Time for all of it; the sweep leaves out numbers in flight before percentiles.",
    )


def out_options(name: str, *, minutes: bool = True) -> Callable[[Command], Command]:
    """Where the evidence goes, how long it takes, and the report's language. name: of the file in RESULTS.

    minutes: whether the command keeps to a time that is given; else `--quick` is a quarter of all lengths.
    """

    def decorate(command: Command) -> Command:
        for option in reversed(
            (
                *_time_options(minutes),
                click.option("--out", type=click.Path(path_type=Path), default=RESULTS / name, show_default=True),
                click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True),
            )
        ):
            command = option(command)
        return command

    return decorate


def rival_options(command: Command) -> Command:
    """Whether what a user would run instead is measured too."""
    for option in (
        click.option("--weights", metavar="FILE", help="What the variants were made of, for plain PyTorch."),
        click.option(
            "--rivals/--no-rivals",
            default=True,
            show_default=True,
            help="Plain PyTorch without a server, and Ultralytics' own Triton client, beside ours.",
        ),
    ):
        command = option(command)
    return command


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The limits a run is judged by; the command gets them as `limits`."""
    names = ("p95_ms", "p99_ms", "min_fps", "min_speedup", "min_map", "max_gpu_memory_mib")

    @functools.wraps(command)
    def with_limits(*args: Any, limits_path: Path | None, **options: Any) -> Any:
        given = {name: value for name in names if (value := options.pop(name)) is not None}
        return command(*args, limits={**(limits_from_toml(limits_path) if limits_path else {}), **given}, **options)

    for name in reversed(names):
        with_limits = click.option(f"--{name.replace('_', '-')}", type=float, help="Limit of the verdict.")(with_limits)
    path_type = click.Path(path_type=Path)
    return click.option("--limits", "limits_path", type=path_type, help="A TOML file with the limits below.")(
        with_limits
    )


def limits_from_toml(path: Path) -> dict[str, float]:
    """`p95_ms = 20` and the like. Raises ConfigError naming what is wrong."""
    from photofinish.perf.judge.verdict import LIMIT_NAMES

    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigError(
            f"{path} cannot be read as limits: {said_of_file(exc)}; write lines such as p95_ms = 20"
        ) from exc
    if wrong := {
        key: value for key, value in values.items() if key not in LIMIT_NAMES or type(value) not in (int, float)
    }:
        raise ConfigError(f"{path}: {wrong} are no limits; known are {', '.join(LIMIT_NAMES)}, each a number")
    return {key: float(value) for key, value in values.items()}


def whole_numbers(text: str) -> tuple[int, ...]:
    """`1,4,8` as numbers."""
    values = tuple(int(value) for value in positive_numbers(text))
    if any(float(value) != number for value, number in zip(values, positive_numbers(text), strict=True)):
        raise ConfigError(f"expected whole numbers with commas between them, got {text!r}; try 1,4,8")
    return values


def positive_numbers(text: str) -> tuple[float, ...]:
    """`30,5` as numbers; nothing for an empty text."""
    try:
        values = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as exc:
        raise ConfigError(f"expected numbers with commas between them, got {text!r}; try 30,5") from exc
    if not all(0 < value < math.inf for value in values):
        raise ConfigError(f"expected numbers above 0, got {text!r}; try 30,5")
    return values
