"""Gaussian mixture, by EM from k-means++ seeds.

Source: Dempster, Laird & Rubin 1977; Bishop 2006, section 9.2.

  python -m gen_jax.main --config configs/gmm.py   12 s on two cores
      nll 2.8316 nats on 8gaussians (100,000 test points; the entropy is 2.832)

  python -m gen_jax.main --config configs/gmm.py:mnist   29 minutes beside other work
      5.67 bits/dim (10,000 test digits)

`mixture` is of twenty Gaussians in 8 dimensions (`--config.data.name=mixture:64`: in 64).
`digits` 2.67 bits/dim, `digits_diagonal` 2.85 (359 test digits, uniform dequantisation).
"""

from gen_jax.config import experiment, merge, tiny, variant

# train.steps is the number of passes times the batches in one: ceil(examples / data.batch_size).
POINTS = dict(
  model=dict(components=8),
  data=dict(name="toy2d:8gaussians", batch_size=10_000, remainder="pad"),
  train=dict(
    steps=200, steps_per_call=10, log_every=10, validate_every=50, sample_every=200,
    checkpoint_every=50,
  ),
  evaluate=dict(batch_size=10_000),
  measures=("likelihood", "anomaly"),
)  # fmt: skip

DIGITS = merge(
  POINTS,
  dict(
    model=dict(components=10, floor=1e-4),
    data=dict(name="digits", batch_size=432),
    train=dict(
      steps=90, steps_per_call=3, log_every=3, validate_every=15, sample_every=90,
      checkpoint_every=30,
    ),
    evaluate=dict(batch_size=128),
    measures=("likelihood", "frechet", "prdc", "memorisation", "anomaly"),
  ),
)  # fmt: skip

VARIANTS = {
  "8gaussians": POINTS,
  "mixture": merge(
    POINTS,
    dict(
      model=dict(components=20), data=dict(name="mixture:8"), measures=("likelihood", "kl"),
    ),
  ),
  "digits": DIGITS,
  "digits_diagonal": merge(DIGITS, dict(model=dict(covariance="diagonal"))),
  "mnist": merge(
    DIGITS,
    dict(
      model=dict(components=10, floor=1e-3),
      data=dict(name="tfds:mnist", batch_size=1000, validation=0.0),
      train=dict(
        steps=60 * 10, steps_per_call=1, log_every=60, validate_every=0, sample_every=300,
        checkpoint_every=60,
      ),
      evaluate=dict(batch_size=500),
      measures=("likelihood", "anomaly"),
    ),
  ),
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(components=3),
      train=dict(
        steps=12, steps_per_call=1, validate_every=6, sample_every=12, checkpoint_every=6
      ),
      measures=("likelihood", "anomaly"),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  return experiment("gen_jax.models.gmm.build", **variant(name, VARIANTS))
