"""Progressive distillation: a diffusion of the digits in 64 steps, 32, 16, 8 and 4.

Source: Salimans & Ho 2022 (arXiv:2202.00512): cosine path, prediction of v, truncated SNR, each
student's learning rate linear to 0. `train.steps` are the teacher's and each student's, and
`model.student_optimizer.decay_steps` the latter. A finished run draws with any student, or with the
teacher in any number of steps:

  --mode=evaluate --config.sample.steps=16
  --mode=evaluate --config.sample.teacher=True --config.sample.steps=8

  launch/run.sh --config configs/distill.py[:8gaussians]
"""

from gen_jax.config import experiment, tiny, variant

DIGITS = dict(
  model=dict(
    teacher_steps=64, final_steps=4, conditional=True, ema=0.999,
    unet=dict(width=32, multipliers=(1, 2), blocks=1),
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=1800, warmup=100, clip=1.0),
    student_optimizer=dict(learning_rate=5e-4, schedule="linear", decay_steps=500, clip=1.0),
  ),
  data=dict(name="digits", batch_size=128),
  train=dict(
    steps=(1800, 500, 500, 500, 500), log_every=50, sample_every=500, checkpoint_every=300
  ),
  evaluate=dict(samples=1500),
  measures=("frechet", "prdc", "sample_accuracy", "memorisation", "function_evaluations"),
)  # fmt: skip

PLANE = dict(
  model=dict(
    teacher_steps=64, final_steps=1, dense=dict(octaves=2), ema=0.998,
    optimizer=dict(learning_rate=3e-3, schedule="cosine", decay_steps=4000, warmup=200, clip=1.0),
    student_optimizer=dict(learning_rate=1e-3, schedule="linear", decay_steps=1000, clip=1.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=512),
  train=dict(
    steps=(4000, *(1000,) * 6), steps_per_call=50, log_every=250, sample_every=1000,
    checkpoint_every=1000,
  ),
  evaluate=dict(samples=5000, batch_size=2000, split="validation"),
  measures=("distances", "modes", "function_evaluations"),
)  # fmt: skip

VARIANTS = {
  "digits": DIGITS,
  "8gaussians": PLANE,
  "tiny": tiny(
    PLANE,
    dict(
      model=dict(
        teacher_steps=4,
        final_steps=2,
        dense=dict(width=8, layers=1, octaves=1),
        ema=0.9,
        optimizer=dict(warmup=2, decay_steps=8),
        student_optimizer=dict(decay_steps=8),
      ),
      data=dict(batch_size=16),
      train=dict(steps=(8, 8)),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.distill.build", **variant(name, VARIANTS))
