"""Gaussian discriminant analysis: Bayes' rule over one Gaussian for each class.

Source: Bishop 2006, section 4.2; Friedman 1989 (regularised discriminant analysis).

  python -m gen_jax.main --config configs/gda.py         1 minute on two cores
      accuracy 0.986 (359 test digits), sample_accuracy 0.997 (1500 samples)
  python -m gen_jax.main --config configs/gda.py:mnist   10 minutes beside other work
      accuracy 0.958, 7.44 bits/dim (10,000 test digits)
"""

from gen_jax.config import experiment, merge, tiny, variant

# train.steps is the number of passes times the batches in one: ceil(examples / data.batch_size).
DIGITS = dict(
  model=dict(shrinkage=0.003),
  data=dict(name="digits", batch_size=432, remainder="pad"),
  train=dict(steps=3, log_every=3, sample_every=3, checkpoint_every=3),
  measures=("likelihood", "anomaly", "sample_accuracy"),
)

VARIANTS = {
  "digits": DIGITS,
  "mnist": merge(
    DIGITS,
    dict(
      model=dict(shrinkage=0.05),
      data=dict(name="tfds:mnist", batch_size=1000, validation=0.0),
      train=dict(steps=60, log_every=60, sample_every=60, checkpoint_every=60),
      evaluate=dict(batch_size=1000),
      measures=("likelihood", "anomaly"),
    ),
  ),
  "tiny": tiny(
    DIGITS,
    dict(
      train=dict(steps=12, log_every=3, sample_every=12, checkpoint_every=6),
      measures=("likelihood", "anomaly"),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.gda.build", **variant(name, VARIANTS))
