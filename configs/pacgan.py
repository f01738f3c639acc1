"""PacGAN: a GAN whose critic judges four examples at once, by default on the digits.

Source: Lin et al. 2018 (arXiv:1712.04086). `ring8` and `grid25`, and the same with packs of two
(`packing2-`), have the settings of section 4.1 and of its code: a batch is 100 packs, both players
move at once. `digits` are those of `configs/gan.py:ns` with 16 packs in a batch; `stacked` are
three digits as one colour image, of which there are 1000 modes (section 4.2). Without packing:
--config.model.packing=1.

  python -m gen_jax.main --config configs/pacgan.py   2.2 minutes on one core
  python -m gen_jax.main --config configs/pacgan.py:stacked   4.3 minutes on one core

Seed 0, digits, 1000 samples: smallest class share 0.080 (test data 0.089), Frechet distance 10.9
(training data 3.5), precision 0.71, recall 0.95, nearest-training ratio 1.30. `stacked`: 973 of
1000 modes in 10,000 samples (real data: 1000), reverse KL 0.272 nats (real data 0.068).
"""

from gen_jax.config import experiment, merge, tiny, variant

DCGAN = dict(learning_rate=2e-4, b1=0.5)
PLANE = dict(learning_rate=1e-4, b1=0.8)


def optimizers(both):
  """The same optimiser for both players."""
  return dict(critic_optimizer=both, generator_optimizer=both)


DIGITS = dict(
  model=dict(
    loss="ns", packing=4, latent=32, generator=dict(widths=(128, 64)),
    critic=dict(widths=(64, 128)), **optimizers(DCGAN),
  ),
  data=dict(name="digits", batch_size=64),
  train=dict(
    steps=10_000, log_every=100, validate_every=1000, sample_every=1000, checkpoint_every=1000
  ),
  evaluate=dict(samples=1000),
  measures=("class_shares", "frechet", "prdc", "memorisation", "health"),
)  # fmt: skip

GRID25 = dict(
  model=dict(
    loss="ns", packing=4, order="simultaneous", latent=2,
    generator=dict(widths=(), hidden=(400,) * 4),
    critic=dict(widths=(), hidden=(200,) * 3, maxout=5), init_std=0.02, ema=0.0,
    **optimizers(PLANE),
  ),
  data=dict(name="toy2d:grid25", batch_size=400),
  # The paper's length is 400k steps.
  train=dict(
    steps=20_000, steps_per_call=50, log_every=500, sample_every=5000, checkpoint_every=5000
  ),
  evaluate=dict(samples=2500, batch_size=500),
  measures=("modes", "health"),
)  # fmt: skip

RING8 = dict(data=dict(name="toy2d:ring8"))
TWO = dict(model=dict(packing=2), data=dict(batch_size=200))

VARIANTS = {
  "digits": DIGITS,
  "stacked": merge(
    DIGITS,
    dict(
      data=dict(name="stacked"),
      evaluate=dict(samples=10_000, batch_size=500),
      measures=("channel_modes", "health"),
    ),
  ),
  "grid25": GRID25,
  "ring8": merge(GRID25, RING8),
  "packing2-grid25": merge(GRID25, TWO),
  "packing2-ring8": merge(GRID25, TWO, RING8),
  "tiny": tiny(
    GRID25,
    dict(
      model=dict(
        latent=2, generator=dict(hidden=(16,)), critic=dict(hidden=(8,), maxout=2), ema=0.9
      ),
      data=dict(batch_size=16),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.gan.build", **variant(name, VARIANTS))
