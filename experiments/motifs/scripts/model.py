"""Rule model: one model of the experiment on motifs, trained in its arm and measured."""

from smdl.runtime.job import job

with job(snakemake) as this:
    import torch

    from smdl.corpus.blocks import load_split, read_splits
    from smdl.experiments.motifs.arms import Arm
    from smdl.experiments.motifs.runs import Blocks, run
    from smdl.experiments.motifs.settings import Mosaics
    from smdl.experiments.motifs.tables import COMPLEXITY, ERRORS, MODELS
    from smdl.foundation.files import replacing

    torch.set_num_threads(snakemake.threads)
    own, splits = snakemake.wildcards, read_splits(snakemake.input.splits)
    parts = (load_split(snakemake.input.blocks, splits, name) for name in ("training", "evaluation", "sampling"))
    settings, arm = Mosaics(seed=this.seed, **this.settings["common"]), Arm(**this.settings["arm"])
    found = run(settings, own.architecture, arm, int(own.seed), Blocks(*parts, splits[0].vocabulary))
    with replacing(snakemake.output.file) as temporary:
        temporary.write_bytes(found.file)
    this.write(snakemake.output.complexity, COMPLEXITY, found.complexity)
    this.write(snakemake.output.errors, ERRORS, found.errors)
    this.write(snakemake.output.models, MODELS, found.models)
