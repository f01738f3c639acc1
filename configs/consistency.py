"""Consistency models: samples in one call of the network, in the plane.

Source: easy consistency tuning (Geng et al. 2024, arXiv:2406.14548), from scratch: the first of its
stages is a diffusion model's. Two calls: `--config.sample.again="(0.8,)"`.

  launch/run.sh --config configs/consistency.py[:digits]
"""

from gen_jax.config import experiment, merge, tiny, variant

PLANE = dict(
  model=dict(
    halvings=8, every=500, dense=dict(width=128, layers=3, octaves=3), ema=0.998,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=4000, warmup=200, clip=1.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=512),
  train=dict(
    steps=4000, steps_per_call=50, log_every=250, sample_every=2000, checkpoint_every=1000
  ),
  evaluate=dict(samples=5000, batch_size=2000, split="validation"),
  measures=("likelihood", "distances", "modes", "function_evaluations"),
)  # fmt: skip

DIGITS = merge(
  PLANE,
  dict(
    model=dict(
      every=225, sigma_data=0.75, conditional=True, ema=0.999,
      unet=dict(width=32, multipliers=(1, 2), blocks=1),
      optimizer=dict(warmup=100, decay_steps=1800),
    ),
    data=dict(name="digits", batch_size=128),
    train=dict(
      steps=1800, steps_per_call=1, log_every=50, sample_every=600, checkpoint_every=300
    ),
    evaluate=dict(samples=1500, batch_size=128, split="test"),
    measures=(
      "likelihood", "frechet", "prdc", "sample_accuracy", "memorisation", "function_evaluations",
    ),
  ),
)  # fmt: skip

VARIANTS = {
  "8gaussians": PLANE,
  "digits": DIGITS,
  "tiny": tiny(
    PLANE,
    dict(
      model=dict(
        halvings=2, every=4, dense=dict(width=8, layers=1, octaves=1), ema=0.9,
        optimizer=dict(warmup=2, decay_steps=8),
      ),
      data=dict(batch_size=16),
      sample=dict(again=(0.8,)),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  return experiment("gen_jax.models.consistency.build", **variant(name, VARIANTS))
