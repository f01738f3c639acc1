"""StyleGAN."""

from gen_jax.config import experiment, tiny, variant

SPRITES = dict(
  model=dict(
    latent=64, width=64, mapping=4, widths=(64, 64, 32, 16), fade=500, penalties=dict(r1=1.0),
  ),
  data=dict(name="shapes", resolution=32, batch_size=32),
  train=dict(
    steps=(1500, 1500, 2000), log_every=100, validate_every=500, sample_every=500,
    checkpoint_every=500,
  ),
  evaluate=dict(samples=1000, classifier_steps=1000),
  measures=("sprites", "path_length", "class_shares", "frechet", "kernel", "prdc", "memorisation"),
)  # fmt: skip

VARIANTS = {
  "sprites": SPRITES,
  "tiny": tiny(
    SPRITES,
    dict(
      model=dict(latent=4, width=4, mapping=2, widths=(4, 4, 4), fade=2),
      data=dict(resolution=16, batch_size=16, validation=0.003, test=0.003),
      train=dict(steps=(4, 4)),
      measures=("memorisation",),
    ),
  ),
}


def get_config(name: str = "sprites"):
  """The config of a variant."""
  return experiment("gen_jax.models.stylegan.build", **variant(name, VARIANTS))
