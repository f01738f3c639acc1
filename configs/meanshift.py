"""Mean shift: clusters are the modes of a kernel density, of which there are as many as there are.

Source: Fukunaga & Hostetler 1975; Comaniciu & Meer 2002.

  launch/run.sh --config configs/meanshift.py             eight Gaussians in the plane
  launch/run.sh --config configs/meanshift.py:gaussian    the same with a Gaussian kernel
  launch/run.sh --config configs/meanshift.py:digits      scikit-learn's digits
"""

from gen_jax.config import experiment, merge, tiny, variant

# train.steps is the number of passes times the batches in one: ceil(examples / data.batch_size).
FLAT = dict(
  model=dict(quantile=0.05, seeds=200),
  data=dict(name="toy2d:8gaussians", batch_size=2000, remainder="pad"),
  train=dict(steps=40 * 50, steps_per_call=50, log_every=50, checkpoint_every=500),
  measures=("likelihood", "code_use"),
)

VARIANTS = {
  "flat": FLAT,
  "gaussian": merge(FLAT, dict(model=dict(kernel="gaussian", bandwidth=0.3))),
  "digits": merge(
    FLAT,
    dict(
      model=dict(quantile=0.02, seeds=0),
      data=dict(name="digits", validation=0.0),
      train=dict(steps=60, steps_per_call=1, log_every=1, checkpoint_every=30),
    ),
  ),
  "tiny": tiny(
    FLAT,
    dict(
      model=dict(seeds=8),
      data=dict(name="digits", batch_size=432),
      train=dict(steps=12, steps_per_call=1, checkpoint_every=6),
    ),
  ),
}


def get_config(name: str = "flat"):
  """The config of a variant."""
  return experiment("gen_jax.models.meanshift.build", **variant(name, VARIANTS))
