"""Super-resolution: sprites of 64x64 pixels out of 16x16, or photographs out of small ones.

Source: Dong et al. 2014 (SRCNN), Shi et al. 2016 (ESPCN), Ledig et al. 2017 (SRResNet, SRGAN).

  python -m gen_jax.main --config configs/superres.py
"""

from gen_jax.config import experiment, merge, variant

SHAPES = dict(
  model=dict(optimizer=dict(learning_rate=1e-3, schedule="cosine", decay_steps=1500, clip=1.0)),
  data=dict(name="shapes", resolution=64, batch_size=16, augment=("flip",), test=0.02),
  train=dict(
    steps=1500, log_every=50, validate_every=500, sample_every=500, checkpoint_every=500,
    best="pixel_error",
  ),
  evaluate=dict(batch_size=32),
  measures=("superres", "likelihood"),
)  # fmt: skip

# Patches of 91 photographs, measured on whole ones.
T91 = merge(
  SHAPES,
  dict(
    model=dict(optimizer=dict(decay_steps=8000)),
    data=dict(
      name="folder", resolution=0, patch=64, channels=3, validation=0.0, test=0.0,
      augment=("flip", "rotate"),
    ),
    train=dict(
      steps=8000, log_every=100, validate_every=0, sample_every=1000, checkpoint_every=500, best=""
    ),
    measures=("superres",),
  ),
)  # fmt: skip

VARIANTS = {
  "srresnet": SHAPES,
  "t91": T91,
}


def get_config(name: str = "srresnet"):
  """The config of a variant."""
  return experiment("gen_jax.models.superres.build", **variant(name, VARIANTS))
