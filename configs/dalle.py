"""DALL-E: coloured sprites from sentences, by one transformer of words and codes.

Source: Ramesh et al. 2021 (arXiv:2102.12092). `train.steps` are those of the VQ-VAE, of the
transformer and of the encoders that choose among candidates.

  launch/run.sh --config configs/dalle.py    70 minutes of a busy core
  --mode=sample --cond.caption="a small red square at the top left"
  --mode=sample --config.sample.candidates=8    the best of eight; --config.sample.guidance=2
  --mode=evaluate --config.sample.candidates=8  the same measures of those

Three pairs of a colour and a shape are in no training picture: caption_accuracy_left_out is of
samples of their captions. Captions of the others have ln 21 + ln 4 + 2 H(3/8, 2/8, 3/8) = 6.595
nats (6.729 with all 24 pairs), below which nats_per_caption cannot come.

  --config configs/dalle.py:gumbel      codes of a discrete VAE, as in the source
  --config configs/dalle.py:captioned --config.data.path=PATH   a folder or zip of images with a
      captions.tsv
"""

from gen_jax.config import experiment, merge, tiny, variant

SPRITES = dict(
  model=dict(
    vqvae=dict(
      factor=4, codes=128, dim=32, width=64, blocks=1, residual=32, decay=0.98,
      optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=4000),
    ),
    transformer=dict(
      width=128, layers=4, heads=4, dropout=0.0, ema=0.999,
      optimizer=dict(
        name="muon", learning_rate=0.02, other_rate=3e-3, schedule="cosine", decay_steps=10_000,
        warmup=200,
      ),
    ),
    encoders=dict(widths=(32, 64, 128, 128)),
    clip_optimizer=dict(learning_rate=1e-3, schedule="cosine", decay_steps=10_000),
  ),
  data=dict(
    name="shapes", resolution=32, batch_size=32,
    leave_out=("red heart", "cyan square", "yellow triangle"),
  ),
  train=dict(
    steps=(4000, 10_000, 10_000), log_every=50, validate_every=500, sample_every=1000,
    checkpoint_every=500,
  ),
  # What a caption leaves open is little, and a code that is unlikely is mostly a mistake.
  sample=dict(temperature=0.5),
  evaluate=dict(samples=1000, classifier_steps=1000),
  measures=(
    "likelihood", "code_use", "caption_faithful", "captions_left_out", "captions_reconstructed",
    "retrieval", "sprites", "memorisation",
  ),
)  # fmt: skip

VARIANTS = {
  "sprites": SPRITES,
  "gumbel": merge(
    SPRITES,
    dict(
      model=dict(
        vqvae=dict(codebook="gumbel", gumbel=dict(steps=3000, kl=5e-4, kl_steps=1000)),
      )
    ),
  ),
  "captioned": merge(
    SPRITES,
    dict(
      data=dict(name="folder", leave_out=(), validation=0.05, test=0.1),
      measures=("likelihood", "code_use", "retrieval", "memorisation"),
    ),
  ),
  "tiny": tiny(
    SPRITES,
    dict(
      model=dict(
        vqvae=dict(
          codes=8, dim=4, width=8, blocks=0, residual=4, decay=0.5, restart=0.3,
          optimizer=dict(decay_steps=4),
        ),
        transformer=dict(
          width=8, layers=1, heads=2, optimizer=dict(decay_steps=4, warmup=2)
        ),
        encoders=dict(embedding=4, widths=(4,), hidden=(), text=4, heads=2),
      ),
      data=dict(resolution=8, batch_size=16, validation=0.003, test=0.003),
      train=dict(steps=(4, 4, 4)),
      measures=("memorisation",),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "sprites"):
  """The config of a variant."""
  return experiment("gen_jax.models.dalle.build", **variant(name, VARIANTS))
