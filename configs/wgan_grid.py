"""Seven architectures by four losses, each loss with one set of hyperparameters: which pairs learn?

Source: Gulrajani et al. 2017 (arXiv:1704.00028, figure 2) and its code, on LSUN and ImageNet.
A variant is LOSS-ARCHITECTURE, on `stacked`: three digits as one colour image of 8x8, of which
there are 1000 modes, with players of half the width and fewer layers, the ResNet aside;
one to two minutes of a busy core each, the ResNet half an hour.
LOSS-ARCHITECTURE-cifar10 and LOSS-ARCHITECTURE-64 have the source's widths and length; they are for
a GPU and have not been trained, and the latter wants a folder of images: --config.data.path=DIR.
Several by

  python -m gen_jax.main --config configs/wgan_grid.py --sweep variant=ns-mlp,ls-mlp,...

Losses: `ns` (DCGAN), `ls`, `wgan` with clipped weights, `wgan_gp`. Architectures: `baseline`
(DCGAN), `constant` (a generator without normalisation, of one width), `mlp` (a generator of four
dense layers), `no_norm`, `gated`, `tanh`, `resnet` (101 layers). Layers are sub-pixel 3x3 and
strided 4x4 convolutions where the source's are 5x5. Critics have batch normalisation, `wgan_gp`'s
layer normalisation. The source halves the losses of `ns` and `ls`, which Adam and RMSProp undo.
"""

from gen_jax.config import experiment, merge, tiny, variant


def both(**optimizer):
  """The same optimiser for both players."""
  return dict(critic_optimizer=optimizer, generator_optimizer=optimizer)


LOSSES = {
  "ns": dict(loss="ns", **both(learning_rate=2e-4, b1=0.5)),
  "ls": dict(loss="ls", **both(name="rmsprop", learning_rate=1e-4, b2=0.9)),
  "wgan": dict(
    loss="wgan", clip=0.01, n_critic=5, **both(name="rmsprop", learning_rate=5e-5, b2=0.9)
  ),
  "wgan_gp": dict(
    loss="wgan", penalties=dict(wgan_gp=10.0), n_critic=5,
    **both(learning_rate=1e-4, b1=0.0, b2=0.9),
  ),
}  # fmt: skip
ARCHITECTURES = ("baseline", "constant", "mlp", "no_norm", "gated", "tanh", "resnet")


def players(loss, architecture, d, halvings, hidden, depth):
  """The model's options for widths d, 2d, ... of the critic from the highest resolution on.

  hidden: width of the dense generator.
  depth: the ResNet's plain blocks at each resolution, from the lowest on.
  """
  widths = tuple(d * 2**i for i in range(halvings))
  norm = "layer" if loss == "wgan_gp" else "batch"
  generator = dict(widths=widths[::-1], norm="batch", activation="relu")
  critic = dict(widths=widths, norm=norm, activation="leaky_relu")
  weights = dict(init="uniform", init_std=0.02)
  if architecture == "constant":
    generator |= dict(widths=(d,) * halvings, norm="none")
  if architecture == "mlp":
    generator |= dict(widths=(), hidden=(hidden,) * 4, norm="none")
  if architecture == "no_norm":
    generator, critic = generator | dict(norm="none"), critic | dict(norm="none")
  if architecture in ("gated", "tanh"):
    generator, critic = (net | dict(activation=architecture) for net in (generator, critic))
  if architecture == "gated":
    weights = dict(init="uniform", init_std=0.0)
  if architecture == "resnet":
    deep = (max(d // 2, 16), *widths) if halvings > 2 else (d,) * (halvings + 1)
    blocks = dict(blocks="bottleneck", activation="relu")
    generator |= dict(widths=deep[::-1], depth=depth, **blocks)
    critic |= dict(widths=deep, depth=depth[::-1], **blocks)
    weights = dict(init_std=0.0)
  return dict(generator=generator, critic=critic, **weights)


# What the source's code keeps no average of, nor here.
BASE = dict(
  model=dict(latent=128, ema=0.0),
  data=dict(batch_size=64),
  evaluate=dict(samples=10_000, batch_size=500),
)
SMALL = dict(data=dict(name="stacked"), measures=("channel_modes", "health"))
FULL = dict(
  train=dict(
    steps=200_000, log_every=500, validate_every=20_000, sample_every=5000, checkpoint_every=5000
  ),
  evaluate=dict(classifier_steps=6000),
  measures=("frechet", "prdc", "health"),
)
# name -> (data, width, halvings, the dense generator's width, the ResNet's depth: 33 blocks)
SIZES = {
  "": (SMALL, 32, 2, 256, (11, 10, 10)),
  "-cifar10": (
    merge(FULL, dict(data=dict(name="tfds:cifar10", augment=("flip",)))), 64, 3, 512, (8, 8, 7, 7)
  ),
  "-64": (
    merge(FULL, dict(data=dict(name="folder", resolution=64, augment=("flip",)))),
    64, 4, 512, (6, 6, 6, 6, 5),
  ),
}  # fmt: skip


def steps_of(loss):
  """Rounds on stacked digits: five turns of the critic, or one, for about the same time."""
  steps = 1500 if loss.startswith("wgan") else 6000
  every = dict.fromkeys(("validate_every", "sample_every", "checkpoint_every"), steps)
  return dict(train=dict(steps=steps, log_every=steps // 60, **every))


# LOSS-ARCHITECTURE, for each size.
NAMES = [f"{loss}-{which}{size}" for size in SIZES for loss in LOSSES for which in ARCHITECTURES]


def cell(name):
  """What a name of NAMES stands for."""
  loss, architecture, *size = name.split("-")
  data, d, halvings, hidden, depth = SIZES["".join(f"-{part}" for part in size)]
  made = merge(LOSSES[loss], players(loss, architecture, d, halvings, hidden, depth))
  return merge(BASE, {} if size else steps_of(loss), data, dict(model=made))


VARIANTS = {
  "wgan_gp-baseline": cell("wgan_gp-baseline"),
  "tiny": tiny(
    cell("ns-resnet"),
    dict(
      model=dict(
        latent=4, generator=dict(widths=(4, 4), depth=(2, 1)),
        critic=dict(widths=(4, 4), depth=(1, 2)),
      ),
      data=dict(name="digits", batch_size=16),
      measures=("memorisation",),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "wgan_gp-baseline"):
  """The config of a variant."""
  found = cell(name) if name in NAMES else variant(name, {**dict.fromkeys(NAMES), **VARIANTS})
  return experiment("gen_jax.models.gan.build", **found)
