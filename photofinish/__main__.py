"""`python -m photofinish`: the `photofinish` command, where its script is not on PATH."""

from __future__ import annotations

from photofinish.cli import main

if __name__ == "__main__":  # a child that multiprocessing spawns imports this module by another name
    main()
