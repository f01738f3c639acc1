"""DAE: denoising autoencoder, which restores the clean image from a corrupted one.

Source: Vincent et al. 2008, and 2010 for the kinds of corruption. The same command with
--config.model.denoising=False trains the plain autoencoder and measures it on the same corruption.

  python -m gen_jax.main --config configs/dae.py[:VARIANT]   25 s on two cores

Squared error of restored images (summed over an image, pixels in [0, 1]; 359 test digits):
                       gaussian  masking  salt_and_pepper  blur
  denoising                0.96     0.74             1.05  0.31
  plain autoencoder        3.39     3.04             3.48  2.89
  left as they are         5.69     3.76             5.37  2.95
"""

from gen_jax.config import experiment, merge, tiny, variant

GAUSSIAN = dict(
  model=dict(
    corruption=dict(kind="gaussian", amount=0.3), latent=64, hidden=(512, 256),
    optimizer=dict(schedule="cosine", decay_steps=3000),
  ),
  data=dict(name="digits", batch_size=128),
  train=dict(
    steps=3000, steps_per_call=50, log_every=100, validate_every=500, checkpoint_every=500,
    best="squared_error_corrupted",
  ),
  measures=("likelihood",),
)  # fmt: skip


def corrupted(kind: str, amount: float) -> dict:
  """The changes to another corruption."""
  return dict(model=dict(corruption=dict(kind=kind, amount=amount)))


VARIANTS = {
  "gaussian": GAUSSIAN,
  "masking": merge(GAUSSIAN, corrupted("masking", 0.25)),
  "salt_and_pepper": merge(GAUSSIAN, corrupted("salt_and_pepper", 0.2)),
  "blur": merge(GAUSSIAN, corrupted("blur", 1.0)),
  "tiny": tiny(
    GAUSSIAN,
    dict(
      model=dict(latent=3, hidden=(8,), optimizer=dict(decay_steps=8)),
      data=dict(batch_size=16),
    ),
  ),
}


def get_config(name: str = "gaussian"):
  """The config of a variant."""
  return experiment("gen_jax.models.ae.build", **variant(name, VARIANTS))
