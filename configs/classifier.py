"""Classifier: p(label | x), the feature extractor of the Frechet distance and a judge of samples.

Every run that is measured trains one by itself; this config trains and examines it alone.
"""

from gen_jax.config import experiment, merge, tiny, variant

DIGITS = dict(
  model=dict(optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=600)),
  data=dict(name="digits", batch_size=128),
  train=dict(steps=600, log_every=50, validate_every=200, checkpoint_every=200, best="nll"),
  measures=("likelihood",),
)

VARIANTS = {
  "digits": DIGITS,
  "mnist": merge(
    DIGITS,
    dict(
      model=dict(optimizer=dict(decay_steps=4000)),
      data=dict(name="tfds:mnist"),
      train=dict(steps=4000, log_every=100, validate_every=1000, checkpoint_every=1000),
    ),
  ),
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(width=4, features=8, optimizer=dict(decay_steps=8)),
      data=dict(batch_size=16),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.classifier.build", **variant(name, VARIANTS))
