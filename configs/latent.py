"""Latent diffusion: coloured sprites at 32x32 pixels, diffused as codes of 8x8 places.

Source: Rombach et al. 2022 (arXiv:2112.10752). `train.steps` are those of the autoencoder, then
those of the diffusion, here flow matching conditioned on the shape. `pixels` is the same diffusion
of the pixels themselves, to compare with, of which a step takes twelve times as long; `vq` has the
vectors of a VQ-VAE for codes.

  launch/run.sh --config configs/latent.py
  --config configs/latent.py:vq
  --config configs/latent.py:pixels
  --mode=evaluate --config.sample.guidance=2.0   the same measures with guidance
"""

from gen_jax.config import experiment, merge, tiny, variant

DIFFUSION = dict(
  path="linear", prediction="velocity", times="logit_normal", conditional=True, ema=0.998,
  unet=dict(width=32, multipliers=(1, 2), blocks=1, attention=(4,), heads=2),
  optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=7000, warmup=100, clip=1.0),
)  # fmt: skip

FIRST = dict(
  factor=4, dim=4, width=64, blocks=2, residual=32,
  optimizer=dict(learning_rate=3e-3, schedule="cosine", decay_steps=2500, warmup=50, clip=1.0),
)  # fmt: skip

SPRITES = dict(
  model=dict(DIFFUSION, kl=dict(FIRST, weight=3e-3)),
  data=dict(name="shapes", resolution=32, batch_size=32),
  train=dict(
    steps=(2500, 7000), log_every=50, validate_every=1000, sample_every=1000, checkpoint_every=500
  ),
  sample=dict(solver="heun", steps=25),
  evaluate=dict(samples=1000, classifier_steps=1000),
  measures=(
    "likelihood", "sprites", "sample_accuracy", "frechet", "prdc", "memorisation",
    "function_evaluations",
  ),
)  # fmt: skip

TINY = tiny(
  SPRITES,
  dict(
    model=dict(
      kl=dict(
        factor=2, dim=2, width=4, blocks=0, residual=4,
        optimizer=dict(warmup=2, decay_steps=8),
      ),
      network="dit", dit=dict(patch=1, width=8, depth=1, heads=2), ema=0.9,
      optimizer=dict(warmup=2, decay_steps=8),
    ),
    data=dict(name="digits", resolution=0, batch_size=16),
    train=dict(steps=(8, 8)),
    sample=dict(steps=2),
    measures=("likelihood",),
  ),
)  # fmt: skip

VARIANTS = {
  "sprites": SPRITES,
  "vq": merge(
    SPRITES, dict(model=dict(codes="vq", vq=dict(FIRST, codes=512, codebook="ema", decay=0.98)))
  ),
  "pixels": merge({**SPRITES, "model": DIFFUSION}, dict(train=dict(steps=7000))),
  "tiny": TINY,
  "tiny_vq": merge(
    TINY,
    dict(
      model=dict(
        codes="vq", network="unet",
        unet=dict(width=4, multipliers=(1,), attention=(), heads=1),
        # A fast average, so that codes die and are restarted within these few steps.
        vq=dict(
          factor=2, codes=8, dim=2, width=4, blocks=0, residual=4, decay=0.5, restart=0.3,
          optimizer=dict(warmup=2, decay_steps=8),
        ),
      ),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "sprites"):
  """The config of a variant."""
  of = "diffusion" if name == "pixels" else "latent"
  return experiment(f"gen_jax.models.{of}.build", **variant(name, VARIANTS))
