"""Neural spline flow: an exact density, by monotone rational-quadratic splines, of points.

Source: Durkan, Bekasov, Murray & Papamakarios 2019 (arXiv:1906.04032).

  launch/run.sh --config configs/nsf.py:VARIANT
  launch/run.sh --config configs/nsf.py:checkerboard|rings   1.5 minutes of CPU time

nll in nats over 100000 test points, one seed, beside the entropy of the data (configs/realnvp.py
has 3.568 and 2.708, in a third more time):

  checkerboard  3.504   (3.466)
  rings         2.657   (2.623)

`mixture` is of twenty Gaussians in 8 dimensions; `--config.data.name=mixture:64` of 64.
"""

from gen_jax.config import experiment, merge, tiny, variant

PLANE = dict(
  model=dict(
    couplings=8, bins=8, bound=4.0, width=64, blocks=1, activation="silu", ema=0.998,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=5000, warmup=200, clip=5.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=512),
  train=dict(
    steps=5000, steps_per_call=50, log_every=250, validate_every=1000, sample_every=1000,
    checkpoint_every=1000, best="nll",
  ),
  evaluate=dict(samples=5000, batch_size=2000),
  measures=("likelihood", "kl"),
)  # fmt: skip

VARIANTS = {
  "8gaussians": PLANE,
  "moons": merge(PLANE, dict(data=dict(name="toy2d:moons"))),
  "checkerboard": merge(PLANE, dict(data=dict(name="toy2d:checkerboard"))),
  "rings": merge(PLANE, dict(data=dict(name="toy2d:rings"))),
  "swissroll": merge(PLANE, dict(data=dict(name="toy2d:swissroll"))),
  "mixture": merge(PLANE, dict(model=dict(width=128), data=dict(name="mixture:8"))),
  "tiny": tiny(
    PLANE,
    dict(
      model=dict(couplings=2, bins=3, width=8, ema=0.9, optimizer=dict(warmup=2, decay_steps=8)),
      data=dict(batch_size=16),
    ),
  ),
}


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  return experiment("gen_jax.models.nsf.build", **variant(name, VARIANTS))
