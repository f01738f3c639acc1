"""The networks of a GAN's players, as a config says them: their options, checks and making."""

from __future__ import annotations

import dataclasses
from typing import Literal

from flax import linen as nn

from gen_jax.core import Spec, UserError
from gen_jax.nets import bottleneck, fixup
from gen_jax.nets import gan as nets
from gen_jax.schema import Count, Natural

# What convolutions are arranged in: single layers (DCGAN); two beside a shortcut (Gulrajani et al.
# 2017, appendix C); three, the middle one narrow (`nets.bottleneck`) or wide (`nets.fixup`).
Blocks = Literal["single", "residual", "bottleneck", "fixup"]
STAGED = ("bottleneck", "fixup")


@dataclasses.dataclass(frozen=True)
class GeneratorNet:
  """The generator's network, see `nets.gan.Generator`.

  widths: channels from the lowest resolution on, each doubled once; () for dense layers only. Of
    blocks=bottleneck and fixup: channels of each resolution, of which the last is not doubled.
  hidden: dense layers before its convolutions; of blocks=single and residual.
  blocks: single, residual, bottleneck (`nets.bottleneck`) or fixup (`nets.fixup`).
  depth: of bottleneck and fixup: blocks at each resolution, () for one each.
  cardinality: groups of a fixup block's 3x3 convolution.
  norm: before each hidden activation; none for fixup.
  activation: of hidden units; leaky_relu has slope 0.2, and is fixup's only one.
  """

  widths: tuple[Count, ...] = (512, 256, 128, 64)
  hidden: tuple[Count, ...] = ()
  blocks: Blocks = "single"
  depth: tuple[Count, ...] = ()
  cardinality: Count = 1
  norm: nets.Norm = "batch"
  activation: nets.Activation = "relu"


@dataclasses.dataclass(frozen=True)
class Minibatch:
  """What the critic is told of the group that an example is in, see `nets.minibatch`.

  statistic: none, deviation or discrimination.
  size: examples of a group (packs, with packing); divides the batch, and 0 is all of it. Out of
    training each example is judged alone.
  kernels, dims: of discrimination.
  """

  statistic: nets.Statistic = "none"
  size: Natural = 0
  kernels: Count = 100
  dims: Count = 5


@dataclasses.dataclass(frozen=True)
class CriticNet:
  """The critic's network, see `nets.gan.Critic`.

  widths: channels of its convolutions, which halve the image; () for dense layers only. BEGAN's
    decoder mirrors them and `hidden`, with ReLU. Of blocks=bottleneck and fixup: channels of each
    resolution, from the highest on.
  hidden: dense layers behind them; of blocks=single and residual.
  blocks, depth, cardinality: as the generator's.
  norm: before each hidden activation but the first; none for fixup. By batch, real examples and
    fakes are each normalised by their own, and out of training by running statistics of real ones;
    BEGAN's decoder has it in all its hidden layers.
  activation: of hidden units; leaky_relu has slope 0.2, and is fixup's only one.
  maxout: pieces of the units of dense layers, which then need no activation; 0 for none.
  spectral: all weights are divided by their largest singular value.
  projection: it takes the label by an inner product.
  minibatch: see there.
  """

  widths: tuple[Count, ...] = (64, 128, 256, 512)
  hidden: tuple[Count, ...] = ()
  blocks: Blocks = "single"
  depth: tuple[Count, ...] = ()
  cardinality: Count = 1
  norm: nets.Norm = "none"
  activation: nets.Activation = "leaky_relu"
  maxout: Natural = 0
  spectral: bool = False
  projection: bool = False
  minibatch: Minibatch = Minibatch()


def depth_of(net: GeneratorNet | CriticNet) -> tuple[int, ...]:
  """Blocks at each resolution."""
  return net.depth or (1,) * len(net.widths)


def generator_of(spec: Spec, net: GeneratorNet, **how) -> nn.Module:
  """The generator of such examples; how: init_std, initial, dtype."""
  staged = {"shape": spec.shape, "widths": net.widths, "depth": depth_of(net)}
  bounded, dtype = spec.levels is not None, {"dtype": how["dtype"]}
  if net.blocks == "fixup":
    return fixup.Generator(**staged, groups=net.cardinality, **dtype)
  if net.blocks == "bottleneck":
    own = {"norm": net.norm, "activation": net.activation, "bounded": bounded}
    return bottleneck.Generator(**staged, **own, **dtype)
  return nets.Generator(
    spec.shape, net.hidden, net.widths, net.blocks == "residual", net.norm, net.activation,
    bounded, **how,
  )  # fmt: skip


def critic_of(net: CriticNet, bias: bool, **how) -> nn.Module:
  """The critic by logits; bias: whether these have one."""
  staged = {"widths": net.widths, "depth": depth_of(net), "dtype": how["dtype"]}
  if net.blocks == "fixup":
    return fixup.Critic(**staged, groups=net.cardinality)
  if net.blocks == "bottleneck":
    return bottleneck.Critic(**staged, norm=net.norm, activation=net.activation, bias=bias)
  told = net.minibatch
  return nets.Critic(
    net.widths, net.blocks == "residual", net.hidden, activation=net.activation,
    maxout=net.maxout, norm=net.norm, spectral=net.spectral, projection=net.projection,
    statistic=told.statistic, kernels=told.kernels, dims=told.dims, bias=bias, **how,
  )  # fmt: skip


def check_nets(spec: Spec, generator: GeneratorNet, critic: CriticNet, init_std: float) -> None:
  """Refuses networks that do not fit the data, or that cannot be.

  Raises:
    UserError: naming the option.
  """
  for player, net in (("generator", generator), ("critic", critic)):
    named, staged = f"model.{player}", net.blocks in STAGED
    if net.blocks != "single" and not net.widths:
      raise UserError(f"{named}.blocks={net.blocks} is of convolutions: give its widths")
    check_blocks(named, net, init_std)
    halvings = len(net.widths) - staged
    scale = 2**halvings
    if net.widths and (len(spec.shape) != 3 or spec.shape[0] % scale or spec.shape[1] % scale):
      raise UserError(
        f"{len(net.widths)} {named}.widths halve an image {halvings} times, so its"
        f" height and width must be multiples of {scale}; the data have shape {tuple(spec.shape)}:"
        " give fewer widths, or () for dense layers"
      )
    if staged and len(depth_of(net)) != len(net.widths):
      raise UserError(f"{named}.depth must have {len(net.widths)} entries, one for each width")
    if not staged and net.depth:
      raise UserError(f"{named}.depth is of blocks=bottleneck or fixup")
  if critic.blocks in STAGED and (
    critic.maxout or critic.spectral or critic.projection or critic.minibatch.statistic != "none"
  ):
    raise UserError(
      "model.critic.maxout, spectral, projection and minibatch are of blocks=single or residual"
    )
  if critic.maxout and critic.activation == "gated":
    raise UserError("model.critic.maxout takes the place of activation=gated: give one of them")


def check_blocks(named: str, net: GeneratorNet | CriticNet, init_std: float) -> None:
  """Refuses options that blocks have no use for."""
  if net.blocks in STAGED and (net.hidden or init_std):
    raise UserError(
      f"{named}.blocks={net.blocks} has initial weights of its own and no dense layers: set"
      " model.init_std=0, and hidden=()"
    )
  if net.blocks != "single" and net.activation == "gated":
    raise UserError(f"{named}.activation=gated is of blocks=single")
  if net.blocks == "fixup" and (net.norm != "none" or net.activation != "leaky_relu"):
    raise UserError(f"{named}.blocks=fixup needs norm=none and activation=leaky_relu")
  if net.blocks == "fixup" and any(2 * width % net.cardinality for width in net.widths):
    raise UserError(f"{named}.cardinality={net.cardinality} must divide twice its widths")
  if net.blocks != "fixup" and net.cardinality > 1:
    raise UserError(f"{named}.cardinality is of blocks=fixup")
  if net.blocks == "bottleneck" and any(width % 2 for width in net.widths):
    raise UserError(f"{named}.blocks=bottleneck needs even widths: a block is half as wide inside")
