"""A change of the model repository that happens as a whole, or not at all.

What is new is copied into a work folder beside the repository, where Triton does not look. Then a journal says what
will be renamed, the renames are made, and the journal is removed. Whatever ends a process before the journal leaves the
repository as it was; whoever works in the repository next, after a kill among the renames, makes the rest of them.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from photofinish.errors import ModelRepositoryError
from photofinish.export.publishing.exchange import put_in_place
from photofinish.machine.scratch import remove
from photofinish.machine.signals import held_back

Tell = Callable[[str], None]
JOURNAL = "journal.json"
_OLDER_WORK = re.compile(r"\.(?P<name>.+)-[a-z0-9_]{8}")
"""Folders that releases up to 0.1 left in the repository itself when they were interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryWork:
    """The folders of one change. new: what will be published; old: what was replaced or withdrawn, to be deleted."""

    repository: Path
    folder: Path

    @property
    def new(self) -> Path:
        """Where complete variants lie before they are published."""
        return self.folder / "new"

    @property
    def old(self) -> Path:
        """Where variants lie that are published no more."""
        return self.folder / "old"


@contextmanager
def work_on(repository: Path, tell: Tell) -> Iterator[RepositoryWork]:
    """The repository for this change alone; what an interrupted one left is finished or removed first.

    tell hears when another process works there, and where a kill may leave something that Triton stumbles over.
    Raises ModelRepositoryError when the repository cannot be written.
    """
    try:
        repository.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(repository, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise ModelRepositoryError(_why_not(repository, exc)) from exc
    try:
        _lock(descriptor, repository, tell)
        work = RepositoryWork(repository=repository, folder=_work_folder(repository))
        try:
            _recover(work)
            work.new.mkdir(parents=True)
            work.old.mkdir()
        except OSError as exc:
            raise ModelRepositoryError(_why_not(repository, exc)) from exc
        if work.folder.parent == repository:
            tell(
                f"{repository} is a file system of its own: what is new is written into {work.folder} first, where a "
                "Triton that starts meanwhile stumbles over it; the next export removes it should this one be killed"
            )
        try:
            yield work
        finally:
            if not (work.folder / JOURNAL).exists():
                remove(work.folder)
    finally:
        os.close(descriptor)


def commit(work: RepositoryWork, *, withdrawn: tuple[str, ...] = (), on_step: Tell = lambda step: None) -> None:
    """Publish all that lies in `work.new`, take `withdrawn` away. Signals wait; an error puts everything back.

    on_step: hears of every rename, and of the journal before and after them.
    """
    placed = sorted(path.name for path in work.new.iterdir())
    with held_back():
        _write_journal(work, placed, withdrawn)
        done: list[str] = []
        try:
            on_step("journal written")
            for name in placed:
                put_in_place(work.new / name, work.repository / name, work.old / name)
                done.append(name)
                on_step(f"{name} placed")
            for name in withdrawn:
                with suppress(FileNotFoundError):
                    (work.repository / name).rename(work.old / name)
                    done.append(name)
                on_step(f"{name} withdrawn")
        except BaseException:
            for name in reversed(done):
                _put_back(work, name)
            (work.folder / JOURNAL).unlink()
            raise
        (work.folder / JOURNAL).unlink()
    on_step("journal removed")


def _put_back(work: RepositoryWork, name: str) -> None:
    """Undo one step of `commit`."""
    target, old, new = work.repository / name, work.old / name, work.new / name
    if not old.exists():
        target.rename(new)
    elif target.exists():
        put_in_place(old, target, new)
    else:
        old.rename(target)


def _write_journal(work: RepositoryWork, placed: list[str], withdrawn: tuple[str, ...]) -> None:
    """Each folder by the number that a rename does not change, so that a step is known to be made or not."""
    journal = {
        "placed": {name: _inode(work.new / name) for name in placed},
        "withdrawn": {name: _inode(work.repository / name) for name in withdrawn},
    }
    partial = work.folder / f"{JOURNAL}.new"
    partial.write_text(json.dumps(journal), encoding="utf-8")
    partial.replace(work.folder / JOURNAL)


def _recover(work: RepositoryWork) -> None:
    """Finish what was killed among its renames, and remove what was killed before or after them."""
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        journal: Mapping[str, Mapping[str, int]] = json.loads((work.folder / JOURNAL).read_text(encoding="utf-8"))
        for name, inode in journal["placed"].items():
            target, new, old = work.repository / name, work.new / name, work.old / name
            if _inode(target) != inode and _inode(new) == inode:
                put_in_place(new, target, old if not old.exists() else work.folder / f"older-{name}")
        for name, inode in journal["withdrawn"].items():
            if _inode(work.repository / name) == inode:
                (work.repository / name).rename(work.old / name)
    remove(work.folder)
    for path in work.repository.glob(".*-????????"):
        found = _OLDER_WORK.fullmatch(path.name)
        if found and path.is_dir() and all(_is_of(item.name, found["name"]) for item in path.iterdir()):
            if (path / "replaced-0").is_dir() and not (work.repository / found["name"]).exists():
                (path / "replaced-0").rename(work.repository / found["name"])
            remove(path)


def _is_of(item: str, name: str) -> bool:
    return item == name or re.fullmatch(r"replaced-\d+", item) is not None


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return -1


def _work_folder(repository: Path) -> Path:
    """Beside the repository, out of Triton's sight; in it where beside it another file system begins."""
    place = repository.resolve()
    beside = place.parent
    if beside != place and os.access(beside, os.W_OK | os.X_OK) and beside.stat().st_dev == place.stat().st_dev:
        return beside / f".{place.name}.publishing"
    return repository / ".publishing"


def _lock(descriptor: int, repository: Path, tell: Tell) -> None:
    """Let one export at a time change the repository, on file systems that have locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell(f"waiting for another export that publishes to {repository}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return


def _why_not(repository: Path, exc: OSError) -> str:
    return f"{repository} cannot be written ({exc.strerror}); correct its permissions, or choose another --repository"
