"""Two records: compared only when they were measured alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from photofinish.errors import ConfigError
from photofinish.perf.judge.compare import compared_arms, require_comparable
from photofinish.perf.judge.findings import findings_from_record
from photofinish.perf.record.record import Record
from photofinish.perf.report.command_tables import compare_rows
from photofinish.perf.report.tables import Table
from photofinish.perf.report.words import ENGLISH
from tests.perf.records import build_comparison, build_ladder, build_record


def _require_comparable(first: Record, second: Record, *, allowed: tuple[str, ...] = ()) -> None:
    require_comparable(findings_from_record(first), findings_from_record(second), allowed=allowed)


def _rows(first: Record, second: Record) -> Table:
    return compare_rows(compared_arms(findings_from_record(first), findings_from_record(second)), ENGLISH)


def _record(seed: int = 1, medians: tuple[float, float] = (24.7, 2.26)) -> Record:
    return build_record(sections=(build_comparison(seed=seed, medians=medians),))


def _environment(**changes: object) -> Record:
    record = _record()
    return replace(record, environment={**record.environment, **changes})


def _section(change: Callable[..., object]) -> Record:
    record = _record()
    return replace(record, sections=(change(record.sections[0]),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "key", "values"),
    [
        (lambda: _environment(driver="590.1"), "environment.driver", ("580.95.05", "590.1")),
        (lambda: _environment(cpu="another"), "environment.cpu", ("Xeon", "another")),
        (lambda: _environment(gpus=[{"name": "RTX 5070"}]), "environment.gpus", ("H100", "RTX 5070")),
        (lambda: _environment(server={"kind": "container", "version": "2.51.0"}), "environment.server.kind",
         ("embedded", "container")),
        (lambda: _environment(packages={"onnxruntime": "1.40"}), "environment.packages.onnxruntime",
         ("1.31.1", "1.40")),
        (lambda: replace(_record(), source={"sha256": "other"}), "source.sha256", ("cdcd", "other")),
        (lambda: _section(lambda section: replace(section, arms=(section.arms[0], replace(section.arms[1],
                                                                                     model="yolo26n_openvino_int8")))),
         "comparison.optimised.model", ("yolo26n_onnx_fp16", "yolo26n_openvino_int8")),
        (lambda: _section(lambda section: replace(section, complete=False)), "comparison.verdict",
         ("VALID", "INVALID")),
        (lambda: _section(lambda section: replace(section, arms=(section.arms[0], replace(section.arms[1],
                                                                                     transport="grpc")))),
         "comparison.optimised.transport", ("system_shm", "grpc")),
        (lambda: _section(lambda section: replace(section, arms=(section.arms[0], replace(section.arms[1],
                                                                                     tf32=True)))),
         "comparison.optimised.tf32", ("False", "True")),
        *(
            (lambda changed=changed: _section(lambda section: replace(section, arms=(
                section.arms[0], replace(section.arms[1], **changed)))), f"comparison.optimised.{key}", values)
            for key, values, changed in (
                ("batch_size", ("1", "8"), {"batch_size": 8}),
                ("concurrency", ("1", "2"), {"concurrency": 2}),
                ("device", ("cuda", "cpu"), {"device": "cpu"}),
            )
        ),
        (lambda: _section(lambda section: replace(section, load=replace(section.load, arrivals="poisson"))),
         "comparison.load.arrivals", ("''", "poisson")),
    ],
)  # fmt: skip
def test_what_was_measured_otherwise_is_refused(other: Callable[[], Record], key: str, values: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="cannot be compared") as caught:
        _require_comparable(_record(), other())
    assert all(text in str(caught.value) for text in (key, *values, "--allow"))
    _require_comparable(_record(), other(), allowed=(key,))


def _of_size(input_wh: tuple[int, int]) -> Record:
    return _section(lambda item: replace(item, arms=tuple(replace(arm, input_wh=input_wh) for arm in item.arms)))


def test_the_same_weights_at_another_size_are_no_faster() -> None:
    """A variant exported again with `--input-size 320` has the same name and weights. Older records tell no size."""
    with pytest.raises(ConfigError, match=r"\*\.input_wh is \(640, 640\) in A and \(320, 320\) in B"):
        _require_comparable(_of_size((640, 640)), _of_size((320, 320)))
    _require_comparable(_of_size((640, 640)), _of_size((0, 0)))


def test_two_invalid_records_are_no_better_than_one() -> None:
    drifted = _section(lambda section: replace(section, complete=False))
    with pytest.raises(ConfigError, match=r"comparison\.verdict is 'INVALID' in A and 'INVALID' in B"):
        _require_comparable(drifted, drifted)
    _require_comparable(drifted, drifted, allowed=("comparison.verdict",))


def test_only_what_both_records_measured_counts() -> None:
    ladder = replace(build_ladder(), complete=False)
    _require_comparable(_record(), replace(_record(), sections=(*_record().sections, ladder)))
    with pytest.raises(ConfigError, match="sections is"):
        _require_comparable(_record(), replace(_record(), sections=(build_ladder(),)))


def test_arms_that_only_one_record_has_are_left_aside() -> None:
    fewer = _section(lambda section: replace(section, arms=section.arms[:1]))
    _require_comparable(_record(), fewer)
    _, rows = _rows(_record(), fewer)
    assert [row[0] for row in rows] == ["comparison: yolo26n_torch_fp32_tensor"]
    renamed = _section(
        lambda section: replace(section, arms=tuple(replace(arm, key=f"{arm.key}_x") for arm in section.arms))
    )
    with pytest.raises(ConfigError, match=r"  arms is"):
        _require_comparable(_record(), renamed)


def test_keys_that_differ_alike_share_a_line_and_an_allowance() -> None:
    other = _section(
        lambda section: replace(section, arms=tuple(replace(arm, weights_sha256="ef" * 40) for arm in section.arms))
    )
    with pytest.raises(ConfigError) as caught:
        _require_comparable(_record(), other)
    first, line, last = str(caught.value).splitlines()
    assert first.endswith("cannot be compared:")
    assert line.strip() == (
        "*.weights_sha256 is 'abababababab…' in A and 'efefefefefef…' in B "
        "(2 keys, the first comparison.baseline.weights_sha256)"
    )
    assert "--allow" in last
    _require_comparable(_record(), other, allowed=("*.weights_sha256",))


def test_commit_and_time_may_differ() -> None:
    later = replace(_environment(commit="feed", load_average=2.0), created_utc="2027-01-01T00:00:00Z", command="other")
    _require_comparable(_record(), later)


def test_a_change_is_shown_and_no_change_is_not() -> None:
    header, rows = _rows(_record(seed=3), _record(seed=5, medians=(24.7, 1.5)))
    assert header[0] == "arm"
    assert [row[0] for row in rows] == ["comparison: yolo26n_torch_fp32_tensor", "comparison: yolo26n_onnx_fp16"]
    assert rows[0][3].startswith("no difference shown")
    assert rows[1][3].startswith("1.5")
    assert "[1.4" in rows[1][3]
