"""PCA: principal components as a probabilistic model; eigenfaces.

Source: Tipping & Bishop 1999 (Probabilistic PCA); Turk & Pentland 1991 (eigenfaces).

  python -m gen_jax.main --config configs/pca.py         half a minute on two cores
      squared_error 0.733, 3.49 bits/dim (359 test digits, uniform dequantisation)
  python -m gen_jax.main --config configs/pca.py:mnist   2 minutes
      squared_error 13.87 with 30 components (10,000 test digits; `ae:mnist` has 3.83)
  python -m gen_jax.main --config configs/pca.py:faces --config.data.path=att_faces.zip   2 minutes
      pictures/components.png: the mean face's departures in light, hair, glasses, beard
  python -m gen_jax.main --config configs/pca.py:outliers --sweep data.only='(0,),(1,),...,(9,)'
      one digit is learnt, the other nine are outliers; 7 minutes for all ten:
      mean auroc_error 0.957, mean auroc_density 0.957 with 30 components
"""

from gen_jax.config import experiment, merge, tiny, variant

# train.steps is the number of passes times the batches in one: ceil(examples / data.batch_size).
DIGITS = dict(
  model=dict(components=16),
  data=dict(name="digits", batch_size=432, remainder="pad"),
  train=dict(steps=3, log_every=3, sample_every=3, checkpoint_every=3),
  measures=("likelihood", "anomaly"),
)

VARIANTS = {
  "digits": DIGITS,
  "mnist": merge(
    DIGITS,
    dict(
      model=dict(components=30),
      data=dict(name="tfds:mnist", batch_size=1000, validation=0.0),
      train=dict(steps=60, log_every=60, sample_every=60, checkpoint_every=60),
      evaluate=dict(batch_size=1000),
    ),
  ),
  "outliers": merge(
    DIGITS,
    dict(
      model=dict(components=30),
      data=dict(name="tfds:mnist", batch_size=1000, validation=0.0, only=(0,)),
      train=dict(steps=7, log_every=7, sample_every=7, checkpoint_every=7),
      evaluate=dict(batch_size=1000),
      measures=("likelihood", "outliers_by_error", "outliers_by_density"),
    ),
  ),
  "faces": merge(
    DIGITS,
    dict(
      model=dict(components=50, method="em"),
      data=dict(name="folder", resolution=64, batch_size=128),
      train=dict(steps=300, log_every=15, sample_every=300, checkpoint_every=300),
      sample=dict(noise=False),
      measures=("likelihood",),
    ),
  ),
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(components=4),
      train=dict(steps=12, log_every=3, sample_every=12, checkpoint_every=6),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.pca.build", **variant(name, VARIANTS))
