"""StyleGAN: coloured sprites at 8x8 pixels, then 16x16, then 32x32, by a style-based generator.

Source: Karras et al. 2019 (arXiv:1812.04948): the non-saturating loss with R1, Adam (0, 0.99), a
mapping that learns at a hundredth of the rate. R1's weight rises with the resolution, 0.1, 0.4 and
1.6, where the source has 10 at all up to 1024x1024. The source's rate of 1e-3, its average of 0.999
and styles mixed in 90% of the examples are of runs a hundred times as long: docs/adversarial.md.

  launch/run.sh --config configs/stylegan.py   61 minutes of one core
  --config configs/stylegan.py:fixed        32x32 from the first step on, for about as long
  --mode=mix                                coarse, middle and fine styles of two sources
  --mode=interpolate                        between latents, and between styles
  --mode=sample --n=8 --sweep sample.truncation=-1,-0.5,0,0.5,0.7,1
  --mode=sample --n=8 --sweep sample.noise=own,fixed,none

`cifar10` wants a GPU and has not been trained.
"""

from gen_jax.config import experiment, merge, tiny, variant

ADAM = dict(learning_rate=4e-3)
PAPER = dict(learning_rate=1e-3)

SPRITES = dict(
  model=dict(
    latent=64, width=64, mapping=4, widths=(64, 64, 32, 16), mixing=0.0, fade=1000,
    penalties=dict(r1=0.2),
    ema=0.998, critic_optimizer=ADAM, generator_optimizer=ADAM,
  ),
  data=dict(name="shapes", resolution=32, batch_size=32),
  train=dict(
    steps=(4000, 5000, 7000), log_every=100, validate_every=500, sample_every=500,
    checkpoint_every=500,
  ),
  evaluate=dict(samples=1000, classifier_steps=1000),
  measures=(
    "sprites", "path_length", "read_out", "class_shares", "frechet", "kernel", "prdc",
    "memorisation",
  ),
)  # fmt: skip

TINY = tiny(
  SPRITES,
  dict(
    model=dict(latent=4, width=4, mapping=2, widths=(4, 4), grow=False),
    data=dict(resolution=8, batch_size=16, validation=0.003, test=0.003),
    measures=("path_length",),
  ),
)

VARIANTS = {
  "sprites": SPRITES,
  "fixed": merge(SPRITES, dict(model=dict(grow=False), train=dict(steps=6500))),
  "cifar10": merge(
    SPRITES,
    dict(
      model=dict(
        latent=512, width=512, mapping=8, widths=(512, 512, 256, 128), fade=10_000,
        penalties=dict(r1=0.05), ema=0.999, critic_optimizer=PAPER, generator_optimizer=PAPER,
      ),
      data=dict(name="tfds:cifar10", batch_size=64, augment=("flip",)),
      train=dict(
        steps=(20_000, 30_000, 100_000), validate_every=5000, sample_every=5000,
        checkpoint_every=5000,
      ),
      evaluate=dict(samples=10_000, classifier_steps=6000),
      measures=("path_length", "class_shares", "frechet", "kernel", "prdc", "memorisation"),
    ),
  ),
  "tiny": TINY,
  "tiny_grown": merge(
    TINY,
    dict(
      model=dict(widths=(4, 4, 4), grow=True, fade=2), data=dict(resolution=16),
      train=dict(steps=(4, 4)),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "sprites"):
  """The config of a variant."""
  return experiment("gen_jax.models.stylegan.build", **variant(name, VARIANTS))
