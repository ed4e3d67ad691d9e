"""The colours of actors' faces under the light of the moment."""

from __future__ import annotations

import numpy as np

from photofinish.synthetic.crowd import Crowd, Faces
from photofinish.synthetic.light import PEDESTAL, Light
from photofinish.synthetic.meshes import Paint
from photofinish.synthetic.palette import FIXED_PAINTS
from photofinish.synthetic.streets import Town
from photofinish.synthetic.viewpoint import Floats

LAMPS_ON = 0.2
"""How far street lamps are on when vehicles have their lights on."""
LAMP_GLARE = {Paint.HEADLIGHT: (225, 250, 255), Paint.AMBER: (90, 190, 255), Paint.TAIL_LIGHT: (50, 50, 225)}
BRAKE_GLARE = (60, 60, 255)


def face_colours(crowd: Crowd, faces: Faces, town: Town, light: Light) -> Floats:
    """Flat shading of every face, (f, 3) blue first, darkened by the sensor's pedestal."""
    table = np.empty((len(crowd.actors), len(Paint), 3))
    for fixed, colour in FIXED_PAINTS.items():
        table[:, fixed] = colour
    for index, actor in enumerate(crowd.actors):
        table[index, : len(actor.paints)] = actor.paints
    paint, shade = crowd.joined("paint")[faces.index], crowd.joined("shade")[faces.index]
    facing = np.maximum(faces.normal @ np.array(town.sun_xyz), 0.0)
    upwards = np.maximum(faces.normal[:, 2], 0)
    brightness = shade * (0.68 + 0.10 * upwards + (0.20 + 0.32 * light.sun) * facing)
    # Balls and two-sided faces have no normal.
    unlit = ~faces.normal.any(axis=1)
    brightness[unlit] = shade[unlit] * (0.80 + 0.21 * light.sun)
    colours: Floats = table[faces.owner, paint] * brightness[:, None] * np.array(light.gain_bgr)
    if light.lamps > LAMPS_ON:
        for lamp, glare in LAMP_GLARE.items():
            colours[paint == lamp] = glare
    braking = np.array([actor.brakes for actor in crowd.actors])
    colours[(paint == Paint.TAIL_LIGHT) & braking[faces.owner]] = BRAKE_GLARE
    shaded: Floats = np.clip(colours - PEDESTAL, 0, 255)
    return shaded
