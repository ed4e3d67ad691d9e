"""All that is declared stands in pyproject.toml; here only what setuptools would not notice is checked."""

from pathlib import Path

from setuptools import setup

if lost := [room for room in ("client", "export", "perf", "server") if not Path("photofinish", room).is_dir()]:
    raise SystemExit(
        f"photofinish/{lost[0]} must be a link to the folder {lost[0]}/ beside it and is none: this copy of the source "
        "has lost its symbolic links, as a .zip does that pip or Windows unpacks; install the wheel, clone with git, "
        "or take the .tar.gz"
    )
setup()
