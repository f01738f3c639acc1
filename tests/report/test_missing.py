"""Measures that cannot be taken: refused before training where it can be known, else told."""

import importlib
import json

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import config as configs
from gen_jax.app import sweep
from gen_jax.core import Field, Model, Spec, UserError
from gen_jax.data import ArraySplit, Source
from gen_jax.report import measures
from gen_jax.report.compare import compare
from gen_jax.report.judge import Judge
from gen_jax.report.results import results
from gen_jax.run.files import write_json
from gen_jax.run.folder import digest_of
from gen_jax.run.system import system_of
from tests.report import made

SPEC = Spec.of((2,), None, 3)
MODEL = Model(
  init=None, update=None,
  evaluate=lambda states, batch, keys: {
    "nll": jnp.sum(batch["x"], -1), "log": jnp.log(batch["x"][:, 0]),
  },
  sample=lambda states, keys, cond: jnp.zeros((len(keys), 2)),
  encode=lambda states, x, keys, cond: x, decode=lambda states, z, cond: z,
  log_prob=lambda states, x, keys, cond: x[:, 0], predict=lambda states, x: x,
)  # fmt: skip


def points(n, **fields):
  x = np.random.default_rng(n).random((n, 2)).astype(np.float32)
  return ArraySplit({"x": x, "label": np.arange(n, dtype=np.int32) % 3, **fields})


def source(spec=SPEC, notes=(), **sizes):
  splits = {name: points(n) for name, n in ({"train": 30, "test": 9} | sizes).items() if n}
  return Source("points", spec, splits, dict(notes))


def refusal(name, data, settings):
  """What `check` says of one measure."""
  settings.config["measures"] = (name,)
  with pytest.raises(UserError) as error:
    measures.check(made.trained(MODEL, data, settings).system)
  assert "\n" not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize(
  "name,sizes,data,settings,message",
  [
    ("prdc", {"test": 4}, {}, {"neighbours": 5},
      "prdc needs more examples of each set than config.evaluate.neighbours=5, and the split test"
      " has 4"),
    ("prdc", {"test": 5}, {}, {"neighbours": 5}, "the split test has 5"),
    ("prdc", {}, {}, {"neighbours": 5, "samples": 5}, "and config.evaluate.samples is 5"),
    ("frechet", {"test": 1}, {}, {}, "frechet needs two examples or more of each set, and the"),
    ("frechet", {"train": 1}, {}, {}, "the split train has 1"),
    ("frechet", {}, {}, {"samples": 1}, "config.evaluate.samples is 1"),
    ("memorisation", {}, {}, {"split": "train"}, "not learnt from: set config.evaluate.split"),
    ("outliers_by_density", {}, {"only": (0, 1, 2)}, {}, "a class that config.data.only leaves"),
    ("outliers_by_error", {"validation": 9}, {"only": (0,)}, {"split": "validation"},
      "needs config.evaluate.split=test"),
  ],
)  # fmt: skip
def test_what_can_be_known_is_refused_before_training(name, sizes, data, settings, message):
  assert message in refusal(name, source(**sizes), made.settings(data, **settings))


def test_specs_say_what_they_lack():
  three = SPEC._replace(fields={**SPEC.fields, "group": Field((), 2)})
  assert "two classes and two groups" in refusal("fairness", source(three), made.settings())
  single = {"channels": source(test=0)}
  assert "needs a test split" in refusal(
    "channel_modes", source(notes=single), made.settings()
  )  # fmt: skip


@pytest.mark.parametrize("n,samples", [(6, 6), (9, 40)])
def test_what_is_just_enough_is_not_refused(n, samples):
  settings = made.settings(neighbours=5, samples=samples)
  settings.config["measures"] = ("prdc", "frechet", "memorisation")
  measures.check(made.trained(MODEL, source(test=n), settings).system)


@pytest.mark.parametrize(
  "name,refused,taken",
  [
    ("vqvae", ("health", "disentanglement"), ("code_use",)),
    ("vae", ("health", "code_use"), ("active_units", "disentanglement")),
    ("gan", (), ("health",)),
    ("pacgan", (), ("health",)),
    ("cgan", (), ("health",)),
  ],
)
def test_codes_and_games_are_known_from_the_shapes_alone(name, refused, taken, mesh):
  spec = Spec.of((8, 8, 1), 17, 10, factors=Field((2,), 4))
  rng = np.random.default_rng(0)
  arrays = {
    "x": rng.integers(17, size=(20, 8, 8, 1)).astype(np.uint8),
    "label": np.arange(20, dtype=np.int32) % 10,
    "factors": rng.integers(4, size=(20, 2)).astype(np.int32),
  }
  data = Source("pixels", spec, {name: ArraySplit(arrays) for name in ("train", "test")})
  parsed = configs.parse(importlib.import_module(f"configs.{name}").get_config("tiny"))
  system = system_of(configs.build(parsed.config, spec), data, parsed, mesh)
  for measure in (*refused, *taken):
    system.config["measures"] = (measure,)
    if measure in refused:
      with pytest.raises(UserError, match=f"the measure {measure} "):
        measures.check(system)
    else:
      measures.check(system)


def blind(source, name):
  """A judge whose features are not finite."""
  return Judge(lambda x: np.zeros(len(x), int), lambda x: np.full((len(x), 2), np.nan), 1 / 3)


def test_one_measure_that_fails_leaves_the_others(mesh, capsys):
  data = source()
  data.splits["test"] = points(9)
  data.splits["test"].arrays()["x"][0, 0] = 0  # whose logarithm is infinite
  scene = made.scene(MODEL, data, made.settings(), blind, mesh=mesh)
  found = measures.take(("likelihood", "prdc", "frechet", "memorisation", "code_use"), scene)
  json.dumps(found, allow_nan=False)
  assert np.isfinite(found["nll"]["value"])
  assert found["log"]["value"] is None and found["log"]["standard_error"] == "nan"
  assert found["log"]["why"] == "1 of 9 examples have a value that is not finite"
  for figure in ("precision", "recall", "density", "coverage", "frechet_distance"):
    assert found[figure]["value"] is None and "the features hold NaN" in found[figure]["why"]
  assert found["nearest_train_ratio"]["value"] > 0
  assert "discrete codes" in found["codes_used"]["why"]
  lines = [measures.line(figure, record) for figure, record in found.items()]
  assert any(line.startswith("nll ") and "9 of test" in line for line in lines)
  assert any(line.split() [:3] == ["precision", "-", "missing:"] for line in lines)  # fmt: skip


def test_numbers_of_every_kind_become_json():
  record = {
    "value": np.float32(0.5), "shares": np.array([0.5, np.nan]), "n": np.int64(3), "flag": True,
    "nested": {"a": [np.inf, 1]}, "none": None, "says": "so",
  }  # fmt: skip
  assert json.loads(json.dumps(measures.finite_record(record), allow_nan=False)) == {
    "value": 0.5, "shares": [0.5, "nan"], "n": 3, "flag": True, "nested": {"a": ["inf", 1]},
    "none": None, "says": "so",
  }  # fmt: skip
  assert measures.finite_record({"value": float("inf")})["why"] == "it came to inf"


def run(folder, **figures):
  folder.mkdir()
  config = {"builder": "gen_jax.models.vae.build", "data": {"name": "digits"}}
  record = {"config": config, "spec": {}, "specs": [], "sizes": {}, "data": [], "fingerprint": "f"}
  write_json(folder / "config.json", record | {"digest": digest_of(record)})
  write_json(folder / "evaluation.json", figures)
  return folder


def test_readers_of_figures_say_what_is_missing(tmp_path):
  there = {"value": 0.5, "examples": 9, "split": "test", "step": 8}
  gone = {"value": None, "why": "too few | of them", "split": "test", "step": 8}
  a = run(tmp_path / "a", precision=there, nll=there)
  b = run(tmp_path / "b", precision=gone, nll=there)
  rows = [line.split() for line in compare([a, b]).splitlines() if line.startswith("precision")]
  assert ["precision", "0.5", "-"] in rows
  assert any(row[:4] == ["precision", "·", "why", "-"] and "few" in row for row in rows)
  results(tmp_path / "results.md", [a, b])
  page = (tmp_path / "results.md").read_text()
  assert "| precision | - |  | missing: too few / of them | 8 |" in page
  rows = sweep.table({(("seed", "0"),): a, (("seed", "1"),): b})
  assert rows[0]["figures"]["precision"] == {"mean": None, "values": [0.5, None]}
  assert sweep.markdown(rows).splitlines()[-1] == "| 2 | - | 0.5 ± 0 |"


def test_a_figure_taken_with_other_options_says_so_in_its_line():
  record = {"value": 1.0, "examples": 3, "split": "test", "options": {"candidates": 8}}
  assert measures.line("f", record).endswith("3 of test, candidates 8")
  assert measures.line("f", record | {"says": "so"}).endswith("so, candidates 8")
