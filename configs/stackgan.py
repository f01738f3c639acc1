"""StackGAN: coloured sprites from sentences, at 16x16 pixels and from there at 32x32.

Source: Zhang et al. 2017 (arXiv:1612.03242), with encoders of captions and pictures that are learnt
in a stage before (InfoNCE) and whitened captions, and with R1 and layer normalisation where the
source has batch normalisation. `train.steps` are those of the encoders, of stage I and of stage II.

  launch/run.sh --config configs/stackgan.py   56 minutes of one core
  --mode=sample --cond.caption="a small red square at the top left"
  --mode=evaluate --config.sample.stage=1    the same measures of stage I, enlarged

  --config configs/stackgan.py:captioned --config.data.path=PATH   a folder or zip of images with a
      captions.tsv. Of a few thousand pictures, each with a caption of its own, it learns by heart:
      samples are of captions that it was trained on, and sample_retrieval says how many of them the
      encoders know again, memorisation how near they are to the pictures
"""

from gen_jax.config import experiment, merge, tiny, variant

PLAYER = dict(learning_rate=5e-4, b1=0.0, b2=0.99, schedule="linear", decay_steps=14_000)
SPRITES = dict(
  model=dict(
    latent=32, condition=64, kl=0.02, encoders=dict(widths=(32, 64, 128, 128)),
    optimizer=dict(learning_rate=1e-3, schedule="cosine", decay_steps=5000),
    generator=dict(hidden=(128,), first=(128, 64), second=(32, 64), blocks=2),
    critic=dict(first=(64, 128), second=(32, 64, 128)), wrong="word", whiten=True,
    penalties=dict(r1=0.1),
    critic_optimizer=PLAYER, generator_optimizer=PLAYER,
  ),
  data=dict(name="shapes", resolution=32, batch_size=64),
  train=dict(
    steps=(5000, 14_000, 4000), log_every=50, validate_every=500, sample_every=500,
    checkpoint_every=500,
  ),
  evaluate=dict(samples=1000, classifier_steps=1000),
  measures=("caption_faithful", "retrieval", "sprites", "frechet", "kernel", "memorisation"),
)  # fmt: skip

VARIANTS = {
  "sprites": SPRITES,
  "captioned": merge(
    SPRITES,
    dict(
      data=dict(name="folder", validation=0.05, test=0.1),
      measures=("retrieval", "memorisation"),
    ),
  ),
  "tiny": tiny(
    SPRITES,
    dict(
      model=dict(
        latent=4, condition=4, encoders=dict(embedding=4, widths=(4,), hidden=(), text=4, heads=2),
        generator=dict(hidden=(), first=(4,), second=(4,), blocks=0),
        critic=dict(first=(4,), second=(4,), hidden=()), penalties=dict(r1=0.0),
        optimizer=dict(decay_steps=8), critic_optimizer=dict(decay_steps=8),
        generator_optimizer=dict(decay_steps=8),
      ),
      data=dict(resolution=16, batch_size=16, validation=0.003, test=0.003),
      train=dict(steps=(4, 4, 4)),
      measures=("memorisation",),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "sprites"):
  """The config of a variant."""
  return experiment("gen_jax.models.stackgan.build", **variant(name, VARIANTS))
