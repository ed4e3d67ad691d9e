"""The process that runs compiled packages in a bare loop: a script with one JSON argument.

It imports what the server's model process imports and nothing else of ours, so that a crash ends nothing but itself.
It answers on standard output with one JSON line when everything is warm, and with one for each line of standard input,
which says for how many seconds to run.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "photofinish_backend"


def main() -> None:
    """Load what the argument describes, then measure for as long as somebody asks."""
    job = json.loads(sys.argv[1])
    with contextlib.suppress(OSError):  # as the server's model process does, which says why
        ctypes.CDLL("libstdc++.so.6", mode=ctypes.RTLD_GLOBAL)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # what libraries print must not come between the answers

        def tell(**answer: object) -> None:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()

        engines, models = import_backend(Path(job["backend_package"]), "engine", "model")
        try:
            model, engine = engines.open_model(job["arguments"])
            execute = _warm_loop(model, engine, job)
        except models.RefusedModelError as exc:
            tell(refused=str(exc))
            return
        tell(ready=True)
        for line in sys.stdin:
            tell(done_ns=_run_for(execute, float(line)))


def import_backend(folder: Path, *names: str) -> list[ModuleType]:
    """Modules of the embedded server's package in `folder`.

    They are found by this folder alone: beside it lie others of the server, called as libraries are.
    """
    if _PACKAGE not in sys.modules:
        spec = importlib.util.spec_from_file_location(_PACKAGE, folder / "__init__.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder} is no package")
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_PACKAGE])
    return [importlib.import_module(f"{_PACKAGE}.{name}") for name in names]


def _warm_loop(model: Any, engine: Any, job: dict[str, Any]) -> Callable[[], object]:
    """One execution, finished when it returns. On a GPU the pictures already lie in the engine's buffers."""
    import numpy as np

    pixels = np.random.default_rng(job["seed"]).integers(0, 256, job["shape"], dtype=np.uint8)
    for _ in range(job["warm_ups"]):
        engine.run_arrays([pixels])
    if model.device == "cpu":
        return lambda: engine.run_arrays([pixels])

    def execute() -> None:
        engine.start(len(pixels))
        engine.wait()

    return execute


def _run_for(execute: Callable[[], object], seconds: float) -> list[int]:
    """When each execution was done, in nanoseconds since the first one began."""
    begun_ns = time.perf_counter_ns()
    done_ns: list[int] = []
    while not done_ns or done_ns[-1] < seconds * 1e9:
        execute()
        done_ns.append(time.perf_counter_ns() - begun_ns)
    return done_ns


if __name__ == "__main__":
    main()
