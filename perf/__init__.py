"""Load, measurement, accuracy, statistics and reports."""
