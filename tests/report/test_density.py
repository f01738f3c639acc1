"""The KL of a known density from a model's, against a closed form."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy import stats

from gen_jax.core import Model, Spec, UserError
from gen_jax.data import ArraySplit, Source
from gen_jax.report import measures
from tests.report import made


def scene(shift, log_density, n=4000):
  rng = np.random.default_rng(0)
  splits = {name: ArraySplit({"x": rng.normal(size=(n, 2))}) for name in ("train", "test")}
  log_prob = lambda states, x, keys, cond: norm.logpdf(x - jnp.array([shift, 0.0])).sum(-1)
  model = Model(None, None, None, log_prob=log_prob)
  source = Source("made", Spec.of((2,)), splits, {"log_density": log_density})
  return made.scene(model, source, made.settings(batch_size=500))


def exact(x):
  return stats.norm.logpdf(x).sum(-1)


def test_kl_of_shifted_gaussians():
  kl = measures.take(("kl",), scene(0.6, exact))["kl"]
  # KL = shift^2 / 2; log p - log q is linear in x, with deviation `shift`.
  assert kl["standard_error"] == pytest.approx(0.6 / 4000**0.5, rel=0.05)
  assert abs(kl["value"] - 0.18) < 4 * kl["standard_error"]
  assert abs(kl["of_gaussian_fit"]) < 0.01
  assert measures.take(("kl",), scene(0.0, exact))["kl"]["value"] == pytest.approx(0, abs=1e-6)


def test_kl_needs_a_known_density():
  made_scene = scene(0.0, exact)
  system = made_scene.system._replace(source=made_scene.source._replace(notes={}))
  system.config["measures"] = ("kl",)
  with pytest.raises(UserError, match="needs data with known log_density"):
    measures.check(system)


def test_the_gap_of_a_bound_is_that_to_the_data_s_density():
  found = scene(0.0, exact)
  bound = lambda states, batch, keys: {"bound": -norm.logpdf(batch["x"]).sum(-1) + 0.3}
  found.model = Model(None, None, bound)
  gap = measures.take(("bound_gap",), found)["bound_gap"]
  assert gap["value"] == pytest.approx(0.3, abs=1e-5) and gap["standard_error"] < 1e-6
  found = scene(0.0, exact)
  found.model = Model(None, None, lambda states, batch, keys: {"nll": batch["x"][:, 0]})
  assert "no bound" in measures.take(("bound_gap",), found)["bound_gap"]["why"]
