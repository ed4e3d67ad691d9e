"""The shared vocabulary of Photofinish: frames, letterboxes, detections, variants, errors."""

__version__ = "0.1.0"
