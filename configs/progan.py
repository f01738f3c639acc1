"""Progressive GAN: coloured sprites at 8x8 pixels, then 16x16, then 32x32, by growing networks.

Source: Karras et al. 2018 (arXiv:1710.10196): WGAN-GP with drift, Adam (0, 0.99), begun anew at
each resolution, an average of the weights carried through. `train.steps` are those of each; new
layers fade in over the first `model.fade` of them. The source's rate of 1e-3 and average of
0.999 are of runs a hundred times as long: docs/adversarial.md.

  launch/run.sh --config configs/progan.py   2 hours of a core
  --config configs/progan.py:ns   66 minutes of one core
      The non-saturating loss with a weak R1.
  --config configs/progan.py:fixed   46 minutes of a shared core
      32x32 from the first step on.
  --config configs/progan.py:stacked   16 minutes of one core
      Three digits as one colour image of 8x8, 1000 modes. Without an ingredient:
      --config.model.group=1, .equalized=False, .pixel_norm=False

`cifar10` wants a GPU and has not been trained.
"""

from gen_jax.config import experiment, merge, tiny, variant

ADAM = dict(learning_rate=3e-3)
FAST = dict(learning_rate=5e-3)
PAPER = dict(learning_rate=1e-3)

SPRITES = dict(
  model=dict(
    latent=64, widths=(64, 64, 32, 16), fade=1000, ema=0.995, critic_optimizer=ADAM,
    generator_optimizer=ADAM,
  ),
  data=dict(name="shapes", resolution=32, batch_size=32),
  train=dict(
    steps=(4000, 4000, 4000), log_every=100, validate_every=500, sample_every=500,
    checkpoint_every=500,
  ),
  evaluate=dict(samples=1000, classifier_steps=1000),
  measures=("sprites", "class_shares", "frechet", "kernel", "prdc", "memorisation"),
)  # fmt: skip

VARIANTS = {
  "sprites": SPRITES,
  "ns": merge(
    SPRITES,
    dict(
      model=dict(
        loss="ns", penalties=dict(wgan_gp=0.0, drift=0.0, r1=0.2), ema=0.998, critic_optimizer=FAST,
        generator_optimizer=FAST,
      ),
      train=dict(steps=(4000, 6000, 8000)),
    ),
  ),
  "fixed": merge(SPRITES, dict(model=dict(grow=False), train=dict(steps=6000))),
  "stacked": merge(
    SPRITES,
    dict(
      model=dict(widths=(64, 64)), data=dict(name="stacked", resolution=0, batch_size=64),
      train=dict(steps=4000), evaluate=dict(samples=10_000, batch_size=500),
      measures=("channel_modes",),
    ),
  ),
  "cifar10": merge(
    SPRITES,
    dict(
      model=dict(
        latent=512, widths=(512, 512, 256, 128), fade=10_000, ema=0.999, critic_optimizer=PAPER,
        generator_optimizer=PAPER,
      ),
      data=dict(name="tfds:cifar10", batch_size=64, augment=("flip",)),
      train=dict(
        steps=(20_000, 30_000, 100_000), validate_every=5000, sample_every=5000,
        checkpoint_every=5000,
      ),
      evaluate=dict(samples=10_000, classifier_steps=6000),
      measures=("class_shares", "frechet", "kernel", "prdc", "memorisation"),
    ),
  ),
  "tiny": tiny(
    SPRITES,
    dict(
      model=dict(latent=4, widths=(4, 4, 4), fade=2),
      data=dict(resolution=16, batch_size=16, validation=0.003, test=0.003),
      train=dict(steps=(4, 4)),
      measures=("memorisation",),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "sprites"):
  """The config of a variant."""
  return experiment("gen_jax.models.progan.build", **variant(name, VARIANTS))
