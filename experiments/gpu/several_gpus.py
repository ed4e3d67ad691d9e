"""How many times the cameras of one GPU several carry: two records of `perf cameras --find`, on the same host.

Backs: docs/benchmarking-gpu.md, "how many times the cameras of one GPU two carry, each with its cameras and its wall"

With one record it says where the search on several GPUs begins and ends: at 1.9 times as many, and a tenth above as
many times as there are GPUs. Exit code 1 while a search is not over, 3 where the ratio falls short.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from photofinish.client.cameras.supervise.tables import aligned
from photofinish.errors import ConfigError
from photofinish.perf.cameras.finding import FindResult, result_of
from photofinish.perf.record.find import FindRecord, read_find_record
from photofinish.perf.record.record import write_whole
from photofinish.perf.report.cameras.find import headline

LEAST = 0.95
"""Of as many times the cameras as there are GPUs: 1.9 times for two."""
MARGIN = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """one, several: cameras found. is_least: nothing has shown that more are too many for several."""

    one: int
    several: int
    gpus: int
    is_least: bool

    @property
    def ratio(self) -> float:
        """Cameras of several GPUs for each of one."""
        return self.several / self.one

    @property
    def is_enough(self) -> bool:
        """Whether each GPU carries nearly as many as one alone."""
        return self.ratio >= LEAST * self.gpus

    def sentence(self) -> str:
        """`2 GPUs carry 372 cameras, 1.96 times the 190 of one (at least 1.9)`."""
        least = "at least " if self.is_least else ""
        times = f"{least}{self.ratio:.2f} times the {self.one} of one"
        return f"{self.gpus} GPUs carry {least}{self.several} cameras, {times} (wanted: {LEAST * self.gpus:.2g})"


def cameras_found(record: FindRecord, *, may_be_least: bool) -> tuple[int, bool]:
    """The confirmed number, and whether it is a least one. Raises ConfigError while the search is not over."""
    result = result_of(record)
    endings = ("found", "at_least") if may_be_least else ("found",)
    if result.ended is None or result.ended.ending not in endings:
        raise ConfigError(f"{headline(record, result)}; {', '.join(endings)} is wanted")
    return result.ended.cameras, result.ended.ending == "at_least"


def bounds_for(one: int, gpus: int) -> tuple[int, int]:
    """Where the search on several GPUs begins, and what it does not go beyond."""
    return max(round(LEAST * gpus * one), 1), max(round(MARGIN * gpus * one), gpus * one + 1)


def scaling_of(one: FindRecord, several: FindRecord, *, may_be_least: bool = False) -> Scaling:
    """What two records say together. Raises ConfigError for searches that differ in more than their GPUs."""
    before, after = one.settings(), several.settings()
    if different := [key for key in before if key not in ("gpus", "search") and before[key] != after[key]]:
        raise ConfigError(f"the searches differ in {', '.join(different)}, and cannot be compared")
    if len(one.gpus) != 1 or len(several.gpus) < 2:
        raise ConfigError(f"one record must be of one GPU and one of several, got {one.gpus} and {several.gpus}")
    few, _ = cameras_found(one, may_be_least=may_be_least)
    many, is_least = cameras_found(several, may_be_least=True)
    return Scaling(one=few, several=many, gpus=len(several.gpus), is_least=is_least)


def rows_of(result: FindResult) -> list[list[str]]:
    """Each GPU of the search on several: its cameras at the number found, and its wall where more were too many."""
    walls = {share.gpu: share for share in result.walls}
    rows = [["GPU", "cameras", "worst P99 (ms)", "wall"]]
    for share in result.shares:
        wall = walls[share.gpu].wall if share.gpu in walls else None
        p99 = share.verdict.slowest_p99_ms
        rows.append(
            [
                str(share.gpu),
                share.figure,
                "–" if p99 is None else f"{p99:.3g}",
                "–" if wall is None else f"{wall.name}: {wall.why}",
            ]
        )
    return rows


@click.command()
@click.argument("one", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("several", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--gpus", type=click.IntRange(2), default=2, show_default=True, help="Without SEVERAL: how many it is to be."
)
@click.option("--may-be-least", is_flag=True, help="Take a number of one GPU that nothing bounds: for a rehearsal.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(one: Path, several: Path | None, gpus: int, may_be_least: bool, out: Path | None) -> None:
    """ONE and SEVERAL are records of a search on one GPU and on several. Without SEVERAL: `START MOST` for it."""
    try:
        first = read_find_record(one)
        if several is None:
            click.echo(" ".join(map(str, bounds_for(cameras_found(first, may_be_least=may_be_least)[0], gpus))))
            return
        second = read_find_record(several)
        found = scaling_of(first, second, may_be_least=may_be_least)
    except ConfigError as exc:
        click.echo(str(exc), err=True)
        sys.exit(1)
    result = result_of(second)
    click.echo("\n".join(aligned(rows_of(result))))
    click.echo(found.sentence())
    if out is not None:
        document: dict[str, Any] = {
            "kind": "cameras-scaling",
            "one": {"cameras": found.one, "record": one.name},
            "several": {"cameras": found.several, "record": several.name, "is_least": found.is_least},
            "gpus": found.gpus,
            "ratio": found.ratio,
            "shares": {
                str(share.gpu): {"cameras": share.cameras, "decoded_on_gpu": share.on_gpu} for share in result.shares
            },
            "walls": {str(share.gpu): share.wall.name for share in result.walls if share.wall is not None},
            "environment": second.environment,
        }
        write_whole(json.dumps(document, ensure_ascii=False, indent=1) + "\n", out)
    sys.exit(0 if found.is_enough else 3)


if __name__ == "__main__":
    main()
