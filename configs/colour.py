"""Colourisation: sprites in six colours of which only the brightness is seen; photographs.

Source: Zhang, Isola & Efros 2016 (arXiv:1603.08511); Isola et al. 2017 (arXiv:1611.07004). Nothing
in a sprite's brightness says which colour it had, so that the best answers are known: of squared
error the mean of six colours, of a classifier ln 6 = 1.79 nats a pixel of a sprite. The variants
that begin with `cifar` are for a folder or zip of photographs of 32x32 pixels:

  python -m gen_jax.main --config configs/colour.py[:l2|gan]   1 to 2 minutes of CPU time
  python -m gen_jax.main --config configs/colour.py:cifar --config.data.path=PATH
"""

from gen_jax.config import experiment, merge, tiny, variant


def adam(rate: float, steps: int, **more) -> dict:
  return dict(learning_rate=rate, schedule="cosine", decay_steps=steps, **more)


def lasting(steps: int) -> dict:
  every = steps // 4
  return dict(
    steps=steps, log_every=50, validate_every=every, sample_every=every, checkpoint_every=every
  )


SHAPES = dict(
  model=dict(
    given="value", net=dict(widths=(16, 32), norm="none"), optimizer=adam(5e-3, 1000, clip=1.0)
  ),
  data=dict(name="shapes", resolution=16, batch_size=32, test=0.05),
  train=lasting(1000),
  measures=("likelihood", "colour"),
)
# Under the source's weight of the absolute error, flat between the colours, the net stays grey.
GAN = dict(
  learn="gan",
  l1_weight=10.0,
  net=dict(norm="group"),
  critic=dict(widths=(32, 64), norm="none", init_std=0.05),
  optimizer=adam(1e-3, 1000, b1=0.5),
  critic_optimizer=adam(5e-4, 1000, b1=0.5),
)

CIFAR = dict(
  model=dict(net=dict(widths=(24, 48, 96)), optimizer=adam(2e-3, 800, clip=1.0)),
  data=dict(name="folder", resolution=32, channels=3, batch_size=32, augment=("flip",)),
  train=lasting(800),
  measures=("likelihood", "colour", "recoloured_accuracy"),
)
CIFAR_L2 = dict(
  model=dict(learn="regression", ema=0.998, optimizer=dict(decay_steps=6000)), train=lasting(6000)
)
CIFAR_GAN = dict(
  learn="gan", critic=dict(widths=(32, 64, 128)), critic_optimizer=adam(2e-4, 800, b1=0.5)
)

VARIANTS = {
  "classes": SHAPES,
  "l2": merge(SHAPES, dict(model=dict(learn="regression"))),
  "rebalanced": merge(SHAPES, dict(model=dict(uniform=0.5))),
  "gan": merge(SHAPES, dict(model=GAN)),
  "cifar": CIFAR,
  "cifar_l2": merge(CIFAR, CIFAR_L2),
  "cifar_rebalanced": merge(CIFAR, dict(model=dict(uniform=0.5))),
  "cifar_gan": merge(CIFAR, dict(model=CIFAR_GAN)),
}
SMALL = dict(
  model=dict(net=dict(widths=(4, 6)), optimizer=dict(decay_steps=8)),
  data=dict(resolution=8, batch_size=8, validation=0.01, test=0.01),
)
VARIANTS |= {
  "tiny": tiny(SHAPES, SMALL, dict(model=dict(uniform=0.5, ema=0.9))),
  "tiny_gan": tiny(
    SHAPES, dict(model=GAN), SMALL,
    dict(model=dict(critic=dict(widths=(4,)), critic_optimizer=dict(decay_steps=8))),
  ),
}  # fmt: skip


def get_config(name: str = "classes"):
  """The config of a variant."""
  return experiment("gen_jax.models.colour.build", **variant(name, VARIANTS))
