"""The import arrows, module sizes and the one place that composes the folders."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
ROOMS = {"export", "server", "client", "perf"}
"""Folders beside `photofinish/`; their modules are imported as `photofinish.<folder>`."""
OURS = {"photofinish", *ROOMS}
MAY_IMPORT = {
    "photofinish": {"photofinish"},
    "export": {"photofinish", "export"},
    "server": {"photofinish", "server"},
    "client": {"photofinish", "client"},
    "perf": {"photofinish", "client", "perf"},
}
COMPOSERS = ("commands", "flows", "__init__.py")
"""What of `photofinish/` puts the rooms together, or names what they offer, so that it may import all of them."""
FLOORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "client": (
        ("choosing", "native", "triton", "sources"),
        ("pipeline", "calibrate"),
        ("detect",),
        ("cameras",),
        ("ui/processes", "ui/words", "ui/owner", "api"),
        ("ui/page",),
        ("ui/cameras", "ui/race", "ui/picture", "ui/measuring"),
        ("ui/panels",),
    ),
    "client/cameras": (
        ("values",),
        ("account", "list", "outputs", "rtsp", "wire"),
        ("streams", "ingest", "decode", "schedule", "endpoint"),
        ("recording", "supervise"),
        ("events", "collect"),
    ),
    "export": (
        ("demo", "graph", "kernels"),
        ("int8", "loading", "tensorrt"),
        ("publishing", "pruning", "recipes"),
        ("build", "rival_child"),
    ),
    "perf": (
        ("statistics",),
        ("record",),
        ("formatting", "load", "rivals", "watch"),
        ("measure", "engine", "accuracy", "cameras"),
        ("judge",),
        ("report",),
    ),
    "photofinish": (
        ("errors", "keypoints", "letterbox", "percentiles", "source_hash"),
        ("address", "detections", "engine_record", "machine", "model_card", "names", "pictures"),
        ("frame", "heads", "variant", "wheels"),
        ("access", "synthetic"),
        ("flows",),
        ("commands",),
        ("cli",),
        ("__main__",),
    ),
    "server": (
        ("backend", "bridge"),
        ("triton",),
        ("doctor",),
    ),
    "server/backend": (
        ("model",),
        ("agreement", "batches", "memory", "trace"),
        ("cuda",),
        ("engine",),
        ("gpu_engine",),
        ("engines",),
        ("lane", "stub"),
    ),
}
"""The floors of each room, the lowest first: folders, or modules that lie beside them.

What stands on one floor imports lower floors and itself, and nothing of its neighbours on the same floor.
"""
TESTS_OF_NO_FOLDER = {"docs", "deploy", "experiments", "packaging"}
"""Folders of `tests/` that mirror no folder of a room."""
_ALONE = {"client": ("tritonclient", "gradio", "av", "supervision", "trackers"), "export": ("ultralytics",)}
ONLY_HERE = {library: {room} for room, libraries in _ALONE.items() for library in libraries}
HEAVY = set("torch onnx onnxruntime tensorrt tensorrt_rtx openvino tritonclient gradio ultralytics".split())
VOCABULARY_MAY_IMPORT = {"numpy", "cv2", "click", "tomli", "tqdm"}
MACHINE_ASKS = {"pynvml": "photofinish/machine/gpu.py"}
"""Libraries of one extra that one module of the vocabulary asks inside a function, and does without."""
SPEAKS_A_LANGUAGE = {f"perf/report/{name}.py" for name in ("words", "text", "html", "files", "page/poster")}
"""What makes the words of a report, and where somebody asks for one."""
MAX_LINES, MIN_LINES, MAX_MODULES = 300, 50, 14
DOORS = ("__init__.py", "__main__.py")
"""What Python calls a package by: no modules of their own, so they are neither too short nor one too many."""
SHORT = {
    "client/cameras/outputs/zones.py": "a rule that several outputs use",
    "perf/judge/best.py": "what `export --best` asks, apart from what a report is judged by",
    "perf/rivals/agreement.py": "what two programs find, apart from how they are run",
    "export/kernels/availability.py": "asked without importing Triton, which the rest of the folder does",
    "server/bridge/build.py": "the bridge's own switch and words; `photofinish.machine.compiler` compiles",
    "photofinish/flows/showing/importing.py": "what the view waits with, apart from what it shows",
    "photofinish/flows/showing/toy.py": "a line of three commands; the view, which has it too, brings the page",
    "experiments/autocast.py": "runs in an environment of its own, without Photofinish",
    "experiments/models/taught.py": "what finished weights say, apart from what a cut would leave",
    "client/ui/cameras/page.py": "the one module of it that imports Gradio, which takes seconds",
    "photofinish/machine/started_program.py": "what four rooms start programs with, apart from the signals themselves",
    "photofinish/flows/camera/plan.py": "arithmetic, beside commands that measure",
    "client/ui/picture/panel.py": "the one module of it that imports Gradio, which takes seconds",
    "client/ui/measuring/panel.py": "the one module of it that imports Gradio, which takes seconds",
    "client/ui/owner.py": "a rule that several panels use",
    "client/ui/panels.py": "the one list of the page's panels, above the rooms that it names",
    "photofinish/flows/camera/status.py": "a command that needs no web server beside one that does",
    "photofinish/frame.py": "a value that every room uses",
    "photofinish/machine/lock.py": "a rule that several rooms use",
    "photofinish/machine/addresses.py": "a rule that several rooms use",
    "photofinish/machine/disk.py": "a rule that every room uses",
    "photofinish/names.py": "a rule that every room uses",
}
"""Modules that are a boundary by themselves, and why."""
MAY_BE_SHORT = {"photofinish/commands"}
"""One module for each command: what it parses, and what it calls."""
CROWDED = {"photofinish/synthetic"}


def composes(path: Path) -> bool:
    """Whether a module puts the rooms together, or lies in a folder that does."""
    return any(CHECKOUT / "photofinish" / name in (path, *path.parents) for name in COMPOSERS)


def modules(folder: str) -> list[Path]:
    found = (path for path in (CHECKOUT / folder).rglob("*.py") if "__pycache__" not in path.parts)
    if folder != "photofinish":
        return sorted(found)
    # The rooms are links there.
    return sorted(path for path in found if path.relative_to(CHECKOUT / folder).parts[0] not in ROOMS)


def room_from_import(name: str) -> str:
    """The folder that an imported module lies in, or the library's name."""
    parts = name.split(".")
    return parts[1] if parts[0] == "photofinish" and len(parts) > 1 and parts[1] in ROOMS else parts[0]


def imported_names(path: Path, root: Path = CHECKOUT) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that is imported anywhere in a module; relative imports in full."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            folders = path.relative_to(root).parts[: -node.level] if node.level else ()
            package = [*(("photofinish", *folders) if node.level else ()), *([node.module] if node.module else [])]
            for alias in node.names:
                yield node.lineno, ".".join([*package, alias.name])


def imported_roots(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imported_names(path):
        yield line, room_from_import(name)


def floor_of(place: str, floors: tuple[tuple[str, ...], ...]) -> tuple[int, str] | None:
    """Floor and name of the listed part that holds `place` ("ui/page/app"); None where it is not listed."""
    for number, parts in enumerate(floors):
        for part in parts:
            if place == part or place.startswith(f"{part}/"):
                return number, part
    return None


def wrong_imports(room: str, floors: tuple[tuple[str, ...], ...], root: Path = CHECKOUT) -> Iterator[str]:
    """What a room's modules import from their own or a higher floor, and modules that stand on no floor."""
    package = "photofinish." if room == "photofinish" else f"photofinish.{room.replace('/', '.')}."
    for path in modules(room) if root == CHECKOUT else sorted((root / room).rglob("*.py")):
        relative = path.relative_to(root)
        place = path.relative_to(root / room).with_suffix("").as_posix()
        own = floor_of(place, floors)
        if own is None:
            if path.name != "__init__.py":
                yield f"{relative} stands on no floor of FLOORS"
            continue
        for line, name in imported_names(path, root):
            wanted = (
                floor_of(name.removeprefix(package).replace(".", "/"), floors) if name.startswith(package) else None
            )
            if wanted and wanted[1] != own[1] and wanted[0] >= own[0]:
                yield f"{relative}:{line} ({own[1]}) imports {name} ({wanted[1]})"


@pytest.mark.parametrize("folder", sorted(OURS))
def test_folders_import_only_along_the_arrows(folder: str) -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {root}"
        for path in modules(folder)
        if not composes(path)
        for line, root in imported_roots(path)
        if root in OURS - MAY_IMPORT[folder]
    ]
    assert not wrong


@pytest.mark.parametrize("room", sorted(FLOORS))
def test_rooms_import_downwards(room: str) -> None:
    assert not list(wrong_imports(room, FLOORS[room]))


def test_an_upward_import_is_found(tmp_path: Path) -> None:
    for place, text in {
        "cellar/wine": "import photofinish.house.roof.tiles\n",
        "roof/tiles": "from photofinish.house.cellar import wine\n",
        "attic": "def look() -> None:\n    from photofinish.house.roof import tiles\n",
        "cellar/deep/coal": "from ..wine import bottle\nfrom ...roof.tiles import red\nfrom ... import attic\n",
        "shed": "",
    }.items():
        path = tmp_path / "house" / f"{place}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert list(wrong_imports("house", (("cellar",), ("roof", "attic")), tmp_path)) == [
        "house/attic.py:2 (attic) imports photofinish.house.roof.tiles (roof)",
        "house/cellar/deep/coal.py:2 (cellar) imports photofinish.house.roof.tiles.red (roof)",
        "house/cellar/deep/coal.py:3 (cellar) imports photofinish.house.attic (attic)",
        "house/cellar/wine.py:1 (cellar) imports photofinish.house.roof.tiles (roof)",
        "house/shed.py stands on no floor of FLOORS",
    ]


def test_the_tests_are_the_same_tree_as_the_code() -> None:
    tests = CHECKOUT / "tests"
    folders = {str(path.parent.relative_to(tests)) for path in tests.rglob("*.py")} - {"."}
    mirrored = {folder for folder in folders if folder.partition("/")[0] not in TESTS_OF_NO_FOLDER}
    assert sorted(folder for folder in mirrored if not (CHECKOUT / folder).is_dir()) == []


def test_test_files_stay_readable() -> None:
    long = {
        str(path.relative_to(CHECKOUT)): count
        for path in (CHECKOUT / "tests").rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def test_what_every_test_loads_is_light() -> None:
    """A small test file runs in a moment: fixtures that all files share import heavy libraries when they are used."""
    program = (
        "import sys, tests.conftest as all; [__import__(name) for name in all.pytest_plugins]; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()


def test_the_backend_imports_itself_relatively_and_nothing_else_of_ours() -> None:
    """It is copied into a server's run folder, where it has another name and Photofinish is not to be found."""
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {name}"
        for path in modules("server/backend")
        for line, name in imported_names(path)
        if room_from_import(name) in OURS and not name.startswith("photofinish.server.backend.")
    ]
    wrong += [
        f"{path.relative_to(CHECKOUT)}:{number} names itself"
        for path in modules("server/backend")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.match(r"\s*(from|import) photofinish", line)
    ]
    assert not wrong


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_no_room_is_imported_by_its_bare_name(room: str) -> None:
    """In a wheel there is no `perf` beside `photofinish`; in a checkout both names would load the module twice."""
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{number}"
        for folder in (*sorted(OURS), "tests", "experiments")
        for path in modules(folder)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.match(rf"\s*(from|import) {room}(\.|\s|$)", line)
    ]
    assert not wrong


@pytest.mark.parametrize("library", sorted(ONLY_HERE))
def test_a_library_stays_in_its_folder(library: str) -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line}"
        for folder in sorted(OURS)
        for path in modules(folder)
        for line, root in imported_roots(path)
        if root == library and folder not in ONLY_HERE[library]
    ]
    assert not wrong


def test_the_vocabulary_needs_only_the_base_install() -> None:
    import sys

    allowed = VOCABULARY_MAY_IMPORT | set(sys.stdlib_module_names) | {"photofinish"}
    outside = [
        (str(path.relative_to(CHECKOUT)), line, root)
        for path in modules("photofinish")
        if not composes(path)
        for line, root in imported_roots(path)
        if root not in allowed
    ]
    assert not [(place, line, root) for place, line, root in outside if MACHINE_ASKS.get(root) != place]
    for place, line, root in outside:
        text = (CHECKOUT / place).read_text(encoding="utf-8").splitlines()[line - 1]
        assert text.startswith(" "), f"{place}:{line} imports {root} for everybody; a function of it may"


@pytest.mark.parametrize("folder", [*sorted(OURS), "experiments"])
def test_modules_stay_readable(folder: str) -> None:
    sizes = {
        str(path.relative_to(CHECKOUT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules(folder)
        if path.name not in DOORS
    }
    long = {path: size for path, size in sizes.items() if size > MAX_LINES}
    assert not long, "a module that does more than one thing"
    short = {
        path: size
        for path, size in sizes.items()
        if size < MIN_LINES and path not in SHORT and str(Path(path).parent) not in MAY_BE_SHORT
    }
    assert not short, "a module that belongs into another, or into SHORT with its reason"


@pytest.mark.parametrize("folder", [*sorted(OURS), "experiments"])
def test_folders_stay_readable(folder: str) -> None:
    count = Counter(str(path.parent.relative_to(CHECKOUT)) for path in modules(folder) if path.name not in DOORS)
    assert {name: size for name, size in count.items() if size > MAX_MODULES and name not in CROWDED} == {}


def test_modules_that_may_be_short_are_there() -> None:
    assert [path for path in SHORT if not (CHECKOUT / path).is_file()] == []


def test_a_class_name_stands_once() -> None:
    """One noun, one class; no alias of a type has a class's name either."""
    classes: set[str] = set()
    places: dict[str, list[str]] = {}
    for path in (path for folder in (*sorted(OURS), "experiments") for path in modules(folder)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        classes |= named
        assigned = (node.targets[0] for node in tree.body if isinstance(node, ast.Assign))
        aliases = {target.id for target in assigned if isinstance(target, ast.Name) and not target.id.isupper()}
        for name in named | aliases:
            places.setdefault(name, []).append(str(path.relative_to(CHECKOUT)))
    assert {name: found for name, found in places.items() if len(found) > 1 and name in classes} == {}


def test_a_language_is_asked_for_where_reports_are_made() -> None:
    """Below perf/report/ there are values; the rooms' messages are in English."""
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{node.lineno}"
        for folder in ("perf", "client", "photofinish")
        for path in modules(folder)
        if not composes(path) and str(path.relative_to(CHECKOUT)) not in SPEAKS_A_LANGUAGE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.arg, ast.Name, ast.Attribute))
        and (node.arg if isinstance(node, ast.arg) else node.id if isinstance(node, ast.Name) else node.attr) == "lang"
    ]
    assert not wrong


def test_a_percentile_is_computed_in_one_place() -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{node.lineno}"
        for folder in ("perf", "experiments")
        for path in modules(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and re.fullmatch("(nan)?(percentile|quantile|median)s?", node.attr)
    ]
    assert not wrong, "photofinish.percentiles has them, and how many samples each needs"
