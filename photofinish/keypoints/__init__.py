"""Keypoints: the named points of each detection."""
