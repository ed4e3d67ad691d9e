"""The two pipelines, by the role of a variant."""

from __future__ import annotations

from client.baseline import BaselinePipeline
from client.frame_result import DropCause, FrameCount, FrameResult, PipelineObserver
from client.optimised import OptimisedPipeline

__all__ = ["BaselinePipeline", "DropCause", "FrameCount", "FrameResult", "OptimisedPipeline", "PipelineObserver"]
