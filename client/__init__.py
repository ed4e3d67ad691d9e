"""Between a frame and its detections: sources, the Triton client, the pipelines, the split view."""
