from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import click

from photofinish.cli import cli
from photofinish.export.recipes.context import BuildContext
from tests.export.tensorrt.fixtures import INPUT_SIZE
from tests.export.tensorrt.variants import engine_variant


def test_rebuild_command_is_the_whole_command(context: BuildContext) -> None:
    """Every option that decides the engine is in it, and the command line knows each."""
    asked = replace(
        context,
        weights_spec="my weights.pt",
        targets=("sm120", "sm89"),
        model_name="cam",
        input_size=INPUT_SIZE,
        calibration=Path("scenes"),
    )
    command = asked.rebuild_command(engine_variant("int8"))
    assert command == (
        "photofinish export --weights 'my weights.pt' --variant trt_int8 --target sm120 --target sm89 "
        f"--model-name cam --input-size {INPUT_SIZE} --calibration scenes"
    )
    export = cli.get_command(click.Context(cli), "export")
    assert export is not None
    export.make_context("export", shlex.split(command)[2:])
    assert "--calibration" not in asked.rebuild_command(engine_variant("fp16"))
    assert context.rebuild_command(engine_variant()) == (
        f"photofinish export --weights {context.source.weights} --variant trt_fp16"
    )
