"""GAN: generative adversarial networks, by default WGAN-GP on the digits.

Sources: Gulrajani et al. 2017 (arXiv:1704.00028) for `wgan_gp`; Goodfellow et al. 2014 with
DCGAN's settings for `mm` and `ns`; Mao et al. 2017 `ls`; Arjovsky et al. 2017 `wgan`; Kodali et
al. 2017 `dragan`; Berthelot et al. 2017 `began`. Rates and lengths are for 8x8 digits; those of
`-mnist` are the sources'. `-ring8` and `-grid25` have the networks with which PacGAN (Lin et al.
2018, section 4.1 and code) counts modes, and `ns` its order of turns and optimiser; its length is
400k steps.
`-stacked` are three digits as one colour image, of which there are 1000 modes. `unrolled-ring8` are
Metz et al. 2017's settings, `minibatch` is `ns` with Salimans et al. 2016's minibatch
discrimination, and `r3gan` is Huang et al. 2024 (`-ring8`, `-grid25` its loss alone).
`wgan_gp-cifar10` has residual players and is for a GPU; it has not been trained.

Test split, 1000 samples, mean and standard deviation of seeds 0 to 2: Frechet distance (training
data 3.5), smallest share of a class as a classifier of real data reads the samples (test data
0.089), precision, recall, coverage, nearest-training ratio:

  mm         5.9 +- 0.6   0.079 +- 0.008   0.84  0.95  0.98  1.15
  ns         6.3 +- 0.9   0.084 +- 0.005   0.82  0.97  0.98  1.18
  wgan      11.1 +- 1.8   0.081 +- 0.005   0.63  0.98  0.83  1.40
  wgan_gp   12.3 +- 0.5   0.077 +- 0.011   0.74  0.96  0.91  1.33
  ls        10.8 +- 3.9   0.048 +- 0.026   0.85  0.97  0.99  1.15
  dragan     7.1 +- 0.9   0.076 +- 0.006   0.83  0.97  0.98  1.15
  began     16.1 +- 1.7   0.066 +- 0.007   0.89  0.41  0.93  0.96

by

  --config configs/gan.py[:mm|ns|wgan|ls|dragan|began]   1 to 5 minutes on two busy cores
  python -m gen_jax.main --config configs/gan.py --sweep seed=0,1,2
      --sweep variant=mm,ns,wgan,wgan_gp,ls,dragan,began

  --config configs/gan.py:minibatch   11 minutes of one core
  --config configs/gan.py:ns-stacked   5 minutes of one core

Six find every class at 5% or more with each seed. `ls` nearly loses one class, the zeros, with seed
2 (1.8%). `began` has dense players, batch normalisation in its autoencoder and a controller twenty
times as fast as the source's; its samples are smooth, and its recall is the lowest of all. With
seed 0, without the normalisation it loses classes (0.000, Frechet 192), and at the source's rate of
1e-3 it takes longer to the same end (0.062, 22.4). `r3gan`, 4000 steps, seed 0, is behind
them all: Frechet 37.9, every class at 5.2% or more, recall 0.67; many of its digits stand on
grey.
"""

from gen_jax.config import experiment, merge, tiny, variant

ADAM_GP = dict(learning_rate=5e-4, b1=0.5, b2=0.9, schedule="linear", decay_steps=1500)
DCGAN = dict(learning_rate=2e-4, b1=0.5)
RMSPROP = dict(name="rmsprop", learning_rate=2e-4, b2=0.99)
DRAGAN = dict(learning_rate=1e-4, b1=0.5, b2=0.9)


def optimizers(both):
  """The same optimiser for both players."""
  return dict(critic_optimizer=both, generator_optimizer=both)


def every(log, other):
  """Intervals of the trainer."""
  names = ("validate_every", "sample_every", "checkpoint_every")
  return dict(log_every=log, **dict.fromkeys(names, other))


DIGITS = dict(
  model=dict(latent=32, generator=dict(widths=(128, 64)), critic=dict(widths=(64, 128))),
  data=dict(name="digits", batch_size=64),
  # One turn each: three times the steps of five turns and a penalty, for about the same time.
  train=dict(steps=10_000, **every(100, 1000)),
  evaluate=dict(samples=1000),
  measures=("class_shares", "frechet", "prdc", "memorisation", "health"),
)

GAMES = {
  "mm": dict(model=dict(loss="mm", **optimizers(DCGAN))),
  "ns": dict(model=dict(loss="ns", **optimizers(DCGAN))),
  "wgan": dict(
    model=dict(
      loss="wgan", clip=0.01, n_critic=5, opening=dict(n_critic=100), **optimizers(RMSPROP)
    ),
    train=dict(steps=3000, **every(50, 500)),
  ),
  "wgan_gp": dict(
    model=dict(
      loss="wgan", penalties=dict(wgan_gp=10.0), n_critic=5, critic=dict(norm="layer"),
      init_std=0.0, **optimizers(ADAM_GP),
    ),
    train=dict(steps=1500, **every(50, 500)),
  ),
  "ls": dict(model=dict(loss="ls", **optimizers(DCGAN))),
  "dragan": dict(
    model=dict(
      loss="ns", penalties=dict(dragan=10.0), critic=dict(norm="layer"), **optimizers(DRAGAN)
    ),
  ),
  "began": dict(
    model=dict(
      loss="began", noise="uniform", init_std=0.0,
      began=dict(gamma=0.75, lambda_k=0.02, code=16),
      generator=dict(widths=(), hidden=(256, 256)),
      critic=dict(widths=(), hidden=(256, 256), norm="batch"),
      critic_optimizer=dict(learning_rate=2e-4), generator_optimizer=dict(learning_rate=1e-3),
    ),
    train=dict(steps=5000, **every(100, 1000)),
  ),
}  # fmt: skip

MNIST = dict(
  model=dict(latent=100),
  data=dict(name="tfds:mnist"),
  train=dict(steps=20_000, **every(100, 2000)),
  evaluate=dict(samples=10_000, classifier_steps=2000),
)

PLANE = dict(
  model=dict(
    latent=2, generator=dict(widths=(), hidden=(400,) * 4),
    critic=dict(widths=(), hidden=(200,) * 3, maxout=5, norm="none"), init_std=0.02,
    order="simultaneous", n_critic=1, ema=0.0,
    **optimizers(dict(learning_rate=1e-4, b1=0.8, b2=0.999, schedule="constant", decay_steps=0)),
  ),
  data=dict(batch_size=100),
  train=dict(
    steps=20_000, steps_per_call=50, log_every=500, validate_every=0, sample_every=5000,
    checkpoint_every=5000,
  ),
  evaluate=dict(samples=2500, batch_size=500),
  measures=("modes", "health"),
)  # fmt: skip
# Modes are 0.01 or 0.05 wide: with the penalty's usual weight of 10, and PLANE's optimiser, 20k
# steps leave 0.4% of the ring's samples within three of these. The source's code for points.
TOY_GP = dict(
  order="alternating", n_critic=5, penalties=dict(wgan_gp=0.1), **optimizers(dict(b1=0.5, b2=0.9))
)
GAMES_OF_POINTS = {"ns": {}, "wgan_gp": dict(model=TOY_GP)}

VARIANTS = {name: merge(DIGITS, game) for name, game in GAMES.items()}
for name in ("ns", "wgan_gp"):
  both = optimizers(dict(learning_rate=1e-4 if name == "wgan_gp" else 2e-4, schedule="constant"))
  VARIANTS[f"{name}-mnist"] = merge(VARIANTS[name], MNIST, dict(model=both))
  for plane in ("ring8", "grid25"):
    VARIANTS[f"{name}-{plane}"] = merge(
      VARIANTS[name], PLANE, GAMES_OF_POINTS[name], dict(data=dict(name=f"toy2d:{plane}"))
    )
# Appendix C of the source, with residual players: its critic halves the image twice, this one, a
# mirror of the generator, three times.
VARIANTS["wgan_gp-cifar10"] = merge(
  VARIANTS["wgan_gp"],
  dict(
    model=dict(
      latent=128, generator=dict(widths=(128, 128, 128), blocks="residual"),
      critic=dict(widths=(128, 128, 128), blocks="residual", activation="relu"),
      **optimizers(
        dict(learning_rate=2e-4, b1=0.0, b2=0.9, schedule="linear", decay_steps=100_000)
      ),
    ),
    data=dict(name="tfds:cifar10", augment=("flip",)),
    train=dict(steps=100_000, **every(100, 5000)),
    evaluate=dict(samples=10_000, classifier_steps=6000),
  ),
)  # fmt: skip

# Section 5.1's players, on eight Gaussians in a ring.
VARIANTS["duality"] = merge(
  VARIANTS["ns-ring8"],
  dict(
    model=dict(
      loss="mm", latent=10, duality=dict(steps=10, optimizer=dict(learning_rate=1e-3)),
      generator=dict(hidden=(100,) * 3, norm="none"),
      critic=dict(hidden=(100,) * 3, maxout=0, norm="none"), init_std=0.0,
      **optimizers(dict(learning_rate=1e-3, b1=0.9)),
    ),
    data=dict(name="toy2d:8gaussians", batch_size=256),
    train=dict(steps=5000),
    measures=("modes", "duality", "proximal_duality"),
  ),
)  # fmt: skip

# Metz et al. 2017, section 3.1, and its code: players, optimisers and length; weights there are
# orthogonal.
VARIANTS["unrolled-ring8"] = merge(
  VARIANTS["ns-ring8"],
  dict(
    model=dict(
      loss="mm", unroll=5, latent=256, init_std=0.0,
      generator=dict(hidden=(128,) * 2, norm="none", activation="tanh"),
      critic=dict(hidden=(128,) * 2, maxout=0, activation="tanh"),
      critic_optimizer=dict(learning_rate=1e-4, b1=0.5),
      generator_optimizer=dict(learning_rate=1e-3, b1=0.5),
    ),
    data=dict(batch_size=512),
    train=dict(steps=25_000),
  ),
)  # fmt: skip

# Huang et al. 2024. Its rates, b2, gamma and average change in the course of a run; these do not.
R3 = dict(
  loss="rp", penalties=dict(r1=0.1, r2=0.1), init_std=0.0, ema=0.999,
  **optimizers(dict(learning_rate=2e-4, b1=0.0, b2=0.99)),
)  # fmt: skip
FIXUP = dict(blocks="fixup", norm="none", activation="leaky_relu")
VARIANTS["r3gan"] = merge(
  DIGITS,
  dict(
    model=dict(
      latent=64, generator=dict(widths=(32, 32), **FIXUP), critic=dict(widths=(32, 32), **FIXUP),
      **R3,
    ),
    train=dict(steps=4000, **every(100, 500)),
  ),
)  # fmt: skip

STACKED = dict(
  data=dict(name="stacked"),
  evaluate=dict(samples=10_000, batch_size=500),
  measures=("channel_modes", "health"),
)
for name in ("ns", "wgan_gp", "r3gan"):
  VARIANTS[f"{name}-stacked"] = merge(VARIANTS[name], STACKED)
told = dict(minibatch=dict(statistic="discrimination"))
VARIANTS["minibatch"] = merge(VARIANTS["ns"], dict(model=dict(critic=told)))
VARIANTS["minibatch-stacked"] = merge(VARIANTS["minibatch"], STACKED)
for plane in ("ring8", "grid25"):
  VARIANTS[f"r3gan-{plane}"] = merge(
    VARIANTS[f"ns-{plane}"],
    dict(
      model=dict(
        latent=2, order="alternating", **R3,
        generator=dict(hidden=(128,) * 3, norm="none"),
        critic=dict(hidden=(128,) * 3, maxout=0),
      ),
      data=dict(batch_size=256),
    ),
  )  # fmt: skip
  VARIANTS[f"minibatch-{plane}"] = merge(
    VARIANTS[f"ns-{plane}"],
    dict(model=dict(critic=merge(told, dict(minibatch=dict(kernels=20))))),
  )
VARIANTS["unrolled-grid25"] = merge(
  VARIANTS["unrolled-ring8"], dict(data=dict(name="toy2d:grid25"))
)

SMALL = dict(
  model=dict(
    latent=4, generator=dict(widths=(), hidden=(16,)), critic=dict(widths=(), hidden=(16,)),
    **optimizers(dict(schedule="linear", decay_steps=8)),
  ),
  data=dict(batch_size=16),
)  # fmt: skip
# One for each kind of game that the laws of tests/conformance are to hold of.
TWO_LAYERS = dict(model=dict(critic=dict(hidden=(16, 16)), n_critic=2))
FEW = dict(model=dict(n_critic=2, opening=dict(n_critic=3, rounds=4)), train=dict(steps=4))
SPECTRAL = dict(model=dict(loss="hinge", critic=dict(spectral=True)))
VARIANTS |= {
  "tiny": tiny(VARIANTS["wgan_gp"], SMALL, TWO_LAYERS),
  "tiny_ns": tiny(VARIANTS["ns"], SMALL),
  "tiny_hinge": tiny(VARIANTS["ns"], SMALL, SPECTRAL),
  "tiny_duality": tiny(
    VARIANTS["duality"],
    SMALL,
    dict(model=dict(duality=dict(steps=2)), data=dict(name="digits"), measures=("memorisation",)),
  ),
  "tiny_dragan": tiny(VARIANTS["dragan"], SMALL),
  "tiny_wgan": tiny(VARIANTS["wgan"], SMALL, FEW),
  "tiny_unrolled": tiny(
    VARIANTS["unrolled-ring8"],
    SMALL,
    dict(
      model=dict(unroll=2, critic_optimizer=dict(decay_steps=8)),
      data=dict(name="digits"),
      measures=("memorisation",),
    ),
  ),
  "tiny_minibatch": tiny(
    VARIANTS["minibatch"],
    SMALL,
    dict(
      model=dict(
        critic=dict(hidden=(16, 16), norm="batch", minibatch=dict(size=4, kernels=3, dims=2))
      )
    ),
  ),
  "tiny_r3gan": tiny(
    VARIANTS["r3gan"],
    SMALL,
    dict(
      model=dict(
        generator=dict(widths=(4, 4), hidden=()),
        critic=dict(widths=(4, 4), hidden=()),
      )
    ),
  ),
  "tiny_began": tiny(VARIANTS["began"], SMALL, dict(model=dict(began=dict(code=4)))),
}


def get_config(name: str = "wgan_gp"):
  """The config of a variant."""
  return experiment("gen_jax.models.gan.build", **variant(name, VARIANTS))
