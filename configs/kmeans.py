"""k-means: Lloyd's algorithm from greedy k-means++ seeds.

Source: Lloyd 1982; Arthur & Vassilvitskii 2007 (k-means++).

  python -m gen_jax.main --config configs/kmeans.py         half a minute on two cores
      inertia 2.675 an image (359 test digits, pixels in [0, 1])
  python -m gen_jax.main --config configs/kmeans.py:mnist   2 minutes
      inertia 30.74 (10,000 test digits)
"""

from gen_jax.config import experiment, merge, tiny, variant

# train.steps is the number of passes times the batches in one: ceil(examples / data.batch_size).
DIGITS = dict(
  model=dict(clusters=10),
  data=dict(name="digits", batch_size=432, remainder="pad"),
  train=dict(steps=90, steps_per_call=3, log_every=3, checkpoint_every=30),
  measures=("likelihood",),
)

VARIANTS = {
  "digits": DIGITS,
  "mnist": merge(
    DIGITS,
    dict(
      model=dict(clusters=50),
      data=dict(name="tfds:mnist", batch_size=2000, validation=0.0),
      train=dict(steps=30 * 50, steps_per_call=30, log_every=30, checkpoint_every=300),
      evaluate=dict(batch_size=1000),
    ),
  ),
  "tiny": tiny(
    DIGITS,
    dict(model=dict(clusters=4), train=dict(steps=12, steps_per_call=1, checkpoint_every=6)),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.kmeans.build", **variant(name, VARIANTS))
