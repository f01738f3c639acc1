"""EDM: diffusion preconditioned at every level of noise, and exact densities, in the plane.

Source: Karras et al. 2022 (arXiv:2206.00364), whose times of training, grid and solver these are.

Three octaves of the points are seen beside them: without, the network of a density with many modes
stays at the Gaussian fit, which the preconditioning starts from.

  launch/run.sh --config configs/edm.py[:checkerboard|digits]
"""

from gen_jax.config import experiment, merge, tiny, variant

MODEL = dict(
  path="edm", prediction="edm", times="log_normal", times_mean=-1.2, times_std=1.2,
  optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=4000, warmup=200, clip=1.0),
)  # fmt: skip

PLANE = dict(
  model=merge(
    dict(**MODEL, dense=dict(octaves=2), ema=0.998), dict(optimizer=dict(learning_rate=3e-3))
  ),
  data=dict(name="toy2d:8gaussians", batch_size=512),
  train=dict(
    steps=4000, steps_per_call=50, log_every=250, sample_every=2000, checkpoint_every=1000
  ),
  sample=dict(solver="heun", grid="rho", steps=18),
  likelihood=dict(steps=32),
  evaluate=dict(samples=5000, batch_size=2000, split="validation"),
  measures=("likelihood", "kl", "distances", "function_evaluations"),
)  # fmt: skip

DIGITS = dict(
  model=merge(
    MODEL,
    dict(
      sigma_data=0.75, conditional=True, ema=0.999,
      unet=dict(width=32, multipliers=(1, 2), blocks=1),
      optimizer=dict(warmup=100, decay_steps=1800),
    ),
  ),
  data=dict(name="digits", batch_size=128),
  train=dict(steps=1800, log_every=50, sample_every=600, checkpoint_every=300),
  sample=dict(solver="heun", grid="rho", steps=18),
  evaluate=dict(samples=1500),
  measures=(
    "likelihood", "frechet", "prdc", "sample_accuracy", "memorisation", "function_evaluations",
  ),
)  # fmt: skip

VARIANTS = {
  "8gaussians": PLANE,
  "checkerboard": merge(
    PLANE, dict(model=dict(dense=dict(octaves=4)), data=dict(name="toy2d:checkerboard"))
  ),
  "digits": DIGITS,
  "tiny": tiny(
    PLANE,
    dict(
      model=dict(
        dense=dict(width=8, layers=1, octaves=1), ema=0.9, optimizer=dict(warmup=2, decay_steps=8)
      ),
      data=dict(batch_size=16),
      sample=dict(steps=2),
      likelihood=dict(steps=2),
    ),
  ),
}


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  return experiment("gen_jax.models.diffusion.build", **variant(name, VARIANTS))
