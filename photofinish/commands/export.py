"""`photofinish export`: weights to a published model repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from photofinish.model_card import GIVEN_HEADS


@click.command()
@click.option(
    "--weights",
    default="demo",
    show_default=True,
    help="A .pt, .onnx or .yaml file, official weights such as yolo26n.pt, torchvision:resnet18, or demo.",
)
@click.option("--variant", "names", multiple=True, help="Only this variant (name or suffix); may be repeated.")
@click.option(
    "--head",
    type=click.Choice(GIVEN_HEADS),
    help="Layout of an .onnx file's output, where its shape and its answers on two photos leave it in doubt.",
)
@click.option(
    "--names",
    "names_file",
    type=click.Path(path_type=Path),
    help="Class names for an .onnx file: a data.yaml, or a text file with one a line.",
)
@click.option("--boxes-only", is_flag=True, help="Serve the boxes of segmentation or pose weights, and nothing else.")
@click.option("--classes", help='Words for open-vocabulary weights (YOLOE, YOLO-World): "helmet, forklift".')
@click.option(
    "--class-embeddings",
    type=click.Path(path_type=Path),
    help="Their embeddings: a .npz with names and embeddings [classes, 512].",
)
@click.option(
    "--text-encoder",
    type=click.Path(path_type=Path),
    help="Or the file that makes them: mobileclip2_b.ts for YOLOE-26, mobileclip_blt.ts for YOLOE-v8 and -11. A name "
    "of these that is no file here is fetched.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--gpus", default="all", show_default=True, help="GPUs that get instances: all, or e.g. 0,1.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="GPU architecture a TensorRT engine is built for, e.g. sm120 (RTX 50) or sm89 (RTX 40), also without that "
    "GPU; may be repeated. Default: this machine's GPU.",
)
@click.option("--input-size", type=click.IntRange(min=32), help="Side of the square input; default: as trained.")
@click.option("--calibration", type=click.Path(path_type=Path), help="Folder of your own pictures for INT8.")
@click.option("--model-name", help="Name of the model in the repository; default: from the weights' file name.")
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--staging", type=click.Path(path_type=Path), default=Path(".photofinish/staging"), show_default=True)
@click.option("--variants", "variants_path", type=click.Path(path_type=Path), help="Another variants.toml.")
@click.option("--data", type=click.Path(path_type=Path), help="Labelled pictures for the accuracy gate: a data.yaml.")
@click.option("--frames", help="Frames without labels for the gate: a folder or video. Default: the synthetic camera.")
@click.option("--gate/--no-gate", default=True, show_default=True, help="Measure accuracy before publishing.")
@click.option(
    "--accept-undecided",
    is_flag=True,
    help="Publish also where the gate could decide nothing, because no frame shows a box.",
)
@click.option(
    "--gate-frames", type=click.IntRange(min=1), help="Frames the gate looks at. Default: 120, or all of --data."
)
@click.option(
    "--kernels/--no-kernels",
    envvar="PHOTOFINISH_KERNELS",
    help="FP16 compiled for this NVIDIA GPU with kernels of Photofinish's own: some minutes of search, then faster.",
)
@click.option("--best", is_flag=True, help="Measure what was published and name the variant with the most FPS.")
@click.option("--p95-ms", type=click.FloatRange(min=0, min_open=True), help="The P95 that --best has to keep.")
@click.option(
    "--prune",
    type=float,
    metavar="SHARE",
    help="Make the network smaller first: take this share of each layer's channels out, e.g. 0.3, and fine-tune what "
    "is left on the train pictures of --data. The weights change, so the model gets a name of its own.",
)
@click.option(
    "--prune-pictures",
    type=click.Path(path_type=Path),
    help="A folder of pictures to fine-tune on instead; no labels are needed.",
)
@click.option("--prune-epochs", type=click.IntRange(min=1), default=30, show_default=True, help="Epochs at most.")
@click.option(
    "--prune-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="Minutes of fine-tuning at most.",
)
@click.option(
    "--prune-floor",
    type=click.FloatRange(0, 1),
    default=0.95,
    show_default=True,
    help="Share of the unpruned baseline's mAP50-95 to keep, times a variant's own floor.",
)
def export(**options: Any) -> None:
    """Make, check and publish the variants of a model.

    Every variant is measured against the FP32 baseline through a server. One that falls below its floor in
    variants.toml (min_map_share) is not published, and the command ends with exit code 3.
    """
    from photofinish.flows.export import ExportRequest, run_export

    run_export(ExportRequest(**options))
