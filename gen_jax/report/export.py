"""A trained model to give away: what it is, its weights, a card and a picture, in one folder.

`gen_jax.load` takes the folder as it takes that of a run. It holds no code and no checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gen_jax.data import is_text
from gen_jax.report.folder import read_run
from gen_jax.report.html.sections import about, figures, grids_of, value_of
from gen_jax.run import processes
from gen_jax.run.files import folder_in, read_bytes, write_bytes, write_json, write_text
from gen_jax.run.system import Trained
from gen_jax.run.weights import EXPORTED, write_weights

EXPORT = "export"


def export(trained: Trained) -> Path:
  """Writes <workdir>/export: config.json as the run has it, weights.safetensors, README.md with
  measured figures in the front matter that model hubs read, and grid.png, the run's last grid,
  where it has one."""
  workdir = trained.workdir
  folder = folder_in(workdir, EXPORT)
  write_weights(folder, trained)
  if processes.is_first():
    write_bytes(folder / "config.json", read_bytes(workdir / "config.json"))
    grids = grids_of(read_run(workdir))
    if grids:
      write_bytes(folder / "grid.png", read_bytes(grids[-1]))
    write_text(folder / "README.md", card(trained, bool(grids)))
    write_json(folder / EXPORTED, {"step": trained.step})
  return folder


def card(trained: Trained, grid: bool) -> str:
  """The model card: front matter as YAML, then what the model is, how it is loaded, its figures."""
  run = read_run(trained.workdir)
  what, name = about(run), trained.workdir.resolve().name
  of_step = {k: r for k, r in run.figures.items() if value_of(r) is not None}
  of_step = {k: r for k, r in of_step.items() if r.get("step") == trained.step}
  front = yaml.safe_dump(front_matter(trained, name, of_step), sort_keys=False, allow_unicode=True)
  lines = [f"---\n{front}---\n", f"# {name}\n", f"{what.summary}\n"]
  lines += ["![what the model made](grid.png)\n"] if grid else []
  lines.append(
    f"`{what.builder}` on `{what.data}`, {trained.step} steps, by gen_jax. With this folder:\n\n"
    "```python\nimport gen_jax\n\nmodel, state = gen_jax.load(FOLDER)\n```\n\n"
    "```\npython -m gen_jax.main --mode=sample --workdir FOLDER\n```\n"
  )
  if of_step:
    lines.append("| figure | value | standard error | of |\n|---|---|---|---|")
    rows = [row for row in figures(run) if row.name in of_step]
    lines += [f"| {row.name} | {row.value} | {row.error} | {row.of} |" for row in rows]
  return "\n".join(lines) + "\n"


def front_matter(trained: Trained, name: str, measured: Mapping[str, Any]) -> dict[str, Any]:
  """What model hubs read of a card: the library, tags, and figures as a `model-index`."""
  config, spec = trained.system.config, trained.spec
  family = config["builder"].split(".")[-2]
  image = trained.model.sample is not None and len(spec.shape) == 3
  task = "unconditional-image-generation" if image else "other"
  task = "text-generation" if is_text(spec.x) else task
  metrics = [
    {"type": k, "name": k, "value": float(r["value"])} for k, r in sorted(measured.items())
  ]
  data = {"name": config["data"]["name"], "type": config["data"]["name"]}
  result = {"task": {"type": task}, "dataset": data, "metrics": metrics}
  front = {"library_name": "gen_jax", "tags": ["jax", "flax", family], "pipeline_tag": task}
  if task == "other":
    del front["pipeline_tag"]
  return front | ({"model-index": [{"name": name, "results": [result]}]} if metrics else {})
