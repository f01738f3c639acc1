"""Score SDE: the score of data under growing noise, sampled by its reverse SDE, in the plane.

Source: Song et al. 2021 (arXiv:2011.13456): the VP, sub-VP and VE SDEs, predictor-corrector
sampling, exact densities by the probability flow.

  launch/run.sh --config configs/score_sde.py[:sub_vp|ve]
  --config configs/score_sde.py:digits   11 minutes of one core

8gaussians, one seed, 10,000 validation points, each in a minute of CPU time: KL to the data's
density 0.091 nats (VP), 0.090 (sub-VP) and 0.091 (VE).

Samples are of Euler-Maruyama's method with a Langevin step before each of its own;
`--config.sample.solver=heun --config.sample.corrections=0` follows the probability flow. On 5000
samples of `vp` the energy distance x 1000 does not tell them apart: -0.5 with the corrector and
-0.4 without, by 200 network calls each, 0.0 of the flow by 99.

digits, one seed, 1500 samples of 200 network calls: Frechet distance 3.78 (DDPM 3.79), 98.5% read
as their class, precision 0.973, recall 0.922.
"""

from gen_jax.config import experiment, merge, tiny, variant

PLANE = dict(
  model=dict(
    path="vp", prediction="score", times="uniform", ema=0.998,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=4000, warmup=200, clip=1.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=512),
  train=dict(
    steps=4000, steps_per_call=50, log_every=250, sample_every=2000, checkpoint_every=1000
  ),
  sample=dict(solver="euler_maruyama", steps=100, corrections=1),
  evaluate=dict(samples=5000, batch_size=2000, split="validation"),
  measures=("likelihood", "kl", "distances", "function_evaluations"),
)  # fmt: skip

DIGITS = merge(
  PLANE,
  dict(
    model=dict(
      conditional=True, sigma_data=0.75, ema=0.999,
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
  "vp": PLANE,
  "sub_vp": merge(PLANE, dict(model=dict(path="sub_vp"))),
  "ve": merge(PLANE, dict(model=dict(path="ve"))),
  "digits": DIGITS,
  "tiny": tiny(
    PLANE,
    dict(
      model=dict(dense=dict(width=8, layers=1), ema=0.9, optimizer=dict(warmup=2, decay_steps=8)),
      data=dict(batch_size=16),
      sample=dict(steps=2),
      likelihood=dict(steps=2),
    ),
  ),
}


def get_config(name: str = "vp"):
  """The config of a variant."""
  return experiment("gen_jax.models.diffusion.build", **variant(name, VARIANTS))
