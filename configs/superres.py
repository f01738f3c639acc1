"""Super-resolution: sprites of 64x64 pixels out of 16x16, and photographs out of a sixteenth.

Source: Dong et al. 2014 (SRCNN), Shi et al. 2016 (ESPCN), Ledig et al. 2017 (SRResNet, SRGAN).
`srcnn` and `espcn` have the skip over the net that VDSR brought in, without which they start far
below the bicubic; --config.model.skip=False takes it out.

  python -m gen_jax.main --config configs/superres.py   2 minutes on two busy cores
  python -m gen_jax.main --config configs/superres.py:VARIANT

`t91` and its kin learn from patches of photographs and are measured on whole ones. A folder or zip
archive at data.path has the folders

  train/   the photographs to learn from, such as the 91 images of Yang et al. 2010
  val/     Set5
  test/    Set14

of any sizes from 64x64 pixels on, and evaluate.split says which are measured:

  python -m gen_jax.main --config configs/superres.py:t91 --config.data.path=sets.zip \\
    --config.evaluate.split=validation
  python -m gen_jax.main --config configs/superres.py:t91 --mode=transform --input=DIR
      enlarges pictures of any size; with --config.sample.ensemble=True as the mean of eight

What they came to stands in docs/superres.md.
"""

from gen_jax.config import experiment, merge, tiny, variant

SHAPES = dict(
  model=dict(optimizer=dict(learning_rate=1e-3, schedule="cosine", decay_steps=1500, clip=1.0)),
  data=dict(
    name="shapes", resolution=64, batch_size=16, augment=("flip",), validation=0.02, test=0.02
  ),
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

GAME = dict(
  model=dict(
    adversarial=0.05,
    generator_optimizer=dict(learning_rate=2e-4), critic_optimizer=dict(learning_rate=2e-4),
  ),
  train=dict(steps=(1500, 1000)),
)  # fmt: skip

VARIANTS = {
  "srresnet": SHAPES,
  "srcnn": merge(SHAPES, dict(model=dict(net="srcnn", width=64, loss="l2"))),
  "espcn": merge(SHAPES, dict(model=dict(net="espcn", width=64, loss="l2"))),
  "srgan": merge(SHAPES, GAME, dict(
    model=dict(perceptual=dict(features="classifier", pixels=1.0, width=8,
      optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=400),
    )),
    train=dict(steps=(400, 1500, 1000)),
  )),
  "t91": T91,
  "t91_srcnn": merge(T91, dict(model=dict(net="srcnn", width=64, loss="l2"))),
  "t91_espcn": merge(T91, dict(model=dict(net="espcn", width=64, loss="l2"))),
  "t91_srgan": merge(T91, GAME, dict(train=dict(steps=(8000, 2000)))),
  "tiny": tiny(
    SHAPES,
    dict(
      model=dict(scale=2, width=8, blocks=1, optimizer=dict(decay_steps=8)),
      data=dict(resolution=16, validation=0.01, test=0.004),
    ),
  ),
}  # fmt: skip
VARIANTS["tiny_gan"] = merge(
  VARIANTS["tiny"],
  dict(
    model=dict(
      colour="rgb", adversarial=1e-2, ema=0.9,
      perceptual=dict(
        features="classifier", pixels=0.1, width=2, hidden=8, optimizer=dict(decay_steps=8)
      ),
      critic=dict(widths=(4, 8), hidden=(8,)),
    ),
    train=dict(steps=(8, 8, 8)),
  ),
)  # fmt: skip


def get_config(name: str = "srresnet"):
  """The config of a variant."""
  return experiment("gen_jax.models.superres.build", **variant(name, VARIANTS))
