"""Conditional GAN: a class-conditional WGAN-GP, by default on the digits.

Sources: Mirza & Osindero 2014 (arXiv:1411.1784): generator and critic are given the label, joined
to the latent and to the image; `projection`: Miyato & Koyama 2018 (arXiv:1802.05637), the critic
takes the label by an inner product. Loss and optimiser of Gulrajani et al. 2017 (arXiv:1704.00028).

  python -m gen_jax.main --config configs/cgan.py[:projection]   2 minutes on one core
  python -m gen_jax.main --config configs/cgan.py:mnist   40 minutes of one core

Seed 0, 1500 samples: 99.2% read as their class, 99.2% accuracy of a classifier trained on samples
only, Frechet distance 5.8 (training data 3.5), precision 0.94, recall 0.92, nearest-training ratio
1.18. `projection`: 99.4%, 98.3%, 5.2, 0.95, 0.91, 1.14. `mnist`, 2000 steps (12 epochs of the
critic), 10,000 samples: 82.5% read as their class, 90.5% accuracy of a classifier trained on
samples only (99.5% on real data), Frechet distance 113 (training data 1.2), precision 0.82, recall
0.75: each row of the grid is its digit, with ragged strokes.
"""

from gen_jax.config import experiment, merge, tiny, variant

DECAYING = dict(learning_rate=5e-4, b1=0.5, b2=0.9, schedule="linear", decay_steps=1500)
SHORT = dict(decay_steps=8)


def optimizers(both):
  """The same optimiser for both players."""
  return dict(critic_optimizer=both, generator_optimizer=both)


DIGITS = dict(
  model=dict(
    conditional=True, loss="wgan", penalties=dict(wgan_gp=10.0), n_critic=5, latent=32,
    generator=dict(widths=(128, 64)), critic=dict(widths=(64, 128), norm="layer"), init_std=0.0,
    **optimizers(DECAYING),
  ),
  data=dict(name="digits", batch_size=64),
  train=dict(
    steps=1500, log_every=50, validate_every=500, sample_every=500, checkpoint_every=500
  ),
  evaluate=dict(samples=1500),
  measures=(
    "sample_accuracy", "trained_on_samples", "class_shares", "frechet", "prdc", "memorisation",
    "health",
  ),
)  # fmt: skip

VARIANTS = {
  "digits": DIGITS,
  "projection": merge(DIGITS, dict(model=dict(critic=dict(projection=True)))),
  "mnist": merge(
    DIGITS,
    dict(
      model=dict(latent=100, **optimizers(dict(decay_steps=2000))),
      data=dict(name="tfds:mnist"),
      train=dict(steps=2000),
      evaluate=dict(samples=10_000, classifier_steps=2000),
    ),
  ),
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(
        latent=4,
        generator=dict(widths=(), hidden=(16,)),
        critic=dict(widths=(), hidden=(16, 16), projection=True, spectral=True),
        n_critic=2,
        **optimizers(SHORT),
      ),
      data=dict(batch_size=16),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.gan.build", **variant(name, VARIANTS))
