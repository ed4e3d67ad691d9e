"""What a model repository holds, as far as starting a server is concerned."""

from __future__ import annotations

from pathlib import Path

from photofinish.errors import ModelRepositoryError


def models_in(repository: Path) -> tuple[str, ...]:
    """The model names in a repository: its folders that hold a config.pbtxt or a numbered version.

    Raises ModelRepositoryError when there is no such folder or no model in it.
    """
    try:
        names = tuple(sorted(path.name for path in repository.iterdir() if _is_model(path)))
    except OSError as exc:
        raise ModelRepositoryError(
            f"the model repository {repository} cannot be read: {exc.strerror}; run `photofinish export` first"
        ) from exc
    if not names:
        raise ModelRepositoryError(f"the model repository {repository} holds no model; run `photofinish export` first")
    return names


def _is_model(path: Path) -> bool:
    if not path.is_dir() or path.name.startswith("."):
        return False
    return (path / "config.pbtxt").is_file() or any(item.name.isdigit() and item.is_dir() for item in path.iterdir())
