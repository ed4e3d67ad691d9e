"""Which served model a user means."""

from __future__ import annotations

from collections.abc import Mapping

from photofinish.errors import ModelNotFoundError


def choose_model(roles: Mapping[str, str], wanted: str | None, *, where: str) -> str:
    """A model's name from its full name or suffix (`onnx_fp16`); without one the first whose role is optimised.

    roles: model name to role ("" where unknown), in the order of preference. where: the server or repository, for
    the ModelNotFoundError that lists what there is.
    """
    available = ", ".join(roles) or "nothing"
    if wanted is None:
        if not roles:
            raise ModelNotFoundError(f"{where} has no model; run `photofinish export` first", url=where)
        return next((name for name, role in roles.items() if role == "optimised"), next(iter(roles)))
    if wanted in roles:
        return wanted
    found = [name for name in roles if name.endswith(f"_{wanted}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise ModelNotFoundError(f"{wanted} fits {', '.join(found)} at {where}; give the full name", model=wanted)
    raise ModelNotFoundError(f"unknown variant {wanted}; {where} has {available}", model=wanted, url=where)
