"""Segmentation by a U-Net (Ronneberger et al. 2015): which shape a pixel belongs to, under noise.

python -m gen_jax.main --config configs/segment.py
"""

from gen_jax.config import experiment, merge, variant

SHAPES = dict(
  model=dict(optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=1200, clip=1.0)),
  data=dict(name="pairs:segmentation", batch_size=64),
  train=dict(
    steps=1200, log_every=50, validate_every=400, sample_every=400, checkpoint_every=400,
    best="cross_entropy",
  ),
  measures=("segmentation", "likelihood"),
)  # fmt: skip

VARIANTS = {
  "shapes": SHAPES,
  "transposed": merge(SHAPES, dict(model=dict(up="transposed"))),
  "tiny": merge(
    SHAPES,
    dict(
      model=dict(widths=(4, 8), optimizer=dict(decay_steps=8)),
      data=dict(batch_size=16, validation=0.01, test=0.02),
      train=dict(steps=8, log_every=2, validate_every=4, sample_every=8, checkpoint_every=4),
      evaluate=dict(samples=40, batch_size=40, classifier_steps=20),
    ),
  ),
}


def get_config(name: str = "shapes"):
  """The config of a variant."""
  return experiment("gen_jax.models.segment.build", **variant(name, VARIANTS))
