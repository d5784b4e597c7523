"""Tables of the 1993 experiment."""

from smdl.tables import FLAG, INTEGER, NUMBER, TEXT, Column, Table

DATASET = Column("dataset", INTEGER, "number of the synthetic data set; the config's seed plus it is its seed")

HINTON_RUNS = Table(
    "hinton_runs",
    "Every run of the experiment of Hinton and van Camp (1993).",
    ("dataset", "method", "restart"),
    (
        DATASET,
        Column("method", TEXT, "how the model was trained"),
        Column("restart", INTEGER, "number of the initial weights; the config's seed plus it is their seed"),
        Column("chosen", FLAG, "whether the run has the least training cost of its method's restarts"),
        Column("penalty", NUMBER, "coefficient of the squared weights, where the method has one"),
        Column("weight_bits", NUMBER, "mixture bound of KL(Q || P), summed over the weights", "bits"),
        Column("misfit_bits", NUMBER, "N/2 log2 of the expected squared error; 0 for guessing the mean", "bits"),
        Column("total_bits", NUMBER, "weight_bits plus misfit_bits", "bits"),
        Column("training_relative_error", NUMBER, "squared error over that of guessing the mean, training cases"),
        Column("test_relative_error", NUMBER, "squared error over that of guessing the mean, test cases"),
    ),
)

HINTON_WEIGHTS = Table(
    "hinton_weights",
    "Noisy weights of the run with the least description length.",
    ("dataset", "kind", "unit", "input"),
    (
        DATASET,
        Column("kind", TEXT, "incoming, hidden_bias, outgoing or output_bias"),
        Column("unit", INTEGER, "hidden unit"),
        Column("input", INTEGER, "input, for an incoming weight"),
        Column("mean", NUMBER, "mean of the weight"),
        Column("std", NUMBER, "standard deviation of the weight"),
    ),
)

HINTON_PRIOR = Table(
    "hinton_prior",
    "The learned mixture-of-Gaussians coding prior of the same run.",
    ("dataset", "component"),
    (
        DATASET,
        Column("component", INTEGER, "number of the Gaussian"),
        Column("proportion", NUMBER, "mixing proportion"),
        Column("mean", NUMBER, "mean"),
        Column("std", NUMBER, "standard deviation"),
    ),
)

HINTON = Table(
    "hinton",
    "Test error of every method, over the data sets.",
    ("method",),
    (
        Column("method", TEXT, "how the model was trained"),
        Column("datasets", INTEGER, "number of data sets"),
        Column("test_relative_error", NUMBER, "mean over the data sets, chosen runs"),
        Column("test_relative_error_low", NUMBER, "lower end of the 95 % t interval"),
        Column("test_relative_error_high", NUMBER, "upper end of the 95 % t interval"),
        Column("median", NUMBER, "median over the data sets"),
        Column("weight_bits", NUMBER, "mean description length of the weights", "bits"),
        Column("total_bits", NUMBER, "mean description length of weights and misfits", "bits"),
        Column("published", NUMBER, "relative error printed in 1993, on the original data"),
    ),
)
