"""What each of several GPUs had of a step, and what the report says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from photofinish.perf.cameras.checks import checks_from_step
from photofinish.perf.cameras.finding import result_of, search_on
from photofinish.perf.cameras.goal import CameraGoal
from photofinish.perf.cameras.search import NextStep
from photofinish.perf.cameras.shares import shares_of_step
from photofinish.perf.record.cameras import CamerasStep
from photofinish.perf.record.find import FindProbe, FindRecord, read_find_record, write_find_record
from photofinish.perf.record.observation import GpuObservation
from photofinish.perf.report.cameras.find import find_checks, find_text
from tests.perf.cameras.steps import find_record, machine_step, window
from tests.perf.cameras.test_checks import record as cameras_record


def on_two(step: CamerasStep, decoder: tuple[float, float] = (97.0, 40.0), **changes: object) -> CamerasStep:
    """The step's cameras by turns on GPU 0 and GPU 3."""
    rows = tuple(replace(row, gpu=(0, 3)[place % 2], decode="gpu") for place, row in enumerate(step.rows))
    gpus = tuple(
        GpuObservation(index=index, name="toy", decoder_mean=percent)
        for index, percent in zip((0, 3), decoder, strict=True)
    )
    return replace(step, rows=rows, gpus=gpus, **changes)  # type: ignore[arg-type]


def searched_on_two() -> FindRecord:
    """Twice the cameras of a machine that carries 17 a GPU."""

    def measure(step: NextStep) -> FindProbe:
        found = machine_step(step.cameras, 34, frames=3000 if step.purpose == "confirm" else 300)
        return FindProbe(purpose=step.purpose, step=on_two(found))

    return search_on(find_record(gpus=(0, 3)), measure, seconds_left=lambda: 1e9, on_probe=lambda found, item: None)


def test_each_gpu_is_judged_by_its_own_cameras_and_has_its_own_wall() -> None:
    rows = (window("a", ms=400), window("b"), window("c", ms=400, dropped=100), window("d"))
    step = on_two(replace(machine_step(4, 9), rows=rows), session_limit=1, session_limits={"0": 1})
    first, second = shares_of_step(step, CameraGoal(), 8, is_sure=True)
    assert (first.gpu, first.cameras, first.verdict.outcome, first.verdict.slowest) == (0, 2, "missed", "c")
    assert first.wall is not None
    assert (first.wall.name, first.wall.why) == ("sessions", "the GPU opened 1 decoders and no more")
    assert (second.gpu, second.verdict.outcome, second.wall) == (3, "held", None)
    assert "b" in second.words() or "d" in second.words()
    no_limit = on_two(replace(machine_step(4, 9), rows=rows))
    (full, _) = shares_of_step(no_limit, CameraGoal(), 8, is_sure=True)
    assert full.wall is not None
    assert full.wall.why.startswith("97 % in use; NVDEC 97 %"), "not the other GPU's"
    one = replace(step, rows=step.rows[::2])
    assert shares_of_step(one, CameraGoal(), 8, is_sure=True) == ()


def test_what_the_cpu_decoded_of_a_gpus_cameras_is_said() -> None:
    step = on_two(machine_step(5, 9))
    step = replace(step, rows=(replace(step.rows[0], decode="cpu"), *step.rows[1:]))
    first, second = shares_of_step(step, CameraGoal(), 8, is_sure=True)
    assert (first.figure, second.figure) == ("3 cameras, 1 of them decoded by the CPU", "2 cameras")
    pooled = replace(step, rows=(*step.rows[:3], replace(step.rows[3], decode="pool"), *step.rows[4:]))
    assert shares_of_step(pooled, CameraGoal(), 8, is_sure=True)[1].figure == "2 cameras, 1 of them by keyframes"
    (line,) = (item for item in checks_from_step(pooled, cameras_record(pooled)) if item.name == "cameras of each GPU")
    assert line.rest == "the CPU decodes 1 of them; 1 share sessions"


def test_the_report_says_cameras_and_wall_of_each_gpu(tmp_path: Path) -> None:
    write_find_record(searched_on_two(), tmp_path / "find.json")
    record = read_find_record(tmp_path / "find.json")
    assert record.gpus == (0, 3)
    lines = {line.name: line for line in find_checks(record, result_of(record))}
    assert lines["cameras"].figure == "34"
    assert lines["GPU 0"].figure == lines["GPU 3"].figure == "17 cameras"
    assert lines["GPU 0, too many"].figure.startswith("NVDEC, at 19 cameras")
    text = find_text(record)
    assert "GPU 3, too many" in text
    one = find_record().with_probe(FindProbe(purpose="search", step=machine_step(4, 17)))
    assert not [line for line in find_checks(one, result_of(one)) if line.name.startswith("GPU")]


def test_a_record_of_two_gpus_is_not_gone_on_with_on_one() -> None:
    before, other = find_record(gpus=(0, 3)).settings(), find_record(gpus=(0,)).settings()
    assert [key for key in before if before[key] != other[key]] == ["gpus"]


def test_a_check_list_says_how_the_cameras_are_spread() -> None:
    record = cameras_record()
    step = on_two(machine_step(5, 9))
    (line,) = [check for check in checks_from_step(step, record) if check.name == "cameras of each GPU"]
    assert (line.outcome, line.figure, line.rest) == ("met", "GPU 0: 3, GPU 3: 2", "each decodes its own")
    assert not [check for check in checks_from_step(machine_step(5, 9), record) if "each GPU" in check.name]
