"""FFJORD: an exact density, by a flow in continuous time, of points.

Source: Grathwohl et al. 2019 (arXiv:1810.01367), with the kinetic penalty of Finlay et al. 2020
(arXiv:2002.02798) and fixed grids. The density that counts is that of the finer grid, `nll`;
`nll_train_grid` stands beside it: it can fall below the entropy of the data, where the field has
learnt to gain by the errors of a coarse solver (try `--config.model.kinetic=0`).

  launch/run.sh --config configs/ffjord.py   2 minutes of CPU time

8gaussians: nll 2.845 (100,000 test points; the entropy is 2.832), on both
grids; they differ by 1e-5 nats.
"""

from gen_jax.config import experiment, merge, tiny, variant

PLANE = dict(
  model=dict(
    steps=12, kinetic=0.05, width=64, layers=2, ema=0.99,
    optimizer=dict(learning_rate=3e-3, schedule="cosine", decay_steps=1500, warmup=100, clip=1.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=256),
  train=dict(
    steps=1500, steps_per_call=50, log_every=100, validate_every=500, sample_every=500,
    checkpoint_every=500, best="nll",
  ),
  evaluate=dict(samples=5000, batch_size=2000),
  measures=("likelihood", "kl"),
)  # fmt: skip

VARIANTS = {
  "8gaussians": PLANE,
  "moons": merge(PLANE, dict(data=dict(name="toy2d:moons"))),
  "tiny": tiny(
    PLANE,
    dict(
      model=dict(steps=2, width=8, layers=1, ema=0.9, optimizer=dict(warmup=2, decay_steps=8)),
      data=dict(batch_size=16),
      likelihood=dict(steps=4),
    ),
  ),
}


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  return experiment("gen_jax.models.ffjord.build", **variant(name, VARIANTS))
