"""What the command line does with a run folder that there is: sample, evaluate, use, export."""

from __future__ import annotations

import ast
import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gen_jax import config as configs
from gen_jax import data
from gen_jax.app import sweep
from gen_jax.app.training import take_measures
from gen_jax.core import Field, Spec, UserError
from gen_jax.report import measures
from gen_jax.report.export import EXPORT
from gen_jax.report.export import export as export_to_folder
from gen_jax.report.html import write_report
from gen_jax.report.stablehlo import write_sampler
from gen_jax.report.uses import USES, Use
from gen_jax.run import pictures, replay, sample
from gen_jax.run.conditions import captions, conditions, parse_given
from gen_jax.run.files import check_writable, folder_in, write_arrays, write_json, write_text
from gen_jax.run.folder import locked, recorded
from gen_jax.run.load import opened, restore
from gen_jax.run.setup import set_up
from gen_jax.run.system import Trained, check_digests
from gen_jax.schema import OPTIONS


def config_of(workdir: Path) -> dict:
  """The config that a run folder holds."""
  return recorded(workdir)[1].config


def draw(
  config: Mapping, workdir: Path, *, n: int, seed: int, given: Mapping[str, str], checkpoint: str
) -> int:
  """Draws n samples into <workdir>/samples: a picture, the arrays, and how they came to be.

  Args:
    config: of the run, with the sampling options wanted.
    workdir: the run folder.
    n, seed: how many, and of which seed.
    given: conditions by name, as text.
    checkpoint: newest or best.
  """
  trained = opened(config, workdir, checkpoint)
  check_writable(workdir, "samples")
  cond, values = asked(trained, workdir, n, given)
  model, spec, system = trained.model, trained.spec, trained.system
  take = taker(trained, seed)
  x = take(sample.compiled(model.sample, system.mesh), n=n, cond=cond)
  options = name_of(dict(given) | other_options(workdir, system.config, checkpoint))
  folder = folder_in(workdir, "samples")
  name = f"seed{seed}-n{n}" + (options and f"-{options}")
  write_arrays(folder / f"{name}.npz", {"x": x, **cond})
  pictures.show(folder / f"{name}.png", x, spec.levels, math.ceil(math.sqrt(n)))
  files = ["npz", "png"]
  if text := captions(spec, cond):
    write_text(folder / f"{name}.txt", text)
    files.append("txt")
  if model.trajectory is not None:
    shown = min(n, 64)
    frames = take(
      sample.compiled(model.trajectory, system.mesh), n=shown, axis=1,
      cond={k: v[:shown] for k, v in cond.items()},
    )  # fmt: skip
    pictures.show_gif(folder / f"{name}.gif", frames, spec.levels, math.ceil(math.sqrt(shown)))
    files.append("gif")
  told = {"n": n, "seed": seed, "cond": dict(given), "checkpoint": checkpoint, "step": trained.step}
  write_json(folder / f"{name}.json", told | {"sample": system.config["sample"]})
  print(f"{n} samples{said(spec, values, given)}: {folder}/{name}.{{{','.join(files)}}}")
  return 0


def draw_each(
  config: Mapping, workdir: Path, sweeps: Sequence[str], *, n: int, seed: int,
  given: Mapping[str, str], checkpoint: str,
) -> int:  # fmt: skip
  """Draws the same n samples with each combination of options of sampling: a picture with a row for
  each sample and a column for each combination, and the arrays [n, columns, ...].

  Args:
    sweeps: texts sample.OPTION=VALUE,VALUE,...
    The others: see `draw`.

  Raises:
    UserError: for a field that is no option of sampling, or a value that it does not take.
  """
  fields, columns = sweep.parse(sweeps), []
  for name in fields:
    if not name.startswith("sample."):
      raise UserError(f"--sweep={name}: with --mode=sample it takes options such as sample.steps")
  choices, config = sweep.choices(fields), configs.parse(config).config
  for choice in choices:
    options = {name.removeprefix("sample."): read_value(text) for name, text in choice}
    trained = opened(configs.merge(config, {"sample": options}), workdir, checkpoint)
    check_writable(workdir, "samples")
    cond, values = asked(trained, workdir, n, given)
    drawer = sample.compiled(trained.model.sample, trained.system.mesh)
    columns.append(taker(trained, seed)(drawer, n=n, cond=cond))
  folder, x = folder_in(workdir, "samples"), np.stack(columns, axis=1)
  swept = {name.removeprefix("sample."): ",".join(texts) for name, texts in fields.items()}
  name = f"seed{seed}-n{n}-{name_of(dict(given) | swept)}"
  write_arrays(folder / f"{name}.npz", {"x": x, **cond})
  rows = x.reshape(-1, *x.shape[2:])
  pictures.show(folder / f"{name}.png", rows, trained.spec.levels, len(columns))
  told = {"n": n, "seed": seed, "cond": dict(given), "checkpoint": checkpoint}
  told |= {"step": trained.step, "columns": [dict(choice) for choice in choices]}
  write_json(folder / f"{name}.json", told)
  text = "; ".join(", ".join("=".join(pair) for pair in choice) for choice in choices)
  print(f"{n} samples{said(trained.spec, values, given)}, in columns {text}: {folder}/{name}.png")
  return 0


def read_value(text: str) -> Any:
  """A value of an option as it is written in Python, else the text itself."""
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def taker(trained: Trained, seed: int) -> Callable[..., np.ndarray]:
  """Draws of a trained system with the keys of a seed."""
  system = trained.system
  return functools.partial(
    sample.draw, states=trained.states, key=sample.sample_keys(seed), mesh=system.mesh,
    chunk=sample.chunk_size(system.experiment.evaluate.batch_size, system.mesh),
  )  # fmt: skip


def asked(
  trained: Trained, workdir: Path, n: int, given: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """What each of n samples is conditioned on, and the values of the conditions given as text.

  Raises:
    UserError: if the model cannot be sampled, or a text is no value of its condition.
  """
  model, spec, system = trained.model, trained.spec, trained.system
  if model.sample is None:
    raise UserError(f"{workdir} holds a model that cannot be sampled")
  values = parse_given(model, spec, given)
  split = None
  if set(model.cond) - {"label"} - values.keys():
    source = data.load(**system.experiment.data)
    check_digests([source.digest], recorded(workdir, [system.config["builder"]])[0], workdir)
    splits = source.splits
    split = splits.get(system.experiment.evaluate.split, splits["train"])
  return conditions(model, spec, n, split=split, given=values, spread=True), values


def other_options(workdir: Path, config: Mapping, checkpoint: str) -> dict:
  """The options that are not those that the run folder records."""
  before = recorded(workdir, allow=(config["builder"],))[1].config
  given = {} if checkpoint == "newest" else {"checkpoint": checkpoint}
  for group in OPTIONS:
    given |= {k: v for k, v in config[group].items() if v != before[group].get(k)}
  return given


def name_of(options: Mapping) -> str:
  """Options as a part of a file's name: what is made with others has another name."""
  return "-".join(f"{name}{safe(str(value))}" for name, value in options.items())


def safe(text: str) -> str:
  """A text as a part of a file's name; where that says less than the text, with its digest."""
  name = "".join(c if c.isalnum() or c in ".,-" else "_" for c in text)[:60]
  return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def said(spec: Spec, values: Mapping[str, np.ndarray], given: Mapping[str, str]) -> str:
  """The conditions that were given, by name where they have names; where a text is the name of one
  value and the number of another, both."""
  parts = []
  for name, value in values.items():
    names, text = spec.fields[name].names, given[name]
    if names and not spec.fields[name].shape:
      parts.append(f"{name} {int(value)} is {names[int(value)]!r}")
      if text.isdecimal() and int(text) < len(names) and names[int(text)] != text in names:
        parts.append(f"taken by name; {name} number {int(text)} is {names[int(text)]!r}")
  return f" ({', '.join(parts)})" if parts else ""


def evaluate(config: Mapping, workdir: Path, *, checkpoint: str) -> int:
  """Takes the measures again.

  Raises:
    UserError: if the run has not come to its last stage.
  """
  system = set_up(config)
  measures.check(system)
  recorded(workdir, allow=(system.config["builder"],))
  with locked(workdir):
    system.claim(workdir, write=False)
    states, step = restore(system, workdir, checkpoint)
    count = len(system.program.stages)
    if len(states) < count:
      raise UserError(f"{workdir} is at stage {len(states)} of {count}: train it further")
    others = other_options(workdir, system.config, "newest")
    take_measures(Trained(system, states, workdir, step), checkpoint, others)
  return 0


def replay_failure(config: Mapping, workdir: Path) -> int:
  """Replays the failure that a run stopped at."""
  system = set_up(config)
  recorded(workdir, allow=(system.config["builder"],))
  with locked(workdir):
    system.claim(workdir, write=False)
    said = replay.replay(system, workdir)
  print(said)
  return 0


def use(
  config: Mapping, workdir: Path, mode: str, *, n: int, given: Mapping[str, str], checkpoint: str,
  input: str | None = None,
) -> int:  # fmt: skip
  """Runs one of the modes that show what a trained model is for.

  Args:
    config: of the run.
    workdir: the run folder.
    mode: one of USES.
    n: how many examples or samples.
    given: conditions by name, as text.
    checkpoint: newest or best.
    input: a file or folder of examples to read instead of the evaluation split.

  Raises:
    UserError: if the model lacks what the mode needs.
  """
  trained = opened(config, workdir, checkpoint, data=True)
  check_writable(workdir, mode)
  missing = [name for name in USES[mode].needs if getattr(trained.model, name) is None]
  if missing:
    raise UserError(f"--mode={mode} needs a model with {', '.join(missing)}; {workdir} has none")
  inputs, stride = None, trained.model.stride
  if input is not None:
    if not USES[mode].reads:
      raise UserError(f"--mode={mode} reads no --input: it goes over the data of the run")
    field = given_field(trained) if mode == "transform" else trained.spec.x
    tokens = trained.system.experiment.data["tokens"]
    stride = stride if mode in ("transform", "predict") else 0
    inputs = data.read_input(input, field, stride, tokens)
  values = parse_given(trained.model, trained.spec, given)
  apart = name_of(dict(given) | other_options(workdir, trained.system.config, checkpoint))
  print(USES[mode].run(Use(trained, n, inputs, values, apart)))
  return 0


def given_field(trained: Trained) -> Field:
  """What `transform` is given: x as `observe` makes it of the data, in its shape."""
  model = trained.model
  x = trained.spec.field(model.given)
  if model.observe is None:
    return x
  one = jax.ShapeDtypeStruct((1, *x.shape), x.dtype)
  keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
  fields = {name: trained.spec.field(name) for name in model.cond}
  cond = {name: jax.ShapeDtypeStruct((1, *f.shape), f.dtype) for name, f in fields.items()} or None
  made = jax.eval_shape(model.observe, trained.states, one, keys, cond)
  return x._replace(shape=made.shape[1:])


def export(config: Mapping, workdir: Path, *, checkpoint: str, format: str = "weights") -> int:
  """Writes <workdir>/export, a folder that `gen_jax.load` takes, to be given away; as `stablehlo`
  with the compiled sampler besides, which runs without gen_jax.

  Raises:
    UserError: if a sampler is asked for that there is none of.
  """
  trained = opened(config, workdir, checkpoint)
  check_writable(workdir, EXPORT)
  if format == "stablehlo" and trained.model.sample is None:
    raise UserError(f"--format=stablehlo: {workdir} holds a model that cannot be sampled")
  print(f"export: {export_to_folder(trained)}")
  if format == "stablehlo":
    print(f"sampler: {write_sampler(trained)}")
  return 0


def report(workdir: Path) -> int:
  """Writes <workdir>/report.html of what the run folder holds, finished or not."""
  check_writable(workdir)
  print(f"report: {write_report(workdir)}")
  return 0
