"""beta-VAE: a VAE whose KL weighs beta times, or is held at a capacity, on sprites with factors.

Sources: Higgins et al. 2017; Burgess et al. 2018 (arXiv:1804.03599), appendix A, for the network
and for `capacity`, with gamma 1000 and C raised to 25 nats; model.capacity.kl=batch
holds the batch's mean KL at C instead of each example's, as disentanglement_lib does.

  python -m gen_jax.main --config configs/beta_vae.py   4 minutes on two cores
  python -m gen_jax.main --config configs/beta_vae.py --sweep model.beta=1.0,4.0,16.0
      13 minutes; nats, test split:
        beta   reconstruction      kl   active units   DCI disentanglement   MIG
           1            54.83   17.62             10                 0.167  0.120
           4            74.65   10.26              5                 0.208  0.165
          16           164.4     4.73              4                 0.300  0.120
  python -m gen_jax.main --config configs/beta_vae.py --mode=traverse
      of the five latents in use, one moves the sprite up, one sideways, one is its size, and two
      share its colour, of which they move the size too
"""

from gen_jax.config import experiment, merge, tiny, variant

SHAPES = dict(
  model=dict(
    beta=4.0, latent=10, widths=(32, 32, 64), hidden=(256,),
    optimizer=dict(learning_rate=1e-3, schedule="cosine", decay_steps=4000),
  ),
  data=dict(name="shapes", batch_size=64),
  train=dict(
    steps=4000, log_every=100, validate_every=0, sample_every=1000, checkpoint_every=1000
  ),
  sample=dict(pixels="mean"),
  evaluate=dict(samples=1000),
  measures=("likelihood", "active_units", "disentanglement"),
)  # fmt: skip

PAPER = merge(
  SHAPES,
  dict(
    model=dict(optimizer=dict(learning_rate=1e-4, schedule="constant", decay_steps=0)),
    train=dict(steps=100_000, log_every=500, sample_every=10_000, checkpoint_every=5000),
  ),
)

VARIANTS = {
  "shapes": SHAPES,
  "beta1": merge(PAPER, dict(model=dict(beta=1.0))),
  "beta4": PAPER,
  "beta16": merge(PAPER, dict(model=dict(beta=16.0))),
  "capacity": merge(PAPER, dict(model=dict(beta=1.0, capacity=dict(nats=25.0, steps=100_000)))),
  "tiny": tiny(
    SHAPES,
    dict(
      model=dict(
        beta=1.0, capacity=dict(nats=2.0, steps=4, gamma=10.0), latent=3, widths=(), hidden=(8,),
        optimizer=dict(decay_steps=8),
      ),
      data=dict(name="digits", batch_size=16),
      measures=("likelihood", "active_units"),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "shapes"):
  """The config of a variant."""
  return experiment("gen_jax.models.vae.build", **variant(name, VARIANTS))
