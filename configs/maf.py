"""Masked autoregressive flow: an exact density in one pass of a masked net, of points.

Source: Papamakarios, Pavlakou & Murray 2017 (arXiv:1705.07057), with ActNorm for batch
normalisation.

  launch/run.sh --config configs/maf.py[:VARIANT]

`spline` has splines for affine maps (Durkan et al. 2019, arXiv:1906.04032), and `iaf` the other
direction (Kingma et al. 2016, arXiv:1606.04934): samples in one pass, and densities in D.
"""

from gen_jax.config import experiment, merge, tiny, variant

PLANE = dict(
  model=dict(
    layers=5, width=128, hidden=2, activation="silu", ema=0.998,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=4000, warmup=200, clip=5.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=512),
  train=dict(
    steps=4000, steps_per_call=50, log_every=200, validate_every=1000, sample_every=1000,
    checkpoint_every=1000, best="nll",
  ),
  evaluate=dict(samples=5000, batch_size=2000),
  measures=("likelihood", "kl"),
)  # fmt: skip
SPLINE = merge(PLANE, dict(model=dict(map="spline", mixing="lu", width=64)))

VARIANTS = {
  "8gaussians": PLANE,
  "checkerboard": merge(PLANE, dict(data=dict(name="toy2d:checkerboard"))),
  "spline": SPLINE,
  "spline_checkerboard": merge(SPLINE, dict(data=dict(name="toy2d:checkerboard"))),
  "iaf": merge(PLANE, dict(model=dict(one_pass="sampling"))),
  "mixture": merge(PLANE, dict(data=dict(name="mixture:8"))),
  "tiny": tiny(
    PLANE,
    dict(
      model=dict(
        layers=2, map="spline", bins=3, mixing="lu", width=8, ema=0.9,
        optimizer=dict(warmup=2, decay_steps=8),
      ),
      data=dict(batch_size=16),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  return experiment("gen_jax.models.maf.build", **variant(name, VARIANTS))
