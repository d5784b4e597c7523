"""The interactive figure: critical level against LLC, with switches for scheme and tolerance.

It is a Vega-Lite figure, and the libraries that draw it are those that come with Snakemake for its reports.
"""

import json
from string import Template
from typing import Any

import pandas as pd
from snakemake.assets import Assets

from smdl.figures.style import COLOURS
from smdl.report.details import CURVES, SHOW, TRACES
from smdl.report.offline import UNPACK, packed

CURVE = ["scheme", "variant", "epsilon"]
LIBRARIES = ("vega/vega.js", "vega-lite/vega-lite.js", "vega-embed/vega-embed.js")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Critical level against LLC</title>
<style>
body { font: 14px system-ui, sans-serif; margin: 1em } .vega-bind { display: inline-block; margin-right: 2em }
#figure { width: 95% } #figure.vega-embed .vega-bindings { position: static }
#details > div { display: flex; flex-wrap: wrap; gap: 2em; align-items: start }
#details th { text-align: left; font-weight: normal; color: #555; padding-right: 1em }
</style></head><body><div id="figure"></div>
<p>Hover over a point for its checkpoint; click it for its chains, its curve and what the audit found. Click a model in
the legend to see it alone, drag to move, turn the wheel to zoom, click twice to return. Faint: outside the regression's
window. Open: the LLC is not admitted to it.</p>
<div id="details" hidden><h3 id="of"></h3><div><div id="traces"></div><div id="curve"></div>
<table id="audit"></table></div></div>
<script>$unpack
const traces = $traces, curves = $curves;
let details;
$show
(async () => {
  for (const library of await Promise.all([$libraries])) {
    const script = document.createElement("script");
    script.textContent = library;
    document.head.append(script);
  }
  const figure = JSON.parse(await $figure);
  details = JSON.parse(await $details);
  const actions = {source: false, compiled: false, editor: false};
  const {view} = await vegaEmbed("#figure", figure, {actions, renderer: "svg"});
  view.addEventListener("click", (event, item) => item?.datum?.model && show(item.datum));
})();
</script></body></html>
""")


def page(figure: dict[str, Any], details: dict[str, Any]) -> str:
    """The figure and the ``details`` of its points as one HTML page with the libraries in it.

    Nothing is loaded from elsewhere.
    """
    return PAGE.substitute(
        unpack=UNPACK,
        libraries=", ".join(packed(Assets.get_content(name)) for name in LIBRARIES),
        figure=packed(json.dumps(figure)),
        details=packed(json.dumps(details, separators=(",", ":"))),
        show=SHOW,
        traces=json.dumps(TRACES),
        curves=json.dumps(CURVES),
    )


def draw(points: pd.DataFrame, regressions: pd.DataFrame) -> dict[str, Any]:
    """The Vega-Lite specification: points with standard errors and the fitted line of each model over its window.

    Every model, scheme, variant and tolerance is in it; the headline's are shown first.
    """
    models = points["model"].unique().tolist()
    points = _points(points)
    curves = points["curve"].unique().tolist()
    units = points.drop_duplicates("curve").set_index("curve")["unit"].to_dict()
    settings = points["setting"].unique().tolist()
    places = pd.concat([points[points["headline"]], points])[["curve", "epsilon", "setting"]]
    shown = places.to_numpy().tolist() or [["", 0, ""]]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": "container",
        "height": 460,
        "params": [
            _switch("curve", "Scheme ", curves, shown[0][0]),
            _switch("tolerance", "Tolerance (nats) ", sorted(points["epsilon"].unique()), shown[0][1]),
            _switch("setting", "Setting of the sampler ", settings, shown[0][2]),
        ],
        "title": {"text": {"expr": f"curve + ': critical level (' + {json.dumps(units)}[curve] + ') against LLC'"}},
        "datasets": {"points": _records(points), "lines": _ends(points, regressions)},
        "encoding": {"color": _colour(models)},
        "layer": [
            {**CHOSEN, "data": {"name": "lines"}, **LINES},
            *({**CHOSEN, "data": {"name": "points"}, **_bars(axis)} for axis in ("x", "y")),
            {**CHOSEN, "data": {"name": "points"}, **_marks(models)},
        ],
        "config": {"view": {"stroke": None}, "axis": {"gridColor": "#e6e6e6"}},
    }


def _points(points: pd.DataFrame) -> pd.DataFrame:
    points = points.dropna(subset=["coordinate", "llc"])
    return points.assign(
        curve=points["scheme"] + ", " + points["variant"],
        **{
            f"{name}_{end}": points[name] + sign * points[f"{name}_se"]
            for name in ("llc", "coordinate")
            for end, sign in ENDS
        },
    )


SWITCHED = ("model", "setting", "epsilon")
ENDS = (("low", -1), ("high", 1))
SHOWN = [
    *("model", "step", "setting", "curve", "epsilon", "llc", "llc_se", "llc_low", "llc_high", "llc_status"),
    *("coordinate", "coordinate_se", "coordinate_low", "coordinate_high", "unit", "status", "control", "loss"),
    *("in_window", "admitted"),
]


def _records(points: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(points[SHOWN].to_json(orient="records", double_precision=6))


def _ends(points: pd.DataFrame, regressions: pd.DataFrame) -> list[dict[str, Any]]:
    """Both ends of every fitted line, over the points that it was fitted to."""
    key = ["model", "setting", *CURVE]
    fits = regressions[regressions["window"] == "config"].dropna(subset=["slope"]).set_index(key)
    fitted = points[points["in_window"] & points["admitted"]]
    rows = []
    for name, own in fitted.groupby(key, sort=False):
        if name in fits.index:
            fit = fits.loc[name]
            told = f"R² = {fit['r2']:.3f}, n = {fit['n']}, steps {fit['first']} to {fit['last']}"
            named = dict(zip(key, name, strict=True))
            common = {"curve": own["curve"].iloc[0], "fit": told, **{at: named[at] for at in SWITCHED}}
            ends = (own["llc"].min(), own["llc"].max())
            rows += [{**common, "llc": x, "coordinate": fit["intercept"] + fit["slope"] * x} for x in ends]
    return rows


def _switch(name: str, label: str, options: list, value: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "bind": {"input": "select", "options": options, "name": label}}


def _colour(models: list[str]) -> dict[str, Any]:
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(models))]
    return {"field": "model", "type": "nominal", "scale": {"domain": models, "range": colours}}


def _axis(name: str, title: str) -> dict[str, Any]:
    return {"field": name, "type": "quantitative", "title": title, "scale": {"zero": False}}


X = _axis("llc", "local learning coefficient (LLC)")
Y = _axis("coordinate", "critical level")


SHOWN_NOW = "datum.curve === curve && datum.epsilon === tolerance && datum.setting === setting"
CHOSEN = {"transform": [{"filter": SHOWN_NOW}]}
LINES = {
    "mark": {"type": "line", "strokeWidth": 1.5},
    "encoding": {"x": X, "y": Y, "tooltip": [{"field": "model"}, {"field": "fit"}]},
}


def _bars(axis: str) -> dict[str, Any]:
    name = {"x": "llc", "y": "coordinate"}[axis]
    ends = {axis: {**{"x": X, "y": Y}[axis], "field": f"{name}_low"}, f"{axis}2": {"field": f"{name}_high"}}
    return {
        "mark": {"type": "rule", "opacity": 0.5},
        "encoding": {"x": X, "y": Y, **ends},
    }


def _marks(models: list[str]) -> dict[str, Any]:
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(models))]
    numbers = {
        "llc": "LLC",
        "llc_se": "± (LLC)",
        "control": "control",
        "coordinate": "critical level",
        "coordinate_se": "± (level)",
    }
    texts = {"unit": "unit", "llc_status": "status of the LLC", "status": "status of the level"}
    return {
        "params": [
            {"name": "alone", "select": {"type": "point", "fields": ["model"]}, "bind": "legend"},
            {"name": "view", "select": "interval", "bind": "scales"},
        ],
        "mark": {"type": "point", "size": 70},
        "encoding": {
            "x": X,
            "y": Y,
            "shape": {"field": "model", "type": "nominal", "scale": {"domain": models, "range": shapes}},
            "fill": {"condition": {"test": "datum.admitted", **_colour(models)}, "value": "white"},
            "opacity": {
                "condition": {"test": {"and": ["datum.in_window", {"param": "alone"}]}, "value": 1},
                "value": 0.3,
            },
            "tooltip": [
                {"field": "model"},
                {"field": "step", "type": "quantitative"},
                *({"field": f, "type": "quantitative", "format": ".4g", "title": t} for f, t in numbers.items()),
                {"field": "loss", "type": "quantitative", "format": ".4g", "title": "loss (nats per token)"},
                *({"field": f, "title": t} for f, t in texts.items()),
            ],
        },
    }
