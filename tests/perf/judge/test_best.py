"""The best variant under a latency limit, by rule and through the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.errors import ConfigError, VerdictError
from photofinish.flows.exporting.best import choose_best, measure_published
from photofinish.perf.judge.best import Candidate, VariantFacts, best_candidate
from photofinish.perf.report.command_tables import reason_for_none, sentence_on_best, table_from_candidates
from tests.deploy.compose import CHECKOUT
from tests.deploy.toy import toy_weights


def candidate(model: str, frames_per_s: float, p95_ms: float | None, **changes: int) -> Candidate:
    p95_ns = None if p95_ms is None else p95_ms * 1e6
    values = {"in_flight": 1, "errors": 0, **changes}
    return Candidate(model=model, frames_per_s=frames_per_s, p95_ns=p95_ns, **values)


CANDIDATES = (
    candidate("slow", 30, 40),
    candidate("quick", 200, 6),
    candidate("quick", 500, 18, in_flight=4),
    candidate("wide", 900, 35, in_flight=8),
    candidate("broken", 2000, 1, errors=3),
    candidate("brief", 3000, None),
)


@pytest.mark.parametrize(
    ("p95_ms", "expected"),
    [(10, ("quick", 1)), (18, ("quick", 4)), (20, ("quick", 4)), (50, ("wide", 8)), (5, None)],
)
def test_most_frames_within_the_limit(p95_ms: float, expected: tuple[str, int] | None) -> None:
    best = best_candidate(CANDIDATES, p95_ms=p95_ms)
    assert (best and (best.model, best.in_flight)) == expected


def test_too_few_requests_are_not_called_too_slow() -> None:
    too_slow = [candidate("slow", 30, 40), candidate("broken", 2000, None, errors=3)]
    assert reason_for_none(too_slow, p95_ms=10).startswith("no variant keeps a P95 of 10 ms on this machine; allow")
    said = reason_for_none([*too_slow, candidate("brief", 12, None)], p95_ms=10)
    assert "1 of 3 rows have fewer than 130 requests, too few to say" in said


def test_nothing_measured_has_no_best(tmp_path: Path) -> None:
    """No server is started: without names it would serve what else the repository holds."""
    assert measure_published(tmp_path, [], on_progress=print) == ()
    assert best_candidate((), p95_ms=10) is None
    with pytest.raises(VerdictError, match="no variant was measured: none of those that kept their accuracy runs"):
        choose_best((), 10, on_line=print)


def test_table_marks_the_best_and_says_what_disqualified() -> None:
    table = table_from_candidates(CANDIDATES, best_candidate(CANDIDATES, p95_ms=20)).splitlines()
    assert table[0].split() == "variant in flight FPS P95 (ms) accuracy kept file (MiB)".split()
    assert table[1].split() == ["brief", "1", "3000", "too", "few", "–", "–"]
    assert table[2].split() == ["broken", "1", "2000", "1.00", "–", "–", "3", "errors"]
    assert [line.split()[-1] for line in table].count("best") == 1


def test_table_says_what_was_not_measured_and_why_it_is_this_one() -> None:
    facts = (
        VariantFacts(model="quick", kept=0.9912, file_bytes=5 << 20),
        VariantFacts(model="coarse", kept=0.7, file_bytes=3 << 20, why_not="refused by the gate"),
        VariantFacts(model="slow", kept=None, file_bytes=1 << 20, why_not="sm70 (V100) has no INT8 arithmetic"),
    )
    best = best_candidate(CANDIDATES, p95_ms=50)
    assert best is not None
    table = table_from_candidates(CANDIDATES, best, facts=facts, p95_ms=50).splitlines()
    assert table[-1].split() == ["coarse", "–", "–", "–", "70.00%", "3.00", "refused", "by", "the", "gate"]
    assert any("quick" in line and "99.12%" in line and "5.00" in line for line in table)
    assert any(line.endswith("sm70 (V100) has no INT8 arithmetic") for line in table)
    said = sentence_on_best(best, CANDIDATES, p95_ms=50)
    assert said == (
        "wide has the most FPS (900, 8 in flight) of the 3 measured variants that passed the gate and keep a P95 of "
        "50 ms; next is quick with 500"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--best"], "--best needs the limit"),
        (["--p95-ms", "20"], "the limit needs --best"),
        (["--best", "--p95-ms", "20", "--no-gate"], "leave --no-gate out"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(cli, ["export", *arguments], standalone_mode=False)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_export_names_the_best_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real export, gate, server and load, with weights that cost next to nothing and two short cells a variant."""
    monkeypatch.setattr("photofinish.flows.exporting.best.CONCURRENCIES", (1, 2))
    monkeypatch.chdir(tmp_path)
    toy_weights(tmp_path / "toy.onnx")
    line = ["export", "--weights", "toy.onnx", "--variants", str(CHECKOUT / "variants.toml"), "--gate-frames", "8"]
    chosen = ["--variant", "onnx_fp32", "--variant", "onnx_fp16"]
    # Too short for any P95 by itself: the measurement goes on until there is one.
    monkeypatch.setattr("photofinish.flows.exporting.best.SECONDS", 0.001)
    result = CliRunner().invoke(cli, [*line, *chosen, "--best", "--p95-ms", "5000"], standalone_mode=False)
    assert result.exception is None, result.output
    assert result.output.count("too few") < 4
    assert {"best: toy_onnx_fp32", "best: toy_onnx_fp16"} & set(result.stdout.splitlines())
    hopeless = CliRunner().invoke(cli, [*line, *chosen, "--best", "--p95-ms", "0.001"], standalone_mode=False)
    assert isinstance(hopeless.exception, VerdictError)
    assert "a P95 of 0.001 ms" in str(hopeless.exception)  # on a busy machine a row may hold too few to say
