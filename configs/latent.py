"""Latent diffusion: coloured sprites at 32x32 pixels, diffused as codes of 8x8 places.

Source: Rombach et al. 2022 (arXiv:2112.10752). `train.steps` are those of the autoencoder, then
those of the diffusion, here flow matching conditioned on the shape. `pixels` is the same diffusion
of the pixels themselves, to compare with; `vq` has the vectors of a VQ-VAE for codes.

  launch/run.sh --config configs/latent.py
  --config configs/latent.py:vq
  --config configs/latent.py:pixels
"""

from gen_jax.config import experiment, merge, tiny, variant

DIFFUSION = dict(
  path="linear", prediction="velocity", times="logit_normal", conditional=True, ema=0.998,
  unet=dict(width=64, multipliers=(1, 2), blocks=1),
  optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=4000, warmup=100, clip=1.0),
)  # fmt: skip

SPRITES = dict(
  model=dict(
    DIFFUSION,
    kl=dict(
      factor=4, dim=4, weight=1e-4, width=64, blocks=1, residual=32,
      optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=2000),
    ),
  ),
  data=dict(name="shapes", resolution=32, batch_size=64),
  train=dict(
    steps=(2000, 4000), log_every=50, validate_every=1000, sample_every=1000, checkpoint_every=500,
  ),
  sample=dict(solver="heun", steps=25),
  evaluate=dict(samples=1000, classifier_steps=1000),
  measures=(
    "likelihood", "sprites", "sample_accuracy", "frechet", "prdc", "memorisation",
    "function_evaluations",
  ),
)  # fmt: skip

VARIANTS = {
  "sprites": SPRITES,
  "tiny": tiny(SPRITES),
}


def get_config(name: str = "sprites"):
  """The config of a variant."""
  return experiment("gen_jax.models.latent.build", **variant(name, VARIANTS))
