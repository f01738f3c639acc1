"""Progressive GAN: coloured sprites at 8x8 pixels, then 16x16, then 32x32, by growing networks.

Source: Karras et al. 2018 (arXiv:1710.10196): WGAN-GP with drift, Adam (0, 0.99) at 1e-3, begun
anew at each resolution, an average of 0.999 carried through. `train.steps` are those of
each resolution; new layers fade in over the first `model.fade` of them.

  launch/run.sh --config configs/progan.py
"""

from gen_jax.config import experiment, tiny, variant

SPRITES = dict(
  model=dict(latent=64, widths=(64, 64, 32, 16), fade=500),
  data=dict(name="shapes", resolution=32, batch_size=32),
  train=dict(
    steps=(1500, 1500, 2000), log_every=100, validate_every=500, sample_every=500,
    checkpoint_every=500,
  ),
  evaluate=dict(samples=1000, classifier_steps=1000),
  measures=("sprites", "class_shares", "frechet", "kernel", "prdc", "memorisation"),
)  # fmt: skip

VARIANTS = {
  "sprites": SPRITES,
  "tiny": tiny(
    SPRITES,
    dict(
      model=dict(latent=4, widths=(4, 4, 4), fade=2),
      data=dict(resolution=16, batch_size=16, validation=0.003, test=0.003),
      train=dict(steps=(4, 4)),
      measures=("memorisation",),
    ),
  ),
}


def get_config(name: str = "sprites"):
  """The config of a variant."""
  return experiment("gen_jax.models.progan.build", **variant(name, VARIANTS))
