"""The accuracy gate between staging and publishing: what `export` and `demo` share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import AccuracyGateError, ConfigError, ServerError
from photofinish.machine.lock import locked
from photofinish.machine.scratch import remove, remove_stale, scratch_folder

if TYPE_CHECKING:
    from photofinish.export.publishing.staging import StagedVariant
    from photofinish.model_card import ModelCard
    from photofinish.perf.accuracy.answers import OnFrame
    from photofinish.perf.accuracy.data import Dataset
    from photofinish.perf.accuracy.gate import GateReport, GateVerdict

LOOKED_AT = 32
"""Frames whose shape is looked at where a variant's input is no square."""
LOCK_NAME = ".lock"
WORK = Path(".photofinish")
DEFAULT_FRAMES = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """What the gate looks at. data: a data.yaml; frames: a source without labels; neither: the synthetic camera.

    size: number of frames; None takes all labelled pictures, else DEFAULT_FRAMES. calibration: what INT8 is calibrated
    on, which the gate must not look at. accept_undecided: publish what was not decided. pruned_floor: what pruned
    weights must keep of the unpruned baseline, times the variant's own floor. on_frame: hears of each frame.
    """

    data: Path | None = None
    frames: str | None = None
    size: int | None = None
    work: Path = WORK
    calibration: Path | None = None
    accept_undecided: bool = False
    pruned_floor: float = 1.0
    on_frame: OnFrame = lambda name, done, total: None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutcome:
    """published: names now in the repository. report: None when nothing could be measured."""

    published: tuple[str, ...]
    report: GateReport | None


def tell_places(staging: Path, repository: Path, on_progress: Callable[[str], None]) -> None:
    """On the first run in a folder: what will be kept where."""
    if not staging.exists():
        folders = [WORK] if staging.resolve().is_relative_to(WORK.resolve()) else [staging, WORK]
        kept = " and ".join(str(folder.resolve()) for folder in folders)
        on_progress(f"models are kept in {repository.resolve()}, work files in {kept}")


@contextmanager
def alone_in(staging: Path, on_progress: Callable[[str], None]) -> Iterator[None]:
    """The staging folder for this export alone, so that what is published is what the gate saw.

    What exports that were killed left in it, and in the system's temporary folder, is removed.
    """
    from photofinish.export.publishing.staging import WORK_NAME

    with ExitStack() as stack:
        try:
            waiting = f"waiting for another export that works in {staging}"
            stack.enter_context(locked(staging / LOCK_NAME, waiting=waiting, on_progress=on_progress))
        except OSError as exc:
            raise ConfigError(
                f"{staging} cannot be written ({exc.strerror}); correct its permissions, or choose another folder with "
                "`photofinish export --staging`"
            ) from exc
        remove_stale()
        remove(staging / WORK_NAME)
        stack.callback(remove, staging / WORK_NAME)
        yield


def gate_and_publish(
    staged: Sequence[StagedVariant],
    baseline: StagedVariant,
    repository: Path,
    options: GateOptions,
    *,
    on_progress: Callable[[str], None],
) -> GateOutcome:
    """Measure every staged variant against the baseline through a server, publish those that keep their floor.

    Refused variants are withdrawn from the repository and kept with their report in `<work>/refused/`. The caller
    raises `error_from_report` once it has shown the table. A model whose boxes mean nothing (untrained) is published
    without measurement, and said so.
    """
    from photofinish.export.publishing.cards import rewrite_card
    from photofinish.export.publishing.publish import publish_variants

    report = None
    if baseline.card.untrained:
        on_progress("the weights are untrained, so the accuracy gate has nothing to measure")
    else:
        dataset = dataset_from_options(options, baseline.card)
        staged = [item for item in staged if item.card.is_square or fits_frames(item, dataset, on_progress)]
        report = _measure(staged, baseline, dataset, options, on_progress)
    verdicts = {verdict.name: verdict for verdict in report.verdicts} if report else {}
    passed, refused = [], []
    for item in staged:
        verdict = verdicts.get(item.variant.name)
        if verdict and item.card.accuracy != verdict.to_card():
            item = replace(item, card=replace(item.card, accuracy=verdict.to_card()))
            rewrite_card(item.directory, item.card)
        if not verdict and item.card.accuracy.get("passed") is False:
            on_progress(f"{item.variant.name}: not published, an earlier gate refused it and it was not measured now")
        elif verdict and verdict.undecided:
            on_progress(_undecided_line(verdict, published=options.accept_undecided))
            if options.accept_undecided:
                passed.append(item)
        elif verdict and not verdict.passed:
            _keep_aside(item, verdict.reason, options.work)
            refused.append(item.variant.name)
        else:
            passed.append(item)
    published = publish_variants(passed, repository, withdraw=refused, on_progress=on_progress)
    return GateOutcome(published=published, report=report)


def dataset_from_options(options: GateOptions, card: ModelCard) -> Dataset:
    """The frames to measure on; ConfigError when the flags contradict each other or the labels the weights."""
    from photofinish.perf.accuracy.data import SourceDataset, SyntheticDataset, map_classes
    from photofinish.perf.accuracy.labels import LabelledDataset
    from photofinish.synthetic import CLASS_NAMES

    if options.data and options.frames:
        raise ConfigError("--data and --frames were both given; --data has labels, --frames has none: pass one of them")
    if options.data:
        labelled = LabelledDataset(options.data, limit=options.size)
        map_classes(labelled, card.class_names, weights=card.weights)
        _require_other_pictures(options, "--data", labelled.paths)
        return labelled
    size = options.size or DEFAULT_FRAMES
    if options.frames:
        path = Path(options.frames)
        _require_other_pictures(options, "--frames", path.rglob("*") if path.is_dir() else (path,))
        return SourceDataset(options.frames, size)
    return SyntheticDataset(size, labelled=card.class_names == CLASS_NAMES)


def _require_other_pictures(options: GateOptions, flag: str, paths: Iterable[Path]) -> None:
    """ConfigError when INT8 was calibrated on a picture that it would be judged by."""
    if options.calibration is None:
        return
    calibrated = {path.resolve() for path in options.calibration.rglob("*") if path.is_file()}
    if shared := sorted(calibrated.intersection(path.resolve() for path in paths)):
        raise ConfigError(
            f"--calibration {options.calibration} and {flag} share {len(shared)} pictures, such as {shared[0]}: INT8 "
            "would be judged by what it was calibrated on; collect others with `photofinish calibrate SOURCE --out "
            "OTHER`"
        )


def _undecided_line(verdict: GateVerdict, *, published: bool) -> str:
    return f"{verdict.name}: {'PUBLISHED' if published else 'not published'}, NOT DECIDED: {verdict.reason}"


def error_from_report(report: GateReport, work: Path) -> AccuracyGateError:
    """The error for what is not published: one line; each refused variant with its reason, else the undecided ones."""
    if not report.refused:
        names, reason = ", ".join(item.name for item in report.undecided), report.undecided[0].reason
        return AccuracyGateError(f"not published: {names}: {reason}, or pass --accept-undecided")
    reasons = " | ".join(f"{verdict.name} {verdict.reason}" for verdict in report.refused)
    return AccuracyGateError(f"not published: {reasons} (kept in {(work / 'refused').resolve()})")


def _measure(
    staged: Sequence[StagedVariant],
    baseline: StagedVariant,
    dataset: Dataset,
    options: GateOptions,
    on_progress: Callable[[str], None],
) -> GateReport | None:
    from photofinish.perf.accuracy.gate import GateCandidate, gate_variants
    from photofinish.perf.accuracy.report import document_from_report, frame_bar
    from photofinish.server.triton.embedded import EmbeddedServer

    measurable = [item for item in _with_baseline(staged, baseline) if _runs_here(item, on_progress)]
    if len(measurable) < 2:
        on_progress("accuracy was not measured: there is nothing to compare with the baseline")
        return None

    @contextmanager
    def serve(names: tuple[str, ...]) -> Iterator[str]:
        with ExitStack() as stack:
            staging = stack.enter_context(_one_repository(measurable))
            try:
                server = stack.enter_context(EmbeddedServer(staging, models=names, on_progress=on_progress))
            except ServerError as exc:
                # Triton 2.51 can abort (boost lock_exception) when models load side by side on a busy machine.
                on_progress(f"{exc}; one more attempt")
                server = stack.enter_context(EmbeddedServer(staging, models=names, on_progress=on_progress))
            on_progress(f"measuring the accuracy of {', '.join(names)} on {dataset.title}")
            yield server.endpoint.grpc_url

    given = baseline.card.weights_sha256
    candidates = [
        GateCandidate(
            name=item.variant.name,
            floor=item.variant.min_map_share * (options.pruned_floor if item.card.unpruned_sha256 == given else 1.0),
            card=item.card,
            directory=item.directory,
            weights_changed=item.card.unpruned_sha256 == given,
        )
        for item in measurable
    ]
    with frame_bar(options.on_frame) as on_frame:
        report = gate_variants(
            candidates,
            dataset,
            serve,
            baseline=baseline.variant.name,
            cache=options.work / "gate" / "cache",
            on_frame=on_frame,
            on_progress=on_progress,
        )
    path = options.work / "gate" / f"{measurable[-1].card.model}.json"
    path.write_text(json.dumps(document_from_report(report, candidates), indent=1) + "\n", encoding="utf-8")
    on_progress(f"accuracy report: {path.resolve()}")
    return report


@contextmanager
def _one_repository(items: Sequence[StagedVariant]) -> Iterator[Path]:
    """A folder that has them all: the staging folder of their model, of two models one of links."""
    parents = {item.directory.parent for item in items}
    if len(parents) == 1:
        yield parents.pop()
        return
    with scratch_folder() as folder:
        for item in items:
            (folder / item.variant.name).symlink_to(item.directory.resolve())
        yield folder


def fits_frames(item: StagedVariant, dataset: Dataset, on_progress: Callable[[str], None]) -> bool:
    """Whether nine of ten frames have the shape of the variant's input; a variant that does not fit is told of."""
    from itertools import islice

    from photofinish.letterbox import is_smaller_than_in_square

    sizes = [frame.size_wh for frame in islice(dataset.frames(), LOOKED_AT)]
    unfit = [size for size in sizes if is_smaller_than_in_square(size, item.card.input_wh)]
    if len(unfit) <= len(sizes) // 10:
        return True
    found, wanted = ("{} × {}".format(*size) for size in (unfit[0], item.card.input_wh))
    on_progress(
        f"{item.variant.name}: left out, its input of {wanted} is for {item.variant.aspect} and the gate's pictures "
        f"are not (one is {found}); pass --frames with a video of your camera, or change its aspect in variants.toml"
    )
    return False


def _with_baseline(staged: Sequence[StagedVariant], baseline: StagedVariant) -> list[StagedVariant]:
    return [baseline, *(item for item in staged if item.variant.name != baseline.variant.name)]


def _runs_here(item: StagedVariant, on_progress: Callable[[str], None]) -> bool:
    if reason := why_not_here(item):
        on_progress(f"{item.variant.name}: {reason}, so its accuracy was not measured here")
    return not reason


def why_not_here(item: StagedVariant) -> str:
    """Why the embedded server of this machine cannot serve the variant; "" when it can."""
    from photofinish.export.build import resolve_device
    from photofinish.export.tensorrt.targets import gpu_at_hand

    if "embedded" not in item.variant.servers:
        return "only the container runs it"
    if item.card.device != "cpu" and resolve_device("auto") != "cuda":
        return "there is no GPU here to run it"
    gpu = gpu_at_hand() if item.card.engines else None
    if gpu and gpu.target not in item.card.engines:
        return f"its engines are for {', '.join(item.card.engines)} and this GPU is {gpu.target}"
    return ""


def _keep_aside(item: StagedVariant, reason: str, work: Path) -> None:
    from photofinish.export.publishing.staging import WORK_NAME, replaced_directory

    document = {"variant": item.variant.name, "reason": reason, "accuracy": item.card.accuracy}
    with replaced_directory(work / "refused" / item.variant.name, work / WORK_NAME) as folder:
        shutil.copytree(item.directory, folder, dirs_exist_ok=True)
        (folder / "report.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
