"""Curves as SVG in the page's own colours, light or dark."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# What becomes the colour of the page's text.
INK = "#010203"
PALETTE = ("#3b82c4", "#d9822b", "#2f9e6e", "#c2477f", "#8a6fd1", "#9a8a2f", "#4aa5b8", "#b5523b")
MOST = 400  # points of a line


class Line(NamedTuple):
  """x: steps. y: values, of which those that are not finite are gaps."""

  label: str
  x: Sequence[float]
  y: Sequence[float]


class Chart(NamedTuple):
  """svg: the picture. alt: what it shows, in words."""

  svg: str
  alt: str


def lines_of(rows: Sequence[Mapping], term: str) -> tuple[list[float], list[float]]:
  """Steps and values of a term in rows of metrics.jsonl; of many, means of as many as it takes."""
  points = [(row["step"], number(row[term])) for row in rows if term in row]
  size = math.ceil(len(points) / MOST) or 1
  groups = [points[i : i + size] for i in range(0, len(points), size)]
  x = [group[-1][0] for group in groups]
  return x, [math.fsum(y for _, y in group) / len(group) for group in groups]


def number(value) -> float:
  """A value as a row holds it; NaN for what is none."""
  return float(value) if isinstance(value, int | float) else math.nan


def chart(title: str, lines: Sequence[Line]) -> Chart:
  """Values over steps; a legend names the lines where there are several, and a colour for each."""
  import matplotlib
  from matplotlib.figure import Figure

  style = {
    "svg.fonttype": "none", "svg.hashsalt": title, "font.size": 9, "text.color": INK,
    "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False,
  }  # fmt: skip
  with matplotlib.rc_context(style):
    figure = Figure(figsize=(4, 2.4), layout="constrained")
    axes = figure.add_subplot()
    for i, line in enumerate(lines):
      alone = len(line.x) == 1
      axes.plot(
        line.x, line.y, color=PALETTE[i % len(PALETTE)], marker="o" if alone else None,
        markersize=3, linewidth=1.3, label=line.label,
      )  # fmt: skip
    axes.grid(color=INK, alpha=0.15, linewidth=0.5)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("step")
    if 1 < len(lines) <= len(PALETTE):
      axes.legend(frameon=False, fontsize=8)
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
  svg = out.getvalue()
  return Chart(svg[svg.index("<svg") :].replace(INK, "currentColor"), told(title, lines))


def told(title: str, lines: Sequence[Line]) -> str:
  """A chart in words: where each line begins and ends."""
  parts = []
  for line in lines:
    finite = [y for y in line.y if math.isfinite(y)]
    name = f"{line.label}: " if len(lines) > 1 else ""
    ends = f"from {finite[0]:.4g} to {finite[-1]:.4g}" if finite else "no finite value"
    parts.append(f"{name}{ends}")
  return f"{title} over steps; {'; '.join(parts)}"
