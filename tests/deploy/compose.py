"""docker-compose.yml as Docker reads it: parsed, merged, with its variables put in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
COMPOSE_PATH = CHECKOUT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+):-(?P<default>[^}]*)\}")


def compose_variables() -> dict[str, str]:
    """Every `${NAME:-default}` of the file with its default."""
    text = COMPOSE_PATH.read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {match["name"]: match["default"] for match in _VARIABLE.finditer(code)}


class _Instead(dict[str, Any]):
    """A mapping that an override puts in another's place (`!override`)."""


class _ComposeLoader(yaml.SafeLoader):
    """Knows the two tags by which an override takes something away."""


_ComposeLoader.add_constructor("!reset", lambda loader, node: RESET)
_ComposeLoader.add_constructor("!override", lambda loader, node: _Instead(loader.construct_mapping(node, deep=True)))
RESET = object()


def merged(base: Any, over: Any, key: str = "") -> Any:
    """What Compose makes of two files: maps by their keys, lists one behind the other, but a command as a whole."""
    if isinstance(over, _Instead):
        return dict(over)
    if isinstance(base, dict) and isinstance(over, dict):
        found = {name: merged(base[name], value, name) if name in base else value for name, value in over.items()}
        return {name: value for name, value in {**base, **found}.items() if value is not RESET}
    if isinstance(base, list) and isinstance(over, list) and key not in ("command", "entrypoint", "test"):
        return [*base, *over]
    return over


def compose_document(environment: Mapping[str, str] | None = None, override: str = "") -> dict[str, Any]:
    """The file with merge keys resolved and variables replaced from `environment`, else by their defaults.

    override: a file of deploy/ that is given behind it.
    """
    values = environment or {}

    def put_in(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: put_in(item) for key, item in node.items()}
        if isinstance(node, list):
            return [put_in(item) for item in node]
        if isinstance(node, str):
            return _VARIABLE.sub(lambda match: values.get(match["name"]) or match["default"], node)
        return node

    document = put_in(yaml.safe_load(COMPOSE_PATH.read_text(encoding="utf-8")))
    if override:
        over = yaml.load((CHECKOUT / "deploy" / override).read_text(encoding="utf-8"), _ComposeLoader)
        document = put_in(merged(document, over))
    assert isinstance(document, dict)
    return document
