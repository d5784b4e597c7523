"""Rule corpus: tokenise the text, cut it into blocks and deal them to the splits."""

from smdl.runtime.job import job

with job(snakemake, network=True) as this:
    from smdl.corpus.blocks import cut, read_tokens, save_blocks, split_rows
    from smdl.corpus.settings import SOURCES
    from smdl.tables.study import CORPUS

    corpus = SOURCES[this.settings["source"]](**this.settings)
    tokens, vocabulary, source = read_tokens(corpus)
    blocks, splits = cut(tokens, vocabulary, corpus.context, dict(corpus.blocks), this.seed)
    save_blocks(snakemake.output.blocks, blocks)
    this.write(snakemake.output.splits, CORPUS, split_rows(splits, source))
