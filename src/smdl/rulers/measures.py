"""Every measure of complexity of every checkpoint, in one long table for the table of rulers."""

import pandas as pd

from smdl.tables.study import CHECKPOINT


def measures(
    checkpoints: pd.DataFrame,
    llc: pd.DataFrame,
    admit: list[str],
    coding: pd.DataFrame | None = None,
    two_part: pd.DataFrame | None = None,
    bits_back: pd.DataFrame | None = None,
    proxies: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Rows (model, step, measure, value) from the study's tables; those that are switched off are None.

    An LLC whose status is not one of ``admit`` is left out, and its control with it.
    """
    admitted = llc[llc["status"].isin(admit)]
    parts = [
        _melted(checkpoints, {"loss": "loss", "norm": "norm", "parameters": "parameters"}),
        _melted(admitted, {"llc": "llc", "control": "llc control", "llc_minus_control": "llc minus control"}),
    ]
    if coding is not None:
        parts.append(
            _named(
                coding,
                "bits a parameter, " + coding["code"] + " at " + coding["levels"].astype(str),
                "bits_per_parameter",
            )
        )
    if two_part is not None:
        least = two_part[two_part["choice"] == "least total"]
        parts.append(_named(least, "two-part total, " + least["code"], "total_bits"))
    if bits_back is not None:
        parts.append(_melted(bits_back, {"weight_bits": "bits back", "total_bits": "bits back, total"}))
    if proxies is not None:
        parts.append(_named(proxies, proxies["proxy"], "value"))
    return pd.concat(parts, ignore_index=True)


def _melted(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    chosen = table[[*CHECKPOINT, *names]].rename(columns=names)
    return chosen.melt(CHECKPOINT, var_name="measure", value_name="value").astype({"value": float})


def _named(table: pd.DataFrame, measure: pd.Series, value: str) -> pd.DataFrame:
    return table[CHECKPOINT].assign(measure=measure, value=table[value].astype(float))
