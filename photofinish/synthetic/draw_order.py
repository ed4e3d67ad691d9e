"""In which order actors are drawn, so that nearer ones cover farther ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from photofinish.synthetic.streets import Town
from photofinish.synthetic.traffic import Actor
from photofinish.synthetic.viewpoint import Floats


def draw_ranks(actors: list[Actor], town: Town) -> npt.NDArray[np.intp]:
    """Rank of each actor, 0 is drawn first.

    Farther actors come first, except where the edge of a footprint separates two actors: then the one on the
    camera's side comes later, whatever their distances say. That keeps long buses right.
    """
    place = np.array([actor.position_xy for actor in actors])
    eye = np.array(town.view.position[:2])
    distance = np.hypot(*(place - eye).T)
    behind = _behind_matrix(actors, place, eye)
    waiting = behind.sum(axis=0).tolist()
    nearer = [np.flatnonzero(row).tolist() for row in behind]
    # Farthest first; actors as far as each other keep their order.
    left = np.argsort(-distance, kind="stable").tolist()
    ranks = np.empty(len(actors), dtype=np.intp)
    for rank in range(len(actors)):
        following = next((actor for actor in left if waiting[actor] <= 0), left[0])
        left.remove(following)
        ranks[following] = rank
        for actor in nearer[following]:
            waiting[actor] -= 1
    return ranks


def _behind_matrix(actors: list[Actor], place: Floats, eye: Floats) -> npt.NDArray[np.bool_]:
    """Entry (i, j): i must be drawn before j, because an edge of one of them separates i from j and the camera."""
    heading = np.array([actor.heading_rad for actor in actors])
    size = np.array([actor.size for actor in actors])
    bounds = np.array([actor.mesh.footprint for actor in actors]) * size[:, None]
    axes = np.stack([np.stack([np.cos(heading), np.sin(heading)], 1), np.stack([-np.sin(heading), np.cos(heading)], 1)])
    picks = bounds[:, [[0, 2], [0, 3], [1, 2], [1, 3]]]
    corners = place[:, None] + picks[..., :1] * axes[0][:, None] + picks[..., 1:] * axes[1][:, None]
    behind = np.zeros((len(actors), len(actors)), dtype=np.bool_)
    for axis, (low, high) in zip(axes, ((0, 1), (2, 3)), strict=True):
        offset = (axis @ corners.reshape(-1, 2).T).reshape(len(actors), len(actors), 4)
        offset -= (place * axis).sum(axis=1)[:, None, None]
        camera = ((eye - place) * axis).sum(axis=1)
        for sign, bound in ((1.0, bounds[:, high]), (-1.0, -bounds[:, low])):
            beyond = (offset * sign).min(axis=2) >= bound[:, None] - 0.02
            camera_beyond = camera * sign >= bound
            behind |= (beyond & ~camera_beyond[:, None]).T
            behind |= beyond & camera_beyond[:, None]
    np.fill_diagonal(behind, False)
    return behind & ~behind.T
