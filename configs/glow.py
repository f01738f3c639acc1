"""Glow: an exact density of images, by ActNorm, 1x1 convolutions and couplings at several scales.

Source: Kingma & Dhariwal 2018 (arXiv:1807.03039). Grey levels go through the logit of
configs/realnvp.py, with whose figures Glow's stand to be compared.

  launch/run.sh --config configs/glow.py
  --config configs/glow.py:mnist   27 minutes of one core

`mnist`: 1.178 bits/dim of 10,000 test digits with uniform dequantisation, 4000 steps, 4.4 epochs,
where RealNVP has 1.175; nearest_train_ratio 1.47. A bound from 4 draws of the noise, one seed.

`--config.sample.temperature=0.7` draws from a narrower prior.
"""

from gen_jax.config import experiment, merge, tiny, variant

DIGITS = dict(
  model=dict(
    steps=4, scales=2, width=64, alpha=1e-5, ema=0.998,
    optimizer=dict(
      name="adamw", weight_decay=1.0, learning_rate=4e-3, schedule="cosine", decay_steps=1500,
      warmup=100, clip=10.0,
    ),
  ),
  data=dict(name="digits", batch_size=64),
  train=dict(
    steps=1500, log_every=50, validate_every=500, sample_every=500, checkpoint_every=500,
    best="bits_per_dim",
  ),
  likelihood=dict(importance_samples=8),
  evaluate=dict(samples=1000),
  measures=("likelihood", "memorisation"),
)  # fmt: skip

MNIST = merge(
  DIGITS,
  dict(
    model=dict(
      steps=8, width=64, ema=0.999, optimizer=dict(name="adam", weight_decay=0.0, decay_steps=4000)
    ),
    data=dict(name="tfds:mnist", validation=0.02),
    train=dict(
      steps=4000, log_every=100, validate_every=2000, sample_every=2000, checkpoint_every=1000
    ),
    likelihood=dict(importance_samples=4),
    evaluate=dict(batch_size=250),
  ),
)

VARIANTS = {
  "digits": DIGITS,
  "mnist": MNIST,
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(steps=1, width=4, ema=0.9, optimizer=dict(warmup=2, decay_steps=8)),
      data=dict(batch_size=16),
      likelihood=dict(importance_samples=2),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.glow.build", **variant(name, VARIANTS))
