"""Flow matching: straight paths between data and noise, and exact densities, in the plane.

Source: Lipman et al. 2023 (arXiv:2210.02747); Liu et al. 2023 (arXiv:2209.03003). `optimal` pairs
data and noise within a batch by optimal transport (Tong et al. 2023, arXiv:2302.00482). `reflow`
learns again from the pairs that the first flow makes, and draws in one step (Liu et al. 2023); two:
`--config.sample.steps=2`.

  launch/run.sh --config configs/flow_matching.py[:optimal|reflow]

and `:moons`, `:swissroll`, `:checkerboard`, `:rings`, `:digits`, and `:mixture`, of twenty
Gaussians in 8 dimensions (`--config.data.name=mixture:64`: in 64).
"""

from gen_jax.config import experiment, merge, tiny, variant

PLANE = dict(
  model=dict(
    path="linear", prediction="velocity", times="uniform", dense=dict(octaves=2), ema=0.998,
    optimizer=dict(learning_rate=3e-3, schedule="cosine", decay_steps=4000, warmup=200, clip=1.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=512),
  train=dict(
    steps=4000, steps_per_call=50, log_every=250, sample_every=2000, checkpoint_every=1000,
  ),
  sample=dict(solver="heun", steps=25),
  evaluate=dict(samples=5000, batch_size=2000, split="validation"),
  measures=("likelihood", "kl", "distances", "function_evaluations"),
)  # fmt: skip

REFLOW = dict(
  builder="gen_jax.models.reflow.build",
  model=dict(
    pairs=dict(solver="heun", steps=16), dense=dict(octaves=2), ema=0.998,
    optimizer=PLANE["model"]["optimizer"],
    student_optimizer=dict(
      learning_rate=1e-3, schedule="cosine", decay_steps=4000, warmup=200, clip=1.0
    ),
  ),
  data=PLANE["data"],
  train=merge(PLANE["train"], dict(steps=(4000, 4000))),
  sample=dict(solver="euler", steps=1),
  evaluate=PLANE["evaluate"],
  measures=("likelihood", "kl", "distances", "modes", "function_evaluations"),
)  # fmt: skip

DIGITS = merge(
  PLANE,
  dict(
    model=dict(
      conditional=True, ema=0.999, unet=dict(width=32, multipliers=(1, 2), blocks=1),
      optimizer=dict(learning_rate=2e-3, warmup=100, decay_steps=1800),
    ),
    data=dict(name="digits", batch_size=128),
    train=dict(
      steps=1800, steps_per_call=1, log_every=50, sample_every=600, checkpoint_every=300
    ),
    sample=dict(solver="euler", steps=50),
    evaluate=dict(samples=1500, batch_size=128, split="test"),
    measures=(
      "likelihood", "frechet", "prdc", "sample_accuracy", "memorisation", "function_evaluations",
    ),
  ),
)  # fmt: skip

VARIANTS = {
  "8gaussians": PLANE,
  "moons": merge(PLANE, dict(data=dict(name="toy2d:moons"))),
  "swissroll": merge(PLANE, dict(data=dict(name="toy2d:swissroll"))),
  "checkerboard": merge(
    PLANE, dict(model=dict(dense=dict(octaves=4)), data=dict(name="toy2d:checkerboard"))
  ),
  "rings": merge(PLANE, dict(model=dict(dense=dict(octaves=4)), data=dict(name="toy2d:rings"))),
  "optimal": merge(
    PLANE,
    dict(
      model=dict(coupling="optimal", optimizer=dict(decay_steps=3000)),
      data=dict(batch_size=256),
      train=dict(steps=3000),
      sample=dict(solver="euler", steps=1),
    ),
  ),
  "mixture": merge(
    PLANE, dict(model=dict(dense=dict(width=256, octaves=0)), data=dict(name="mixture:8"))
  ),
  "reflow": REFLOW,
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
  "tiny_reflow": tiny(
    REFLOW,
    dict(
      model=dict(
        pairs=dict(steps=2), dense=dict(width=8, layers=1, octaves=1), ema=0.9,
        optimizer=dict(warmup=2, decay_steps=8), student_optimizer=dict(warmup=2, decay_steps=8),
      ),
      data=dict(batch_size=16),
      train=dict(steps=(8, 8)),
      likelihood=dict(steps=2),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  given = {"builder": "gen_jax.models.diffusion.build", **variant(name, VARIANTS)}
  return experiment(**given)
