"""The `photofinish` command: a thin skin over the folders, each loaded only by the subcommand that needs it."""

from __future__ import annotations

import atexit
import contextlib
import difflib
import faulthandler
import importlib
import io
import logging
import os
import sys
from collections.abc import Mapping
from typing import NoReturn

import click

from photofinish import __version__
from photofinish.address.command_line import hide_passwords_in_process_title
from photofinish.errors import PhotofinishError
from photofinish.machine.disk import reason_if_full
from photofinish.machine.signals import StopSignal, exit_code, stop_as_ctrl_c_does, stop_behind

COMMANDS: Mapping[str, str] = {
    "calibrate": "photofinish.commands.calibrate:calibrate",
    "cameras": "photofinish.commands.cameras:cameras",
    "demo": "photofinish.commands.demo:demo",
    "detect": "photofinish.commands.detect:detect",
    "doctor": "photofinish.commands.doctor:doctor",
    "export": "photofinish.commands.export:export",
    "perf": "photofinish.commands.perf:perf",
    "race": "photofinish.commands.race:race",
    "serve": "photofinish.commands.serve:serve",
    "train-demo": "photofinish.commands.train_demo:train_demo",
    "ui": "photofinish.commands.ui:ui",
}
"""Subcommand name to `module:attribute` of its click command."""
UNLOADED_WITHIN_S = 20.0
_log = logging.getLogger(__name__)


class LazyGroup(click.Group):
    """A click group that imports a subcommand when it is called or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All subcommand names, in alphabetical order."""
        return sorted(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand that the words name; the usage error for an unknown one says the nearest."""
        if args[0] not in COMMANDS and (nearest := difflib.get_close_matches(args[0], COMMANDS, 1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {nearest[0]!r}?")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module_name, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module_name), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name]} is not a click command")
        return command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Begin with `photofinish demo`; `photofinish COMMAND --help` says what a command takes.",
)
@click.version_option(__version__, prog_name="photofinish")
@click.option("-v", "--verbose", count=True, help="More on stderr; twice for debugging.")
def cli(verbose: int) -> None:
    """Serve one vision model the tutorials' way and the fast way, and prove the difference."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def main() -> None:
    """Run the command line; a PhotofinishError becomes one line on stderr and its exit code.

    SIGTERM and SIGHUP end a command as Ctrl-C does: what it made is whole or gone, and what it started has ended.
    """
    stop_as_ctrl_c_does()
    atexit.register(end_soon)
    hide_passwords_in_process_title(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end the run
            stream.reconfigure(errors="backslashreplace")
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except click.Abort as exc:  # click's own word for Ctrl-C
        end_by_signal(exc.__cause__)
    except PhotofinishError as exc:
        click.echo(f"photofinish: {exc}", err=True)
        sys.exit(exc.exit_code)
    except KeyboardInterrupt as exc:
        end_by_signal(exc)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as exc:
        if isinstance(exc, OSError):
            end_if_full(exc)
        if stop := stop_behind(exc):
            _log.debug("ended by a signal, of which a library made this", exc_info=exc)
            end_by_signal(stop)
        raise


def end_soon() -> None:
    """End a command that is done even where native libraries' threads wait for each other while they are unloaded.

    It then ends with exit code 1, and the threads' stacks on stderr.
    """
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # no stderr that could be written to
        faulthandler.dump_traceback_later(UNLOADED_WITHIN_S, exit=True)


def end_if_full(exc: OSError) -> None:
    """End with one line where a disk is full, also the one that the output was sent to; else nothing."""
    if reason := reason_if_full(exc):
        what = exc.filename or "the output"
        click.echo(f"photofinish: {what} cannot be written: {reason}; free some space, or write elsewhere", err=True)
        discard_output()
        sys.exit(1)


def discard_output() -> None:
    """Let the interpreter's last flush go nowhere, where the output cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def end_by_signal(exc: BaseException | None) -> NoReturn:
    """Say that the command was stopped, by which signal where it was none of Ctrl-C, and end with a shell's code."""
    with contextlib.suppress(OSError):  # the terminal may be gone
        click.echo(f"stopped by {exc}" if isinstance(exc, StopSignal) else "stopped", err=True)
    sys.exit(exit_code(exc))


if __name__ == "__main__":
    main()
