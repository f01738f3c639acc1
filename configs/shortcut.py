"""Shortcut models: steps of 1, 1/2, 1/4, ..., each of which does what two do, in the plane.

Source: Frans et al. 2024 (arXiv:2410.12557). More steps, a power of 2 of them:
`--config.sample.steps=2`.

  launch/run.sh --config configs/shortcut.py
"""

from gen_jax.config import experiment, tiny, variant

PLANE = dict(
  model=dict(
    share=0.25, halvings=7, dense=dict(width=128, layers=3), ema=0.998,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=4000, warmup=200, clip=1.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=512),
  train=dict(
    steps=4000, steps_per_call=50, log_every=250, sample_every=2000, checkpoint_every=1000
  ),
  evaluate=dict(samples=5000, batch_size=2000, split="validation"),
  measures=("likelihood", "distances", "modes", "function_evaluations"),
)  # fmt: skip

VARIANTS = {
  "8gaussians": PLANE,
  "tiny": tiny(
    PLANE,
    dict(
      model=dict(
        halvings=3, dense=dict(width=8, layers=1), ema=0.9,
        optimizer=dict(warmup=2, decay_steps=8),
      ),
      data=dict(batch_size=16),
      sample=dict(steps=2),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  return experiment("gen_jax.models.shortcut.build", **variant(name, VARIANTS))
