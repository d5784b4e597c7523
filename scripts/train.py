"""Rule train: train a GPT-NeoX model and keep the checkpoints of the study."""

from pathlib import Path

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.compression.constraint import Constraint
    from smdl.compression.registry import build
    from smdl.corpus.blocks import load_split, read_splits
    from smdl.runtime.files import replacing_folder
    from smdl.sources.training import Architecture, TrainingSettings, new_model, train
    from smdl.tables.study import TRAINING

    splits = read_splits(snakemake.input.splits)
    blocks = load_split(snakemake.input.blocks, splits, "training")
    architecture = Architecture(
        **this.settings["architecture"], vocabulary=splits[0].vocabulary, context=splits[0].context
    )
    constraint = this.settings["constraint"]
    if constraint is not None:
        constraint = Constraint(**{**constraint, "scheme": build(*constraint["scheme"])})
    with replacing_folder(snakemake.output.weights) as folder:
        model = new_model(architecture, this.seed)
        settings = TrainingSettings(**this.settings["training"])
        losses = list(train(model, blocks, settings, this.settings["steps"], this.seed, Path(folder), constraint))
    rows = [{"model": snakemake.wildcards.model, "step": step, "loss": loss} for step, loss in losses]
    this.write(snakemake.output.losses, TRAINING, rows)
