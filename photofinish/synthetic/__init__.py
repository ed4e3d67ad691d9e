"""The synthetic camera: toy traffic with exact boxes, from numpy and OpenCV alone."""

from photofinish.synthetic.camera import SyntheticCamera
from photofinish.synthetic.traffic import CLASS_NAMES

__all__ = ["CLASS_NAMES", "SyntheticCamera"]
