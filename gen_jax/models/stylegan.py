"""StyleGAN: a style-based generator (Karras et al. 2019, arXiv:1812.04948), which may grow.

  critic      softplus(D(y)) + softplus(-D(x)) + gamma / 2 ||grad_x D(x)||^2  (R1, appendix C)
  generator   softplus(-D(y))
  styles      w = f(z), of every layer; with probability `mixing` the layers from a random one on
              have that of another z                                           (section 3.1)
  mean style  w_mean <- 0.995 w_mean + 0.005 mean_batch w
  truncation  w' = w_mean + psi (w - w_mean), in the layers before `cutoff`, of samples only
                                                                               (appendix B)

Samples come from the average of the generator's weights, and w_mean is of that average's own
mapping. Whether and where styles are mixed is drawn for each example, as the paper says it; the
source's code draws it for each batch. How it grows: `models.growing`.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array, Model, Program, PyTree, Spec, fold_all
from gen_jax.learn.game import averaged
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.penalties import Penalties
from gen_jax.models.growing import Pair, fade_of, model_of, program_of
from gen_jax.nets.progan import Critic
from gen_jax.nets.style import Mapping, Synthesis, noises
from gen_jax.schema import Count, Decay, Dtype, Natural, Positive, Share, builder

ADAM = Optimizer(learning_rate=1e-3, b1=0.0, b2=0.99)
MEMORY = 0.995  # decay of the mean style
Z, OTHER, MIX, CUT, NOISE = range(5)  # uses of an example's key


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  truncation: psi; 1 for none, 0 for the mean style, below 0 for what is opposite to it.
  cutoff: layers from this on are not truncated.
  noise: of the pixels: own of each sample, the same fixed one for all, or none. `decode` has no
    own: it takes the fixed one.
  """

  truncation: float = 1.0
  cutoff: Natural = 8
  noise: Literal["own", "fixed", "none"] = "own"


class Generator(NamedTuple):
  """The networks of one level, and the layers they have: 2 (level + 1)."""

  mapping: Mapping
  synthesis: Synthesis
  latent: int
  level: int
  dtype: jnp.dtype

  @property
  def layers(self) -> int:
    return 2 * (self.level + 1)


def latents(net: Generator, keys: Array, use: int = Z) -> Array:
  """z [n, Z] of keys [n]."""
  draw = lambda key: jax.random.normal(key, (net.latent,), net.dtype)
  return jax.vmap(draw)(fold_all(keys, use))


def init(net: Generator, key: Array, fades: bool) -> tuple[PyTree, dict]:
  """Parameters, and the mean style."""
  m_key, s_key = jax.random.split(key)
  mapping = net.mapping.init(m_key, jnp.zeros((1, net.latent), net.dtype))["params"]
  w = jnp.zeros((1, net.layers, net.mapping.width), net.dtype)
  fade = jnp.zeros((), net.dtype) if fades else None
  synthesis = net.synthesis.init(s_key, w, None, fade)["params"]
  return {"mapping": mapping, "synthesis": synthesis}, {"style_mean": jnp.zeros_like(w[0, 0])}


def styles_of(net: Generator, params: PyTree, z: Array) -> Array:
  """w [B, W] of z [B, Z]."""
  return net.mapping.apply({"params": params["mapping"]}, z)


def laid_out(net: Generator, w: Array) -> Array:
  """w [B, W], the same in every layer: [B, L, W]."""
  return jnp.broadcast_to(w[:, None], (w.shape[0], net.layers, w.shape[-1]))


def cross_over(first: Array, second: Array, cut: Array) -> Array:
  """Styles [B, L, W]: those of the first in the layers before cut [B], else those of the second."""
  return jnp.where(jnp.arange(first.shape[1])[:, None] < cut[:, None, None], first, second)


def mixed(net: Generator, params: PyTree, keys: Array, mixing: float) -> Array:
  """Styles [B, L, W] as training draws them, of keys [B]."""
  own, other = (
    laid_out(net, styles_of(net, params, latents(net, keys, use))) for use in (Z, OTHER)
  )
  mix = jax.vmap(lambda key: jax.random.bernoulli(key, mixing))(fold_all(keys, MIX))
  cut = jax.vmap(lambda key: jax.random.randint(key, (), 1, net.layers))(fold_all(keys, CUT))
  return cross_over(own, other, jnp.where(mix, cut, net.layers))


def truncated(styles: Array, mean: Array, psi: float, cutoff: int) -> Array:
  """Styles [B, L, W] drawn towards the mean style [W] in the layers before the cutoff."""
  if psi == 1:
    return styles
  near = mean + psi * (styles - mean)
  return jnp.where(jnp.arange(styles.shape[1])[:, None] < cutoff, near, styles)


def with_mean_style(model: Model, net: Generator) -> Model:
  """The model, with a mean style that follows the averaged generator's mapping."""

  def update(state, batch, key, step):
    n = batch["x"].shape[1]
    state, metrics = model.update(state, batch, key, step)
    # The turns have the numbers below.
    keys = jax.random.split(jax.random.fold_in(key, model.microbatches), n)
    w = styles_of(net, averaged(state, "generator"), latents(net, keys)).mean(0)
    own = state["mutable"]["generator"]
    own = {**own, "style_mean": w + MEMORY * (own["style_mean"] - w)}
    return {**state, "mutable": {**state["mutable"], "generator": own}}, metrics

  return model._replace(update=update)


@builder
def build(
  spec: Spec,
  *,
  latent: Count = 512,
  width: Count = 512,
  mapping: Count = 8,
  mapping_rate: Positive = 0.01,
  widths: tuple[Count, ...] = (512, 512, 512, 512),
  mixing: Share = 0.9,
  loss: Literal["ns", "wgan"] = "ns",
  penalties: Penalties = Penalties(r1=10.0),
  grow: bool = True,
  fade: Count = 1000,
  group: Count = 4,
  n_critic: Count = 1,
  dtype: Dtype = "float32",
  ema: Decay = 0.999,
  critic_optimizer: Optimizer = ADAM,
  generator_optimizer: Optimizer = ADAM,
  sample: Sampler = Sampler(),
) -> Program:
  """StyleGAN of square images [R, R, C], R = 4 * 2^L, in L stages: 8x8, 16x16, ..., RxR.

  The data must be of a source that takes `data.resolution`. A code is z [n, Z]; `styles` are
  [n, L + 1, 2, W], two layers a resolution, truncated as the sampler says, and `decode` takes both.
  Pixels are linear: no tanh.

  Args:
    spec: of the data, at the last resolution.
    latent: Z.
    width, mapping, mapping_rate: W, layers, and relative rate of learning of the mapping network.
    widths: channels at 4x4, 8x8, ..., RxR: L + 1 of them.
    mixing: share of the examples that are made of two styles in training.
    loss: of both players.
    penalties: on the critic, each with its weight, the same at every resolution.
    grow: from 8x8 on; else one stage of RxR, of the same networks.
    fade: steps over which a stage's new layers fade in.
    group: examples that the critic sees together; divides the batch.
    n_critic: turns of the critic for one of the generator.
    dtype: of the networks' computation.
    ema: decay of the average of the generator's weights.
    critic_optimizer, generator_optimizer: of each stage.
    sample: see there.

  Raises:
    UserError: if the data are no square images of such a size.
  """
  real, how = jnp.promote_types(dtype, jnp.float32), {"dtype": jnp.dtype(dtype)}

  def model_at(spec, level, fades):
    own = widths[: level + 1]
    net = Generator(
      Mapping(mapping, width, mapping_rate, **how),
      Synthesis(spec.shape[-1], level, own, **how), latent, level, real,
    )  # fmt: skip

    def synthesise(params, styles, noise, fade):
      return net.synthesis.apply({"params": params["synthesis"]}, styles, noise, fade)

    def make(params, key, n, fade):
      keys = jax.random.split(key, n)
      noise = noises(fold_all(keys, NOISE), level, real)
      return synthesise(params, mixed(net, params, keys, mixing), noise, fade)

    def layers(state, z):
      """Truncated styles [n, L, W]."""
      w = laid_out(net, styles_of(net, averaged(state, "generator"), z))
      mean = state["mutable"]["generator"]["style_mean"]
      return truncated(w, mean, sample.truncation, sample.cutoff)

    def draw(state, keys):
      noise = noises(fold_all(keys, NOISE), level, real) if sample.noise == "own" else fixed(sample)
      styles = layers(state, latents(net, keys))
      return synthesise(averaged(state, "generator"), styles, noise, fade_of(state))

    def fixed(sample):
      """One noise [1, H, W, 1] of each layer, the same in every call, or None."""
      if sample.noise == "none":
        return None
      return noises(jax.random.split(jax.random.key(0), 1), level, real)

    def styles(state, z, cond=None):
      del cond
      w = layers(state, z)
      return w.reshape(-1, level + 1, 2, width)

    def decode(state, code, cond=None):
      """y, real-valued, in grey levels, of z [n, Z] or styles [n, L + 1, 2, W]."""
      del cond
      w = layers(state, code) if code.ndim == 2 else code.reshape(-1, net.layers, width)
      y = synthesise(averaged(state, "generator"), w, fixed(sample), fade_of(state))
      return (y + 1) / 2 * (spec.levels - 1)

    pair = Pair(
      spec, lambda key: init(net, key, fades), make, draw, Critic(level, own, smooth=True, **how),
      LOSSES[loss], penalties, group, fade if fades else None, real,
    )  # fmt: skip
    model = model_of(
      pair, n_critic=n_critic, ema=ema, critic_optimizer=critic_optimizer,
      generator_optimizer=generator_optimizer, decode=decode, styles=styles,
      prior=lambda state, keys, cond=None: latents(net, keys),
    )  # fmt: skip
    return with_mean_style(model, net)

  return program_of(spec, widths, grow, model_at)
