"""VDM: a diffusion whose variational bound is its loss, with learnt ends of the noise.

Source: Kingma et al. 2021 (arXiv:2107.00630). The first log-SNR is moderate in the plane: where the
noise is far below the data's own detail nothing can be learnt of it.

  launch/run.sh --config configs/vdm.py[:checkerboard|digits]
"""

from gen_jax.config import experiment, merge, tiny, variant

PLANE = dict(
  model=dict(
    first_log_snr=8.0, last_log_snr=-5.0, dense=dict(octaves=2), ema=0.998,
    optimizer=dict(learning_rate=3e-3, schedule="cosine", decay_steps=4000, warmup=200, clip=1.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=512),
  train=dict(
    steps=4000, steps_per_call=50, log_every=250, sample_every=2000, checkpoint_every=1000
  ),
  likelihood=dict(times=128),
  evaluate=dict(samples=5000, batch_size=2000, split="validation"),
  measures=("likelihood", "kl", "distances", "function_evaluations"),
)  # fmt: skip

DIGITS = dict(
  model=dict(
    first_log_snr=7.8, last_log_snr=-5.0, conditional=True, ema=0.999,
    unet=dict(width=32, multipliers=(1, 2), blocks=1, dropout=0.1),
    optimizer=dict(
      name="adamw", weight_decay=0.01, b2=0.99, learning_rate=2e-3, schedule="cosine",
      decay_steps=1800, warmup=100, clip=1.0,
    ),
  ),
  data=dict(name="digits", batch_size=128),
  train=dict(
    steps=1800, log_every=50, validate_every=600, sample_every=600, checkpoint_every=300,
    best="bits_per_dim",
  ),
  likelihood=dict(times=40),
  evaluate=dict(samples=1500),
  measures=(
    "likelihood", "frechet", "prdc", "sample_accuracy", "memorisation", "function_evaluations",
  ),
)  # fmt: skip

SMALL = dict(
  model=dict(ema=0.9, optimizer=dict(warmup=2, decay_steps=8)),
  data=dict(batch_size=16),
  sample=dict(steps=2),
  likelihood=dict(times=2),
)

VARIANTS = {
  "8gaussians": PLANE,
  "checkerboard": merge(
    PLANE,
    dict(
      model=dict(first_log_snr=9.0, dense=dict(octaves=4)), data=dict(name="toy2d:checkerboard")
    ),
  ),
  "digits": DIGITS,
  "tiny": tiny(
    PLANE, SMALL, dict(model=dict(dense=dict(width=8, layers=1)), likelihood=dict(steps=2))
  ),
  "tiny_digits": tiny(DIGITS, SMALL, dict(model=dict(unet=dict(width=8, multipliers=(1,))))),
}


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  return experiment("gen_jax.models.vdm.build", **variant(name, VARIANTS))
