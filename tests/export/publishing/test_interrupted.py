"""Publishing interrupted at every step, by Ctrl-C, by signals and by kill -9: the repository is whole, old or new."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from photofinish.errors import ExportError, ModelRepositoryError
from photofinish.export.publishing import repository as repository_module
from photofinish.export.publishing.cards import CONFIG_NAME, card_from_directory
from photofinish.export.publishing.config import config_from_variant, io_from_variant
from photofinish.export.publishing.exchange import exchange, put_in_place
from photofinish.export.publishing.publish import publish_variants
from photofinish.export.publishing.repository import work_on
from photofinish.export.publishing.staging import StagedVariant
from photofinish.machine.signals import StopSignal, stop_as_ctrl_c_does
from photofinish.variant import default_variants_path, variants_from_toml
from tests.builders import build_card
from tests.photofinish.machine.full_disk import full_disk

State = dict[str, bytes]
OLD, NEW = ("a", "b", "c"), ("a", "b", "d")
LONGEST_S = 30.0
"""Of a publishing, or of mending one; some milliseconds on a quiet machine."""
STRANGER = "someone_elses"


def staged_with(folder: Path, names: tuple[str, ...], weights: str) -> list[StagedVariant]:
    (variant, *_) = variants_from_toml(default_variants_path(), model="toy")
    staged = []
    for name in names:
        directory = folder / weights / name
        (directory / "1").mkdir(parents=True)
        (directory / "1" / "model.bin").write_bytes(f"{weights} {name}".encode() * 5000)
        mine = replace(variant, suffix=name)
        card = build_card(variant=mine.name, model="toy", weights_sha256=weights)
        io = io_from_variant(mine, input_wh=card.input_wh, raw_dims=(300, 6), task="detect")
        (directory / CONFIG_NAME).write_text(config_from_variant(mine, card, io))
        staged.append(StagedVariant(variant=mine, directory=directory, card=card, rebuilt=True))
    return staged


def state_of(repository: Path) -> State:
    """Every file by its path; strangers' and hidden ones too."""
    return {str(path.relative_to(repository)): path.read_bytes() for path in repository.rglob("*") if path.is_file()}


class Case:
    """A repository with old variants and a stranger's folder, and new ones to publish."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "place" / "model_repository"
        self.old, self.new = staged_with(folder, OLD, "old"), staged_with(folder, NEW, "new")
        (self.repository / STRANGER).mkdir(parents=True)
        (self.repository / STRANGER / "theirs").write_text("theirs")
        self.publish(self.new)
        self.is_new = state_of(self.repository)
        self.publish(self.old)
        self.is_old = state_of(self.repository)

    def publish(self, staged: list[StagedVariant], on_step: Callable[[str], None] = lambda step: None) -> None:
        publish_variants(staged, self.repository, on_step=on_step, clock_ns=lambda: 1)

    def steps(self) -> list[str]:
        seen: list[str] = []
        self.publish(self.new, seen.append)
        self.publish(self.old)
        return seen

    def require_whole_variants(self, *, all_there: bool = True) -> None:
        """Nothing but variants, each of them as it was published once."""
        found = state_of(self.repository)
        for path in found:
            assert found[path] in (self.is_old.get(path), self.is_new.get(path)), path
        for name in ("toy_a", "toy_b", STRANGER):
            parts = [path for path in found if path.startswith(f"{name}/")]
            assert len(parts) == (1 if name == STRANGER else 2) or not (parts or all_there), name
            assert len({path in self.is_new and found[path] == self.is_new[path] for path in parts}) <= 1

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.repository.parent.iterdir() if path != self.repository)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.fixture(params=["one rename", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the exchange of this file system, and as where there is none."""
    if request.param == "two renames":
        monkeypatch.setattr("photofinish.export.publishing.exchange.exchange", lambda one, other: False)
    return str(request.param)


def test_this_file_system_exchanges(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert exchange(tmp_path / "one", tmp_path / "other")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["other"]
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "one", tmp_path / "none")


def test_every_step_is_a_hook(case: Case) -> None:
    steps = case.steps()
    assert steps[0] == "begun"
    assert steps[-1] == "cleaned"
    assert {"toy_a copied", "journal written", "toy_d placed", "toy_c withdrawn", "journal removed"} <= set(steps)


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopSignal(signal.SIGTERM), OSError(5, "Input/output error")])
def test_an_error_at_any_step_leaves_all_or_nothing(case: Case, way: str, error: BaseException) -> None:
    for number, name in enumerate(case.steps()):
        case.publish(case.old)
        with pytest.raises((KeyboardInterrupt, OSError)):
            case.publish(case.new, fail_at(number, error))
        committed = name in ("journal removed", "cleaned")
        assert state_of(case.repository) == (case.is_new if committed else case.is_old), name
        assert case.leftovers() == [], name


def fail_at(number: int, error: BaseException) -> Callable[[str], None]:
    steps = iter(range(number + 1))

    def step(name: str) -> None:
        if next(steps, None) == number:
            raise error

    return step


@pytest.fixture
def signals_stop() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    stop_as_ctrl_c_does(iter(range(0, 10**6, 10)).__next__)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_stop")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_step_leaves_all_or_nothing(case: Case, number: int) -> None:
    """Among the renames it waits until they are made."""
    names = case.steps()
    for at, name in enumerate(names):
        case.publish(case.old)
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            case.publish(case.new, signal_at(at, number))
        committed = at >= names.index("journal written")
        assert state_of(case.repository) == (case.is_new if committed else case.is_old), name
        assert case.leftovers() == [], name
        assert time.monotonic() - begun < LONGEST_S


def signal_at(at: int, number: int) -> Callable[[str], None]:
    steps = iter(range(at + 1))

    def step(name: str) -> None:
        if next(steps, None) == at:
            signal.raise_signal(number)

    return step


def in_a_process_that_is_killed(work: Callable[[], None], after_s: float | None = None) -> None:
    """Run `work` in a fork, which kills itself or is killed after so long."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 2 * LONGEST_S
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail("the fork hangs")
        time.sleep(0.0005)
    assert os.WTERMSIG(ended[1]) == signal.SIGKILL


def test_kill_at_any_step_leaves_whole_variants_and_the_next_publishing_cleans_up(case: Case, way: str) -> None:
    names = case.steps()
    for at, name in enumerate(names):
        case.publish(case.old)
        killed_at = signal_at(at, signal.SIGKILL)
        in_a_process_that_is_killed(lambda step=killed_at: case.publish(case.new, step))  # type: ignore[misc]
        case.require_whole_variants(all_there=way == "one rename")
        with work_on(case.repository, print):
            pass
        committed = at >= names.index("journal written")
        assert state_of(case.repository) in ((case.is_new,) if committed else (case.is_old,)), name
        assert case.leftovers() == [], name


def test_kill_at_random_moments(case: Case, way: str) -> None:
    seeded = random.Random(12)

    def publish_for_ever() -> None:
        while True:
            case.publish(case.new)
            case.publish(case.old)

    for _ in range(25):
        in_a_process_that_is_killed(publish_for_ever, after_s=seeded.uniform(0.001, 0.03))
        case.require_whole_variants(all_there=way == "one rename")
        begun = time.monotonic()
        with work_on(case.repository, print):
            pass
        assert time.monotonic() - begun < LONGEST_S
        assert state_of(case.repository) in (case.is_new, case.is_old)
        assert case.leftovers() == []


def test_what_older_releases_left_in_the_repository_goes(case: Case) -> None:
    kept, lost = case.repository / "toy_a", case.repository / "toy_lost"
    (case.repository / ".toy_a-abcd1234" / "toy_a").mkdir(parents=True)
    (case.repository / ".toy_lost-abcd1234").mkdir()
    lost_state = state_of(kept)
    put_in_place(case.repository / "toy_b", lost, case.folder / "aside")
    lost_state = state_of(lost)
    lost.rename(case.repository / ".toy_lost-abcd1234" / "replaced-0")
    (case.repository / ".someone-elses12" / "data").mkdir(parents=True)
    with work_on(case.repository, print):
        pass
    assert state_of(lost) == lost_state
    assert {path.name for path in case.repository.iterdir() if path.name.startswith(".")} == {".someone-elses12"}


def test_a_repository_that_is_a_mount_is_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository_module.os, "access", lambda path, mode: False)
    said: list[str] = []
    publish_variants(case.new, case.repository, on_progress=said.append, clock_ns=lambda: 1)
    assert len(said) == 1
    assert "is a file system of its own" in said[0]
    assert state_of(case.repository) == case.is_new


def test_a_repository_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelRepositoryError, match=r"cannot be written \(.*choose another --repository"):
        publish_variants(staged_with(tmp_path, NEW, "new"), tmp_path / "file" / "repository")


def test_a_full_disk_leaves_what_was_published(tmp_path: Path) -> None:
    """Of real size: the third variant does not fit."""
    with full_disk(tmp_path / "small", size_kib=900) as disk:
        first = staged_with(tmp_path, OLD, "old")
        publish_variants(first, disk / "model_repository")
        before = state_of(disk / "model_repository")
        (disk / "filler").write_bytes(b"0" * 760_000)
        begun = time.monotonic()
        with pytest.raises(ExportError, match=r"the disk is full \(.*MB free\); free some space, or choose"):
            publish_variants(staged_with(tmp_path, NEW, "new"), disk / "model_repository")
        assert time.monotonic() - begun < LONGEST_S
        assert state_of(disk / "model_repository") == before
        assert sorted(path.name for path in disk.iterdir()) == ["filler", "model_repository"]
        (disk / "filler").unlink()
        publish_variants(staged_with(tmp_path / "again", NEW, "new"), disk / "model_repository")
        assert card_from_directory(disk / "model_repository" / "toy_d") is not None
