"""What the gate says beside figures that a data set moves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from photofinish.perf.accuracy import report
from photofinish.perf.accuracy.answers import AccuracyResult
from photofinish.perf.accuracy.gate import GateCandidate, GateReport, GateVerdict
from photofinish.perf.accuracy.report import document_from_report, frame_bar, table_from_report
from tests.builders import build_card

NOTE = "labels that stand twice in their file and were counted once: 3"


def report_with(*notes: str) -> GateReport:
    result = AccuracyResult(
        variant="toy", kind="labelled", dataset="street", dataset_sha256="0", frames=4, map50_95=0.5, map50=0.75,
        map_share=1.0, boxes=4, found_boxes=4, matched_share=1.0, mean_box_error_px=0.0, worst_box_error_px=0.0,
        mean_confidence_error=0.0, worst_confidence_error=0.0, worst_class="", worst_class_loss=0.0,
        request_p50_ms=1.0, class_map50_95={},
    )  # fmt: skip
    verdict = GateVerdict(
        name="toy", backend="onnxruntime", precision="fp32", floor=0.99, passed=True, reason="", result=result
    )
    return GateReport(
        baseline="toy", dataset="street", kind="labelled", verdicts=(verdict,), cached=0, dataset_notes=notes
    )


@pytest.mark.parametrize("notes", [(), (NOTE,)])
def test_a_figure_that_is_off_says_so_beside_it_and_under_it(notes: tuple[str, ...]) -> None:
    _, _, row, *rest = table_from_report(report_with(*notes)).splitlines()
    assert row.split()[1:3] == (["0.5000*", "0.7500*"] if notes else ["0.5000", "0.7500"])
    assert rest == [f"* {note}" for note in notes]
    candidate = GateCandidate(name="toy", floor=0.99, card=build_card(), directory=Path())
    assert document_from_report(report_with(*notes), [candidate])["dataset_notes"] == list(notes)


def test_the_bar_of_a_model_ends_with_its_last_frame(capsys: pytest.CaptureFixture[str]) -> None:
    """What was computed of all answers stood as time of the model that was asked last: 5 s for 128 pictures."""
    with frame_bar() as on_frame:
        for name in ("first", "second", "second"):
            for done in range(1, 4):
                on_frame(name, done, 3)
            assert "3/3" in capsys.readouterr().err.rpartition("\r")[2], f"{name} is not shown to its end"
    assert capsys.readouterr().err == "", "nothing more comes of it"


def test_a_bar_in_a_log_has_few_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    usual = report.tqdm

    def counted(**options: Any) -> Any:
        asked.append(options["mininterval"])
        return usual(**options)

    monkeypatch.setattr(report, "tqdm", counted)
    with frame_bar() as on_frame:
        on_frame("first", 1, 1)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with frame_bar() as on_frame:
        on_frame("first", 1, 1)
    assert asked == [report.LOG_EVERY_S, 0.1]
