"""DiffFlow: a diffusion in ten steps whose way to the noise is learnt too, in the plane.

Source: Zhang & Chen 2021 (arXiv:2110.07579). `fixed` leaves the forward chain at the usual
diffusion, with the noise that suits it.

  launch/run.sh --config configs/diffflow.py[:fixed|checkerboard|digits]

40 seconds of CPU time; figures in docs/learn/diffflow.md.
"""

from gen_jax.config import experiment, merge, tiny, variant

PLANE = dict(
  model=dict(
    steps=10, power=2.0, noise=(0.6, 0.6), dense=dict(width=64, layers=2), ema=0.99,
    optimizer=dict(learning_rate=3e-3, schedule="cosine", decay_steps=3000, warmup=100, clip=1.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=256),
  train=dict(
    steps=3000, steps_per_call=50, log_every=100, sample_every=1000, checkpoint_every=1000
  ),
  evaluate=dict(samples=5000, batch_size=2000, split="validation"),
  measures=("likelihood", "bound_gap", "distances", "function_evaluations"),
)  # fmt: skip

DIGITS = merge(
  PLANE,
  dict(
    model=dict(dense=dict(width=256, layers=3), optimizer=dict(learning_rate=1e-3)),
    data=dict(name="digits", batch_size=128),
    evaluate=dict(samples=1500, batch_size=128, split="test"),
    measures=("likelihood", "frechet", "memorisation"),
  ),
)

VARIANTS = {
  "8gaussians": PLANE,
  "fixed": merge(PLANE, dict(model=dict(forward="fixed", noise=(1.7, 1.7)))),
  "checkerboard": merge(PLANE, dict(data=dict(name="toy2d:checkerboard"))),
  "digits": DIGITS,
  "tiny": tiny(
    PLANE,
    dict(
      model=dict(
        steps=2, noise=(1.0, 1.5), dense=dict(width=8, layers=1), ema=0.9,
        optimizer=dict(warmup=2, decay_steps=8),
      ),
      data=dict(batch_size=16),
      likelihood=dict(draws=2),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  return experiment("gen_jax.models.diffflow.build", **variant(name, VARIANTS))
