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


def compose_document(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file with merge keys resolved and variables replaced from `environment`, else by their defaults."""
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
    assert isinstance(document, dict)
    return document
