"""The interactive figure: critical level against LLC, with switches for scheme and tolerance."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from smdl.figures.style import COLOURS

CHECKPOINT = ["model", "step"]
CURVE = ["scheme", "variant", "epsilon"]
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")

HOVER = (
    "<b>%{customdata[0]}, step %{customdata[1]}</b><br>LLC %{x:.4g} ± %{customdata[2]:.2g} (%{customdata[4]})<br>"
    "critical level %{y:.4g} ± %{customdata[3]:.2g} %{customdata[6]} (%{customdata[5]})<br>"
    "LLC of the control %{customdata[7]:.4g}<br>loss %{customdata[8]:.4g} nats a token<extra></extra>"
)
SHOWN = ["model", "step", "llc_se", "level_se", "status_llc", "status", "unit", "control", "loss"]

# plotly's own menus cannot combine two choices, so that two <select> elements show and hide the traces.
SWITCHES = """
const figure = document.getElementById('{plot_id}');
const bar = document.createElement('div');
bar.style.cssText = 'font: 14px system-ui, sans-serif; padding: 8px 16px';
figure.before(bar);
function choice(name, label) {
  const values = [...new Set(figure.data.map(trace => trace.meta[name]))];
  const select = document.createElement('select');
  select.id = name;
  values.forEach(value => select.add(new Option(value)));
  const text = document.createElement('label');
  text.style.marginRight = '20px';
  text.append(label + ' ', select);
  bar.append(text);
  select.onchange = show;
  return select;
}
const scheme = choice('scheme', 'Scheme'), epsilon = choice('epsilon', 'Tolerance (nats)');
function show() {
  const chosen = figure.data.map(t => t.meta.scheme === scheme.value && String(t.meta.epsilon) === epsilon.value);
  const first = figure.data[chosen.indexOf(true)];
  const title = 'critical level' + (first ? ' (' + first.meta.unit + ')' : '');
  const layout = {'yaxis.title.text': title, 'xaxis.autorange': true, 'yaxis.autorange': true};
  Plotly.update(figure, {visible: chosen}, layout);
}
const start = figure.data.find(trace => trace.meta.headline) || figure.data[0];
if (start) { scheme.value = start.meta.scheme; epsilon.value = String(start.meta.epsilon); show(); }
"""


def draw(
    llc: pd.DataFrame,
    critical: pd.DataFrame,
    regressions: pd.DataFrame,
    headline: dict[str, Any],
    windows: dict[str, list[int]],
    admit: list[str],
) -> go.Figure:
    """Points and fitted line of every model, scheme, variant and tolerance; the headline's are shown first.

    Filled: in the regression's window and admitted; faint: outside the window; open: LLC not admitted.
    """
    points = critical.dropna(subset=["level"]).merge(llc, on=CHECKPOINT, suffixes=("", "_llc"))
    models = {model: i for i, model in enumerate(llc["model"].unique())}
    fits = regressions[regressions["window"] == "config"].set_index(["model", *CURVE])
    figure = go.Figure()
    for (scheme, variant, epsilon), group in points.groupby(CURVE, sort=False):
        named = {"scheme": scheme, "variant": variant, "epsilon": epsilon} == headline
        for model, own in group.groupby("model", sort=False):
            first = {
                "scheme": f"{scheme}, {variant}",
                "epsilon": epsilon,
                "unit": own["unit"].iloc[0],
                "headline": named,
            }
            look = {"meta": first, "visible": named, "legendgroup": model}
            figure.add_trace(_points(own, windows[model], admit, models[model], look))
            figure.add_trace(_line(own, fits.loc[(model, scheme, variant, epsilon)], models[model], look))
    figure.update_layout(
        template="plotly_white",
        xaxis_title="local learning coefficient (LLC)",
        margin={"t": 20},
        hoverlabel={"align": "left"},
    )
    return figure


def page(figure: go.Figure) -> str:
    """The figure as one HTML page with the library in it: nothing is loaded from elsewhere."""
    return figure.to_html(include_plotlyjs=True, post_script=SWITCHES, default_height="85vh", div_id="explorer")


def _points(own: pd.DataFrame, window: list[int], admit: list[str], number: int, look: dict) -> go.Scatter:
    inside, admitted = own["step"].between(*window), own["status_llc"].isin(admit)
    symbol = SYMBOLS[number % len(SYMBOLS)]
    return go.Scatter(
        x=own["llc"],
        y=own["level"],
        error_x={"array": own["llc_se"], "thickness": 1, "width": 0},
        error_y={"array": own["level_se"], "thickness": 1, "width": 0},
        mode="markers",
        name=own["model"].iloc[0],
        marker={
            "color": COLOURS[number % len(COLOURS)],
            "symbol": np.where(admitted, symbol, f"{symbol}-open").tolist(),
            "opacity": np.where(inside, 1.0, 0.35).tolist(),
            "size": 9,
        },
        customdata=own[SHOWN].astype(object).to_numpy(),
        hovertemplate=HOVER,
        **look,
    )


def _line(own: pd.DataFrame, fit: pd.Series, number: int, look: dict) -> go.Scatter:
    x = np.array([own["llc"].min(), own["llc"].max()])
    fitted = f"R² = {fit['r2']:.3f}" if np.isfinite(fit["slope"]) else "no fit"
    name = f"{fitted}, n = {fit['n']}, steps {fit['first']} to {fit['last']}"
    return go.Scatter(
        x=x,
        y=fit["intercept"] + fit["slope"] * x,
        mode="lines",
        name=name,
        line={"color": COLOURS[number % len(COLOURS)], "width": 1.5},
        hoverinfo="skip",
        **look,
    )
