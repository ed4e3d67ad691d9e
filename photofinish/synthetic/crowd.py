"""Several actors' meshes side by side in arrays, so that numpy handles them all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.synthetic.traffic import Actor
from photofinish.synthetic.viewpoint import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Several actors at once: where each stands (n, 3), its heading's cosine and sine, its size."""

    actors: list[Actor]
    place: Floats
    cos: Floats
    sin: Floats
    size: Floats

    def counts(self, field: str) -> list[int]:
        """How many rows each actor's mesh has of a field."""
        return [len(getattr(actor.mesh, field)) for actor in self.actors]

    def joined(self, field: str) -> npt.NDArray[Any]:
        """A field of all meshes, one after the other."""
        return np.concatenate([getattr(actor.mesh, field) for actor in self.actors])

    def owners(self, field: str) -> npt.NDArray[np.intp]:
        """The actor that each row of `joined(field)` belongs to."""
        return np.repeat(np.arange(len(self.actors)), self.counts(field))

    def indices(self, field: str, target: str) -> npt.NDArray[np.int64]:
        """An index field of all meshes, made to count through `joined(target)`."""
        starts = np.cumsum([0, *self.counts(target)])
        return np.concatenate([getattr(a.mesh, field) + at for a, at in zip(self.actors, starts, strict=False)])

    def turn(self, vectors: Floats, owner: npt.NDArray[np.intp]) -> Floats:
        """Vectors (n, 3) from their owners' axes to the world's."""
        cos, sin = self.cos[owner], self.sin[owner]
        x, y = vectors[:, 0], vectors[:, 1]
        return np.stack([x * cos - y * sin, x * sin + y * cos, vectors[:, 2]], axis=1)

    def to_world(self, points: Floats, owner: npt.NDArray[np.intp]) -> Floats:
        """Points (n, 3) of meshes where their owners stand."""
        world: Floats = self.turn(points, owner) * self.size[owner, None] + self.place[owner]
        return world


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """Faces to draw, in drawing order; index: place in the meshes' joined fields; low, high: their extents (f, 2)."""

    index: npt.NDArray[np.intp]
    owner: npt.NDArray[np.intp]
    corners: npt.NDArray[np.int64]
    normal: Floats
    low: Floats
    high: Floats
    radius_px: Floats
    is_decal: npt.NDArray[np.bool_]
