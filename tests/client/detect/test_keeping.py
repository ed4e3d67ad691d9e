"""What a run leaves on disk: label files, JSON, every fifth frame, and names that collide."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from photofinish.client.detect.detecting import DetectSummary, detect_in_source
from photofinish.client.detect.parts import frames_to_look_at
from photofinish.client.pipeline.opening import OptimisedPipeline
from photofinish.client.sources.opening import open_source
from photofinish.client.sources.source import Source
from photofinish.commands.detect import detect
from photofinish.errors import ConfigError, InferenceError
from photofinish.perf.accuracy.label_files import read_labels
from tests.builders import build_card
from tests.client.fake_triton import FakeModel, FakeTriton
from tests.client.pipeline.test_pipelines import one_box
from tests.client.sources.test_sources import write_picture, write_video


@pytest.fixture(scope="module")
def server() -> Iterator[FakeTriton]:
    with FakeTriton(FakeModel(infer=one_box)) as fake:
        yield fake


def run(
    server: FakeTriton, spec: Path | str, out: Path, said: list[str] | None = None, every: int = 1
) -> DetectSummary:
    notices = [] if said is None else said
    with open_source(str(spec), every=every) as source, OptimisedPipeline(server.url, "toy_onnx_fp32") as pipeline:
        return detect_in_source(
            source, pipeline, save_folder=out, with_text=True, every=every, on_notice=notices.append
        )


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_picture_gets_a_label_file_and_a_json_file(server: FakeTriton, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(server, write_picture(tmp_path / "grey.png"), out)
    assert files_in(out) == ["grey.png", "json/grey.json", "labels/grey.txt"]
    document = json.loads((out / "json" / "grey.json").read_text(encoding="utf-8"))
    (found,) = document["detections"]
    assert (document["picture"], document["size_wh"], found["class"]) == ("grey.png", [96, 64], "bus")
    labels = read_labels(out / "labels" / "grey.txt", 2)
    assert labels.class_id.tolist() == [1]
    x1, y1, x2, y2 = found["box_xyxy"]
    np.testing.assert_allclose(labels.corners_xyxy, [[x1 / 96, y1 / 64, x2 / 96, y2 / 64]], atol=1e-4)


def test_where_nothing_is_found_the_label_file_is_empty(server: FakeTriton, tmp_path: Path) -> None:
    run(server, write_picture(tmp_path / "black.png", 0), tmp_path / "out")
    assert (tmp_path / "out" / "labels" / "black.txt").read_bytes() == b""
    assert json.loads((tmp_path / "out" / "json" / "black.json").read_text())["detections"] == []


def test_names_that_collide_do_not_overwrite_each_other(server: FakeTriton, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.png", "a.bmp", "a.jpg", "b.png", os.fsdecode(b"caf\xe9.png")):
        write_picture(folder / "x.png").rename(folder / name) if name.endswith("png") else write_picture(folder / name)
    said: list[str] = []
    run(server, folder, out, said)
    labels = files_in(out / "labels")
    assert labels == sorted(["a.bmp.txt", "a.jpg.txt", "a.png.txt", "b.txt", os.fsdecode(b"caf\xe9.txt")])
    assert [name.removesuffix(".txt") for name in labels] == [
        name.removesuffix(".json") for name in files_in(out / "json")
    ]
    assert json.loads((out / "json" / "a.bmp.json").read_text())["picture"] == "a.bmp"
    assert said == []
    before = {name: (out / name).read_bytes() for name in files_in(out)}
    run(server, folder, out, said)
    assert {name: (out / name).read_bytes() for name in before} == before
    assert len(files_in(out / "in")) == len(before), "the second run has a folder of its own"
    for name in ("a.png", "a.bmp", "a.jpg", "b.png", os.fsdecode(b"caf\xe9.png")):
        (out / name).unlink()
    run(server, folder, out, said)
    assert len(files_in(out / "in-2")) == len(before), "label files alone are a reason too"


def test_a_single_picture_twice_gets_numbers(server: FakeTriton, tmp_path: Path) -> None:
    path, out = write_picture(tmp_path / "a.png"), tmp_path / "out"
    for _ in range(2):
        run(server, path, out)
    assert files_in(out) == ["a-2.png", "a.png", "json/a-2.json", "json/a.json", "labels/a-2.txt", "labels/a.txt"]


def test_every_fifth_frame_of_a_video_at_its_own_time(server: FakeTriton, tmp_path: Path) -> None:
    out = tmp_path / "out"
    clip = write_video(tmp_path / "clip.mp4", count=38, rate=25)
    summary = run(server, clip, out, every=5)
    assert (summary.frame_count, summary.dropped) == (8, 0)
    numbers = [0, 5, 10, 15, 20, 25, 30, 35]
    lines = [json.loads(line) for line in (out / "clip.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == numbers
    assert [line["picture"] for line in lines] == [f"clip.mp4 #{number}" for number in numbers]
    assert files_in(out / "labels") == sorted(f"clip_{number}.txt" for number in numbers)
    with open_source(str(out / "clip.mp4")) as saved:
        shown = [round((frame.presented_ns or 0) / 1e9, 2) for frame in saved.frames()]
    assert shown == [number / 25 for number in numbers]
    run(server, clip, out, every=5)
    assert {"clip-2.mp4", "clip-2.jsonl", "labels/clip-2_35.txt"} <= set(files_in(out))


def test_every_second_picture_of_a_folder(server: FakeTriton, tmp_path: Path) -> None:
    for name in "abcde":
        write_picture(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"not looked at, so nothing is wrong with it")
    summary = run(server, tmp_path, tmp_path / "out", every=2)
    assert (summary.frame_count, summary.skipped) == (3, 0)
    assert files_in(tmp_path / "out" / "labels") == ["a.txt", "c.txt", "e.txt"]


def test_what_a_live_source_skips_of_the_due_frames_is_dropped_and_nothing_else(server: FakeTriton) -> None:
    server.delay_s = 0.03
    try:
        with open_source("synthetic?width=96&height=64&fps=400", paced=True) as source:
            with OptimisedPipeline(server.url, "toy_onnx_fp32", drop_late=True) as pipeline:
                summary = detect_in_source(source, pipeline, every=4, frame_limit=20)
                due = pipeline.counts.due
    finally:
        server.delay_s = 0.0
    assert due == summary.frame_count + summary.dropped
    assert summary.dropped > 0


def broken(inputs: object) -> object:
    raise RuntimeError("broken on purpose")


def test_several_models_are_kept_told_and_summed_up(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        write_picture(folder / name)
    models = [FakeModel(infer=one_box)]
    for name, infer in (("pose", one_box), ("face", broken)):
        card = build_card(variant=f"{name}_onnx_fp32", model=name, class_names=("a", name))
        models.append(FakeModel(name=f"{name}_onnx_fp32", card=card, infer=infer))
    with FakeTriton(*models) as fake:
        call = [str(folder), "--url", fake.url, "--variant", "toy_onnx_fp32", "--with", "pose", "--with", "face"]
        done = CliRunner().invoke(detect, [*call, "--save", str(out), "--text", "--json"])
        assert isinstance(done.exception, InferenceError), done.output
        twice = CliRunner().invoke(detect, [*call, "--with", "face_onnx_fp32"])
        plain = CliRunner().invoke(detect, [*call[:-2], "--frames", "1"])
    assert "face gave no answer in 2 of 2 frames, at first because face_onnx" in str(done.exception)
    assert isinstance(twice.exception, ConfigError)
    assert plain.stdout == "a.png: toy: bus 0.41; pose: pose 0.41\n"
    assert files_in(out) == ["a.png", "b.png", *(f"{below}/{name}.{kind}" for below, kind in (
        ("json", "json"), ("labels-pose", "txt"), ("labels", "txt")) for name in "ab")]  # fmt: skip
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert [(box["part"], box["class"]) for box in first["detections"]] == [("toy", "bus"), ("pose", "pose")]
    assert list(first["parts"]) == ["toy", "pose", "face"]
    assert (first["parts"]["pose"]["variant"], first["parts"]["pose"]["outcome"]) == ("pose_onnx_fp32", "answered")
    assert first["parts"]["pose"]["took_ms"] > 0
    assert second["parts"]["face"]["outcome"] == "failed"
    assert "broken on purpose" in second["parts"]["face"]["problem"]
    assert done.stderr.count("face gave no answer, the others' boxes stay") == 1, "told once, not for every frame"
    assert "2 frames, 4 boxes in" in done.stderr
    assert "; toy: 2 boxes, P50 " in done.stderr
    assert "; face: 0 boxes, came last in " in done.stderr
    assert ", 2 failed; saved to " in done.stderr


def test_crops_are_kept_told_and_summed_up(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_picture(folder / "a.png")
    write_picture(folder / "b.png", 0)
    kinds = build_card(variant="kinds_onnx_fp32", model="kinds", task="classify", head="scores", class_names=("x", "y"))
    face, bad = (
        build_card(variant=f"{name}_onnx_fp32", model=name, class_names=("a", name)) for name in ("face", "bad")
    )
    models = [
        FakeModel(infer=one_box),
        FakeModel(
            name="kinds_onnx_fp32",
            card=kinds,
            infer=lambda inputs: {"scores": np.tile(np.array([0.3, 0.7], np.float32), (len(inputs["frames"]), 1))},
            outputs=(("scores", "FP32", (2,)),),
        ),
        FakeModel(name="face_onnx_fp32", card=face, infer=one_box),
        FakeModel(name="bad_onnx_fp32", card=bad, infer=broken),
    ]
    with FakeTriton(*models) as fake:
        call = [str(folder), "--url", fake.url, "--variant", "toy_onnx_fp32", "--crops", "kinds:bus", "--crops", "face"]
        plain = CliRunner().invoke(detect, call)
        done = CliRunner().invoke(detect, [*call, "--crops", "bad", "--save", str(out), "--text", "--json"])
        small = CliRunner().invoke(detect, [*call[:-2], "--crop-side", "900", "--crop-margin", "0.1"])
        wrong = [CliRunner().invoke(detect, [*call[:-4], "--crops", given]) for given in ("kinds:dog", "toy", "walk")]
    assert plain.stdout == "a.png: bus 0.41 (kinds: y 0.70; face: face 0.39)\nb.png: nothing found\n"
    assert "toy: 1 boxes, P50 " in plain.stderr
    assert "came last" not in plain.stderr, "one model alone saw the whole picture"
    assert "; kinds: 1 boxes in 1 crops of 1 frames, P50 " in plain.stderr
    assert " ms of it for crops" in plain.stderr
    assert "2 frames, 2 boxes in" in plain.stderr, "a box that a classifier names is no box more"
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert [(box["part"], box["class"], box.get("of")) for box in first["detections"]] == [
        ("toy", "bus", None),
        ("kinds", "y", 0),
        ("face", "face", 0),
    ]
    assert first["detections"][1]["box_xyxy"] == first["detections"][0]["box_xyxy"]
    told = first["parts"]["kinds"]
    assert (told["looked_at"], told["left_out"]) == ([0], {"too_small": 0, "over_limit": 0})
    assert 0 < told["cutting_ms"] < told["took_ms"] <= first["crops_ms"] < first["service_ms"]
    assert first["parts"]["bad"]["outcome"] == "failed"
    assert (second["detections"], second["parts"]["bad"]["outcome"]) == ([], "answered"), "nothing to look at"
    assert isinstance(done.exception, InferenceError)
    assert "bad gave no answer in 1 of 2 frames, at first because bad_onnx_fp32 failed" in str(done.exception)
    labels = [f"labels{name}/{stem}.txt" for name in ("-bad", "-face", "-kinds", "") for stem in "ab"]
    assert set(files_in(out)) == {"a.png", "b.png", "json/a.json", "json/b.json", *labels[1:]}
    assert (out / "labels-kinds" / "a.txt").read_bytes() == (out / "labels" / "a.txt").read_bytes()
    assert small.stdout.startswith("a.png: bus 0.41\n")
    assert ", 1 too small" in small.stderr
    assert "none with a side under 900 pixels, with a margin of 10% at each side" in small.stderr
    for result, said in zip(wrong, ("toy has no class 'dog'", "toy looks already", "unknown model"), strict=True):
        assert said in str(result.exception)


class _Counted:
    """As much of a source as the progress bar needs."""

    def __init__(self, frame_count: int | None) -> None:
        self.frame_count = frame_count


@pytest.mark.parametrize(
    ("count", "every", "limit", "total"),
    [(38, 5, None, 8), (38, 5, 3, 3), (38, 1, 100, 38), (None, 5, None, None), (None, 5, 7, 7)],
)
def test_the_progress_bar_knows_how_many_frames_are_looked_at(
    count: int | None, every: int, limit: int | None, total: int | None
) -> None:
    source: Source = _Counted(count)  # type: ignore[assignment]
    assert frames_to_look_at(source, every, limit) == total


def test_a_label_file_that_cannot_be_written_is_one_clear_error(server: FakeTriton, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels").write_text("a file, not a folder")
    with pytest.raises(ConfigError, match=r"labels cannot be written: .*give another --save folder"):
        run(server, write_picture(tmp_path / "a.png"), tmp_path / "out")


@pytest.mark.parametrize(
    "words", [("--text",), ("--every", "0"), ("--crop-limit", "4"), ("--crop-side", "16"), ("--crop-margin", "0.2")]
)
def test_wrong_usage_is_told_before_anything_is_opened(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(detect, ["photo.jpg", *words])
    assert result.exit_code == 2
    assert any(remedy in result.output for remedy in ("--save DIR", "--every", "--crops MODEL"))
