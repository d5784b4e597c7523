"""The disk window: weights that are deleted after use are fetched no earlier than there is room for them."""


rule turn:
    """Let a checkpoint download once the one that is a window before it has been used by all."""
    input:
        ancient(users_before),
    output:
        touch("<results>/audit/turns/{model}/step{step}"),
    log:
        "<logs>/turn/{model}/step{step}.log",
    wildcard_constraints:
        model=of_models(lambda its: its.making and its.making.temporary),
    localrule: True
    conda:
        "../envs/analysis.yaml"
    shell:
        ": > {log:q}"
