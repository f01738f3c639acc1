"""RealNVP: an exact density, by a chain of affine couplings, of points in the plane and of images.

Source: Dinh, Sohl-Dickstein & Bengio 2017 (arXiv:1605.08803), with ActNorm for batch normalisation.
The logit's alpha is 1e-5 for images, not the source's 0.05: an 8-bit black pixel, as most of a
digit's are, then spreads over a quarter of its range, not over a hundredth.

  --config configs/realnvp.py[:moons|checkerboard|rings|swissroll]   2 minutes of CPU time
  --config configs/realnvp.py:digits   1.7 minutes of CPU time
  --config configs/realnvp.py:mnist   38 minutes of one core
  --config configs/realnvp.py:mnist_variational   1 hour of one core

For the plane, 10000 steps of 512 points: nll in nats over 100000 test points, beside the entropy of
the data, which no model can undercut:

  8gaussians    2.856   (2.832)
  moons         2.396   (2.394)
  checkerboard  3.568   (3.466)
  rings         2.708   (2.623)
  swissroll     2.694   (2.670)

--mode=density shows the density beside the data.

`digits`: 1.83 bits/dim of the test digits (1.93 with alpha 0.05 and half the learning rate);
Gaussian mixtures on the same split: 2.67 (full), 2.85 (diagonal; see configs/gmm.py).

`mnist`: 1.175 bits/dim of 10,000 test digits with uniform dequantisation, 4000 steps, 4.4 epochs,
in 38 minutes of one core (on validation, 6000 steps with alpha 0.05 and half the rate had 1.47).
`mnist_variational`, as long, in an hour: 1.109. Both are bounds from 4 draws of the noise. The UvA
deep learning tutorials have 1.078 and 1.041 after 200 epochs.
"""

from gen_jax.config import experiment, merge, tiny, variant

PLANE = dict(
  model=dict(
    couplings=16, width=64, blocks=1, activation="silu", ema=0.998,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=10_000, warmup=200, clip=1.0),
  ),
  data=dict(name="toy2d:8gaussians", batch_size=512),
  train=dict(
    steps=10_000, steps_per_call=50, log_every=250, validate_every=2000, sample_every=2000,
    checkpoint_every=1000, best="nll",
  ),
  evaluate=dict(samples=5000, batch_size=2000),
  measures=("likelihood",),
)  # fmt: skip

IMAGES = dict(
  model=dict(
    couplings=3, scales=2, width=32, blocks=1, alpha=1e-5, ema=0.998,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=1500, warmup=100, clip=10.0),
  ),
  data=dict(name="digits", batch_size=64),
  train=dict(
    steps=1500, log_every=50, validate_every=500, sample_every=500, checkpoint_every=500,
    best="bits_per_dim",
  ),
  likelihood=dict(importance_samples=8),
  evaluate=dict(samples=1000),
  measures=("likelihood", "memorisation"),
)  # fmt: skip

MNIST = merge(
  IMAGES,
  dict(
    model=dict(couplings=3, scales=3, width=32, ema=0.999, optimizer=dict(decay_steps=4000)),
    data=dict(name="tfds:mnist", validation=0.02),
    train=dict(
      steps=4000, log_every=100, validate_every=2000, sample_every=2000, checkpoint_every=1000
    ),
    likelihood=dict(importance_samples=4),
    evaluate=dict(batch_size=250),
  ),
)  # fmt: skip

VARIANTS = {
  "8gaussians": PLANE,
  "moons": merge(PLANE, dict(data=dict(name="toy2d:moons"))),
  "checkerboard": merge(PLANE, dict(data=dict(name="toy2d:checkerboard"))),
  "rings": merge(PLANE, dict(data=dict(name="toy2d:rings"))),
  "swissroll": merge(PLANE, dict(data=dict(name="toy2d:swissroll"))),
  "digits": IMAGES,
  "mnist": MNIST,
  "mnist_variational": merge(MNIST, dict(model=dict(dequantization="variational"))),
  "tiny": tiny(
    PLANE,
    dict(
      model=dict(couplings=2, width=8, ema=0.9, optimizer=dict(warmup=2, decay_steps=8)),
      data=dict(batch_size=16),
    ),
  ),
}


def get_config(name: str = "8gaussians"):
  """The config of a variant."""
  return experiment("gen_jax.models.realnvp.build", **variant(name, VARIANTS))
