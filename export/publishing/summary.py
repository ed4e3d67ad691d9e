"""What `photofinish export` prints at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from photofinish.errors import ConfigError
from photofinish.export.publishing.staging import StagedVariant


def table_from_staged(staged: Sequence[StagedVariant]) -> str:
    """The parity table: one line per variant, compared with its source on real pictures."""
    header = ("variant", "precision", "contract", "parity with the source", "state")
    rows = [
        (
            item.variant.name,
            item.variant.precision,
            item.variant.contract,
            parity_text(item.card.parity),
            "rebuilt" if item.rebuilt else "fresh",
        )
        for item in staged
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    )


def parity_text(parity: Mapping[str, Any]) -> str:
    """The figures of a card's parity. INT8 may lose a weak box, which says nothing of the others: then no overlap."""
    if "boxes" in parity:
        overlap = f"IoU ≥ {parity['min_iou']:.3f}" if parity["min_iou"] > 0 else "not all found"
        points = f", keypoints ± {parity['max_point_error']:.2%}" if "max_point_error" in parity else ""
        return f"{parity['boxes']} boxes: {overlap}, confidence ± {parity['max_confidence_difference']:.2g}{points}"
    for key in ("max_raw_difference", "max_score_difference"):
        if key in parity:
            return f"largest difference {parity[key]:.2g}"
    return "not measured"


def gpus_from_text(text: str) -> tuple[int, ...]:
    """GPU numbers from `all` (every GPU: an empty tuple) or a list such as `0,1`."""
    if text == "all":
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise ConfigError(f"--gpus must be all or numbers such as 0,1, got {text!r}")
    return tuple(dict.fromkeys(int(part) for part in parts))
