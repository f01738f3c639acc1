"""Mean shift of 2,000 points in the plane, each of which climbs: ours and scikit-learn's."""

import numpy as np

N, BANDWIDTH = 2_000, 1.0


def points():
  """[N, 2] float64, twelve blobs that overlap."""
  rng = np.random.default_rng(0)
  centres = rng.uniform(-6, 6, (12, 2))
  return centres[rng.integers(0, 12, N)] + rng.normal(0, 0.8, (N, 2))


def ours():
  """In float64, as scikit-learn computes."""
  import jax
  import jax.numpy as jnp

  from gen_jax.models.meanshift import climb

  jax.config.update("jax_enable_x64", True)
  x = jnp.asarray(points())
  run = jax.jit(lambda x: climb(x, jnp.ones(N), x, jnp.float64(BANDWIDTH), "flat", 300))

  def work():
    return int(run(x)["kept"].sum())

  return {"version": f"jax {jax.__version__}", "parameters": 0, "examples": N}, work


def sklearn(jobs=None):
  from sklearn import __version__
  from sklearn.cluster import MeanShift

  x = points()

  def work():
    return len(MeanShift(bandwidth=BANDWIDTH, n_jobs=jobs).fit(x).cluster_centers_)

  name = "scikit-learn" if jobs is None else "scikit-learn, all cores,"
  return {"version": f"{name} {__version__}", "parameters": 0, "examples": N}, work


def sklearn_jobs():
  return sklearn(-1)
