"""Figures out of the records under results/, by expressions that people can read.

`h100_bridge_yolo26n.comparison.optimised.gain_p50` is a figure of an arm of a section of a record of perf;
a section's blanks are written `_`, and `section(model=…, concurrency=1)` chooses an arm by what it is.
`h100_bridge_eager.rows(batch=8).p50_ms` is a value of any other JSON file: attributes go into objects, keywords choose
from lists; an attribute of a list is its item of a name that ends so, else that attribute of each of its items.
`+ - * /` and the functions below work on them.
"""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from re import escape, findall, search, sub
from typing import Any, Literal

from photofinish.percentiles import nearest_rank
from photofinish.perf.formatting import MISSING, number
from photofinish.perf.judge.claims import claim_of
from photofinish.perf.judge.findings import Findings, SectionFindings, findings_from_record
from photofinish.perf.judge.summary import ArmSummary
from photofinish.perf.record.record import read_record
from photofinish.perf.statistics import Interval

NO_DIFFERENCE = "no difference shown"
"""What stands in the place of a gain whose interval holds 1."""
_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def _values(items: Any) -> list[Any]:
    return list(items.values()) if isinstance(items, dict) else list(items)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sum": lambda items: sum(_values(items)),
    "min": lambda items: min(_values(items)),
    "max": lambda items: max(_values(items)),
    "len": len,
    "said": lambda lines, phrase: _number_after(lines, phrase),
    "flat": lambda items: _flat(items),
    "rank": lambda items, share: nearest_rank(_flat(items), share),
}


def _flat(items: Any) -> list[Any]:
    return [value for item in items for value in _flat(item)] if isinstance(items, list) else [items]


def _number_after(lines: list[str], phrase: str) -> float:
    """The number behind a phrase in the first line of a log that has it."""
    return next(float(found[1]) for line in lines if (found := search(rf"{escape(phrase)} ([\d.]+)", line)))


@dataclass(frozen=True, slots=True)
class _Arm:
    """An arm of a section, whose figures are attributes: times in ms but for stages (µs), memory in MiB."""

    found: SectionFindings
    summary: ArmSummary

    def figure(self, name: str) -> Any:
        item = self.summary
        kind, _, key = name.partition("_")
        if kind in ("gain", "step"):
            return self._claimed(kind, {"fps": "frames_per_s", "memory": "gpu_memory"}.get(key, key))
        if name in item.latency:
            return _divided(item.latency[name], 1e6)
        if name.startswith("stage_"):
            return next(row for row in self.found.stages if row.arm is item.arm).stage_us[name[6:]]
        if name == "total":
            return next(row for row in self.found.stages if row.arm is item.arm).total_us
        plain: dict[str, Callable[[], Any]] = {
            "fps": lambda: item.frames_per_s,
            "memory": lambda: _divided(item.gpu_memory_bytes, 2**20),
            "queue": lambda: _divided(item.queue_us, 1e3),
            "compute": lambda: _divided(item.compute_us, 1e3),
            "accuracy": lambda: item.arm.accuracy,
            "map": lambda: item.arm.accuracy.get("map50_95"),
            "map_share": lambda: item.arm.accuracy.get("map_share"),
            "power": lambda: item.gpu_power_w,
            "requests": lambda: item.requests,
            "first_block": lambda: _first_median_ms(item),
        }
        return plain[name]()

    def _claimed(self, kind: Literal["gain", "step"], figure: str) -> Any:
        """What may be claimed: its interval, or only the ratio; a sentence where no difference was shown."""
        if self.summary.is_first:
            return 1.0 if kind == "gain" else None
        claim = claim_of(self.found.claims, kind, figure, self.summary.arm)
        if claim is None or claim.value is None:
            return None
        if claim.reasons:
            raise ValueError(f"the {figure} of {self.summary.arm.key} is INVALID in its record: do not quote it")
        return claim.interval or claim.value if claim.shows_difference else NO_DIFFERENCE


def _first_median_ms(item: ArmSummary) -> float:
    return float(nearest_rank(item.blocks[0].samples.latency_ns, 0.5)) / 1e6


def _divided(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


class Evidence:
    """The records of a folder, each read once."""

    def __init__(self, folder: Path) -> None:
        """folder: holds NAME.json and NAME.json.gz."""
        self._folder = folder
        self._document = cache(self._read)

    def value(self, expression: str, names: Mapping[str, str]) -> Any:
        """What an expression amounts to. names: shorter words for longer expressions. Raises LookupError and others."""
        return self._evaluated(ast.parse(expression, mode="eval").body, names)

    def _read(self, name: str) -> Any:
        if (packed := self._folder / f"{name}.json.gz").is_file():
            return findings_from_record(read_record(packed))
        return json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))

    def _evaluated(self, node: ast.expr, names: Mapping[str, str]) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.value(names[node.id], names) if node.id in names else self._document(node.id)
        if isinstance(node, ast.Tuple):
            return tuple(self._evaluated(item, names) for item in node.elts)
        if isinstance(node, ast.BinOp):
            sides = (self._evaluated(side, names) for side in (node.left, node.right))
            return _OPERATORS[type(node.op)](*(item.estimate if isinstance(item, Interval) else item for item in sides))
        if isinstance(node, ast.Attribute):
            return _attribute(self._evaluated(node.value, names), node.attr)
        if isinstance(node, ast.Subscript):
            key = self._evaluated(node.slice, names)
            value = self._evaluated(node.value, names)
            return value[key] if isinstance(value, (list, dict)) else _attribute(value, key)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
            return _FUNCTIONS[node.func.id](*(self._evaluated(item, names) for item in node.args))
        if isinstance(node, ast.Call):
            wanted = {item.arg or "": self._evaluated(item.value, names) for item in node.keywords}
            return _chosen(self._evaluated(node.func, names), wanted)
        raise LookupError(f"{ast.unparse(node)} is none of what tests/docs/evidence.py reads")


def _attribute(value: Any, name: str) -> Any:
    if isinstance(value, Findings):
        named = {item.section.name.replace(" ", "_"): item for item in value.sections}
        return named[name.replace(" ", "_")] if name != "harness" else value.record.harness
    if isinstance(value, SectionFindings):
        return next(_Arm(value, item) for item in value.summaries if name in (item.arm.key, item.arm.model))
    if isinstance(value, _Arm):
        return value.figure(name)
    if isinstance(value, list):
        named = [item for item in value if isinstance(item, dict) and str(item.get("name", "")).endswith(f"_{name}")]
        return named[0] if len(named) == 1 else [_attribute(item, name) for item in value]
    return value[name] if isinstance(value, dict) else getattr(value, name)


def _chosen(value: Any, wanted: Mapping[str, Any]) -> Any:
    """The only item of a list, or arm of a section, that has these values; with `all`, every such item."""
    wants_all, wanted = "all" in wanted, {key: want for key, want in wanted.items() if key != "all"}
    if isinstance(value, SectionFindings):
        items: list[Any] = [_Arm(value, item) for item in value.summaries]
        found = [item for item in items if all(getattr(item.summary.arm, key) == want for key, want in wanted.items())]
    else:
        found = [item for item in value if all(item.get(key) == want for key, want in wanted.items())]
    if wants_all:
        return found
    if len(found) != 1:
        raise LookupError(f"{len(found)} items have {dict(wanted)}, one must")
    return found[0]


def shown(figure: str, value: Any) -> str:
    """The figure with the value in place of its numbers: digits as they stand, three where three stand.

    An interval fills three numbers: `2.10× [1.95, 2.24]`; one number of it is its estimate. A pair fills two.
    """
    if value is None or isinstance(value, str):
        return value or MISSING
    texts = findall(_NUMBER, figure)
    if not texts:
        return number(value.estimate if isinstance(value, Interval) else value)
    values: list[float] = list(value) if isinstance(value, tuple) else [value]
    if isinstance(value, Interval):
        values = [value.estimate, value.low, value.high]
    if len(values) < len(texts):
        raise ValueError(f"{figure!r} has {len(texts)} numbers, its record gives {len(values)}")
    left = iter(zip(texts, values, strict=False))
    return sub(_NUMBER, lambda _: _as_it_stands(*next(left)), figure)


def _as_it_stands(text: str, value: float) -> str:
    plain = text.replace(",", "")
    decimals = len(plain.partition(".")[2])
    fixed = f"{value:,.{decimals}f}" if "," in text else f"{value:.{decimals}f}"
    if text in (fixed, number(value)):
        return text
    return number(value) if len(plain.replace(".", "").lstrip("0")) == 3 else fixed
