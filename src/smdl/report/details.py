"""What the explorer shows of a checkpoint that was clicked: traces of its chains, its curve, its row of the audit."""

import json
import math
from collections import defaultdict
from typing import Any

import pandas as pd

from smdl.figures.style import COLOURS
from smdl.tables.study import POSTERIOR

MOST_DRAWS = 200
"""Of longer chains evenly spaced draws are shown."""
DIGITS = 4
CHECKPOINT = ["model", "step"]

DRAWING = {"width": 380, "height": 150, "data": {"name": "rows"}}
TRACES = {
    **DRAWING,
    "title": "its chains",
    "layer": [
        {
            "mark": {"type": "line", "strokeWidth": 0.8, "opacity": 0.8},
            "encoding": {
                "x": {"field": "draw", "type": "quantitative", "title": "draw (burn-in before 0)"},
                "y": {"field": "excess", "type": "quantitative", "title": "excess loss (nats)"},
                "detail": {"field": "chain"},
                "color": {"value": COLOURS[0]},
            },
        },
        {"mark": {"type": "rule", "strokeDash": [2, 2]}, "encoding": {"x": {"datum": 0}}},
    ],
}
CURVES = {
    **DRAWING,
    "title": "its curve",
    "layer": [
        {
            "mark": {"type": "line", "point": True, "strokeWidth": 1},
            "encoding": {
                "x": {"field": "coordinate", "type": "quantitative", "title": "level", "scale": {"zero": False}},
                "y": {"field": "delta_loss", "type": "quantitative", "title": "delta loss (nats)"},
                "color": {"value": COLOURS[0]},
            },
        },
        {"mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": {"y": {"field": "epsilon", "aggregate": "mean"}}},
    ],
}
SHOW = """
const show = async point => {
  const its = details[point.model]?.[point.step];
  if (!its) return;
  document.getElementById("of").textContent = point.model + ", step " + point.step;
  const trace = its.traces[point.setting] ?? {draws: [], chains: []}, curve = its.curves[point.curve] ?? [];
  const drawn = trace.chains.flatMap((own, chain) =>
    own.map((excess, i) => ({chain, excess, draw: trace.draws[i]})));
  curves.layer[0].encoding.x.title = "level (" + point.unit + ")";
  const levels = curve.map(([coordinate, delta_loss]) => ({coordinate, delta_loss, epsilon: point.epsilon}));
  for (const [place, drawing, rows] of [["#traces", traces, drawn], ["#curve", curves, levels]])
    await vegaEmbed(place, {...drawing, datasets: {rows}}, {actions: false, renderer: "svg"});
  document.getElementById("audit").replaceChildren(...Object.entries(its.audit).map(([name, value]) => {
    const row = document.createElement("tr"), head = document.createElement("th");
    head.textContent = name;
    row.append(head);
    row.insertCell().textContent = value ?? "";
    return row;
  }));
  document.getElementById("details").hidden = false;
};
"""


def details(draws: pd.DataFrame, curves: pd.DataFrame, audit: pd.DataFrame) -> dict[str, Any]:
    """By model and step: traces by setting, curves by scheme and variant, and the row of the audit.

    A trace holds the numbers of the draws and a list of excess losses (nats) per chain; a curve, pairs of a level's
    coordinate and its delta loss (nats), the mean over the seeds of its scheme.
    """
    found: dict[str, dict[int, dict[str, Any]]] = defaultdict(
        lambda: defaultdict(lambda: {"audit": {}, "traces": {}, "curves": {}})
    )
    for row in json.loads(audit.to_json(orient="records", double_precision=6)):
        found[row.pop("model")][row.pop("step")]["audit"] = row
    chains = draws[draws["kind"] == POSTERIOR].assign(excess=lambda own: own["loss"] - own["baseline"])
    for (model, step, setting), own in chains.groupby([*CHECKPOINT, "setting"]):
        by_draw = own.pivot_table(index="draw", columns="chain", values="excess").sort_index()
        by_draw = by_draw.iloc[:: max(math.ceil(len(by_draw) / MOST_DRAWS), 1)]
        found[model][step]["traces"][setting] = {
            "draws": by_draw.index.tolist(),
            "chains": [_short(by_draw[chain]) for chain in by_draw],
        }
    shown = curves.dropna(subset=["coordinate", "delta_loss"])
    for (model, step, scheme, variant), own in shown.groupby([*CHECKPOINT, "scheme", "variant"]):
        line = own.groupby("coordinate")["delta_loss"].mean()
        pairs = zip(_short(line.index.to_series()), _short(line), strict=True)
        found[model][step]["curves"][f"{scheme}, {variant}"] = list(map(list, pairs))
    return found


def _short(numbers: pd.Series) -> list[float | None]:
    return [float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None for number in numbers]
