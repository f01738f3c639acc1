"""AE: deep autoencoder with squared error.

Source: Hinton & Salakhutdinov 2006; `mnist` is its 784-1000-500-250-30 network.
"""

from gen_jax.run.config import experiment, merge, variant

DIGITS = dict(
  model=dict(
    latent=5, hidden=(256, 128), optimizer=dict(schedule="cosine", decay_steps=3000)
  ),
  data=dict(name="digits", batch_size=128),
  train=dict(
    steps=3000, steps_per_call=50, log_every=100, validate_every=500, checkpoint_every=500,
    best="squared_error",
  ),
  measures=("likelihood",),
)  # fmt: skip

MNIST = merge(
  DIGITS,
  dict(
    model=dict(latent=30, hidden=(1000, 500, 250), optimizer=dict(decay_steps=18_000)),
    data=dict(name="tfds:mnist", validation=0.0),
    train=dict(steps=18_000, log_every=500, validate_every=0, checkpoint_every=2000, best=""),
    evaluate=dict(batch_size=200),
  ),
)

VARIANTS = {
  "digits": DIGITS,
  "mnist": MNIST,
  "conv": merge(
    MNIST,
    dict(
      model=dict(widths=(32, 64), hidden=(256,), optimizer=dict(decay_steps=4000)),
      train=dict(steps=4000, steps_per_call=1),
    ),
  ),
  "tiny": merge(
    DIGITS,
    dict(
      model=dict(latent=3, hidden=(8,), optimizer=dict(decay_steps=8)),
      data=dict(batch_size=16),
      train=dict(steps=8, steps_per_call=1, log_every=2, validate_every=4, checkpoint_every=4),
      evaluate=dict(batch_size=40),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.ae.build", **variant(name, VARIANTS))
