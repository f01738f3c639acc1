"""NICE: an exact density, by couplings that keep the volume and one scaling, of points and images.

Source: Dinh, Krueger & Bengio 2014 (arXiv:1410.8516); conditioners are residual nets.

  launch/run.sh --config configs/nice.py[:digits]
"""

from gen_jax.config import experiment, tiny, variant

MOONS = dict(
  model=dict(
    couplings=8, width=64, blocks=1, activation="silu", ema=0.998,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=6000, warmup=200, clip=1.0),
  ),
  data=dict(name="toy2d:moons", batch_size=512),
  train=dict(
    steps=6000, steps_per_call=50, log_every=250, validate_every=2000, sample_every=2000,
    checkpoint_every=1000, best="nll",
  ),
  evaluate=dict(samples=5000, batch_size=2000),
  measures=("likelihood",),
)  # fmt: skip

DIGITS = dict(
  model=dict(
    couplings=4, width=32, blocks=1, ema=0.998,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=1500, warmup=100, clip=10.0),
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

SMALL = dict(
  model=dict(couplings=1, width=8, optimizer=dict(decay_steps=8, warmup=2)),
  data=dict(batch_size=16),
  likelihood=dict(importance_samples=2),
)
VARIANTS = {
  "moons": MOONS,
  "digits": DIGITS,
  "tiny": tiny(
    DIGITS, SMALL, dict(data=dict(batch_size=16), likelihood=dict(importance_samples=2))
  ),
}


def get_config(name: str = "moons"):
  """The config of a variant."""
  return experiment("gen_jax.models.nice.build", **variant(name, VARIANTS))
