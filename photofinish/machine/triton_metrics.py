"""What a Triton server counts, from the page it serves for Prometheus."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from photofinish.errors import ServerUnavailableError
from photofinish.machine.addresses import is_loopback

MAX_BYTES = 16 << 20
_LINE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One line of the page."""

    name: str
    labels: Mapping[str, str]
    value: float


def read_metrics(metrics_url: str, *, timeout_s: float = 3.0) -> tuple[Metric, ...]:
    """Everything on the page of `metrics_url` (host:port) now. Raises ServerUnavailableError."""
    # A proxy from the environment is not used for this machine itself.
    proxies = urllib.request.ProxyHandler({} if is_loopback(metrics_url) else None)
    try:
        with urllib.request.build_opener(proxies).open(f"http://{metrics_url}/metrics", timeout=timeout_s) as answer:
            text = answer.read(MAX_BYTES).decode(errors="replace")
    except (OSError, ValueError) as exc:
        raise ServerUnavailableError(f"no metrics at {metrics_url}: {exc}", url=metrics_url) from exc
    return tuple(metrics_from_text(text))


def metrics_from_text(text: str) -> Iterator[Metric]:
    """The metrics of a page in Prometheus' text format; lines that are none are passed over."""
    for line in text.splitlines():
        if not (found := _LINE.match(line)):
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        labels = {name: _ESCAPED.sub(_plain, escaped) for name, escaped in _LABEL.findall(found[2] or "")}
        yield Metric(name=found[1], labels=labels, value=value)


def sum_of(metrics: Iterable[Metric], name: str, **labels: str) -> float:
    """The values of that name and these labels, added up."""
    return sum(item.value for item in metrics if item.name == name and labels.items() <= item.labels.items())


def _plain(escaped: re.Match[str]) -> str:
    return "\n" if escaped[1] == "n" else escaped[1]
