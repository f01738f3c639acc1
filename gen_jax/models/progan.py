"""Progressive growing of GANs (Karras et al. 2018, arXiv:1710.10196): see `models.growing`.

critic      D(G(z)) - D(x) + lambda (||grad D|| - 1)^2 + epsilon D(x)^2     (appendix A.1)
generator   -D(G(z))

or the non-saturating loss with penalties of one's own.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from gen_jax.core import Program, Spec
from gen_jax.learn.game import averaged
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.penalties import Penalties
from gen_jax.models.growing import Pair, fade_of, model_of, program_of
from gen_jax.nets.progan import Critic, Generator
from gen_jax.schema import Count, Decay, Dtype, builder

ADAM = Optimizer(learning_rate=1e-3, b1=0.0, b2=0.99)


@builder
def build(
  spec: Spec,
  *,
  latent: Count = 128,
  widths: tuple[Count, ...] = (128, 128, 64, 32),
  grow: bool = True,
  fade: Count = 1000,
  group: Count = 4,
  equalized: bool = True,
  pixel_norm: bool = True,
  loss: Literal["wgan", "ns"] = "wgan",
  penalties: Penalties = Penalties(wgan_gp=10.0, drift=1e-3),
  n_critic: Count = 1,
  dtype: Dtype = "float32",
  ema: Decay = 0.999,
  critic_optimizer: Optimizer = ADAM,
  generator_optimizer: Optimizer = ADAM,
) -> Program:
  """Progressive GAN of square images [R, R, C], R = 4 * 2^L, in L stages: 8x8, 16x16, ..., RxR.

  The data must be of a source that takes `data.resolution`. An unfinished run draws at the
  resolution that it has come to.

  Args:
    spec: of the data, at the last resolution.
    latent: Z.
    widths: channels at 4x4, 8x8, ..., RxR: L + 1 of them.
    grow: from 8x8 on; else one stage of RxR, of the same networks.
    fade: steps over which a stage's new layers fade in.
    group: examples that the critic sees together; divides the batch. With 1 there is no minibatch
      deviation.
    equalized: learning rate of both players' layers.
    pixel_norm: of the generator's latents and layers.
    loss: of both players.
    penalties: on the critic, each with its weight.
    n_critic: turns of the critic for one of the generator.
    dtype: of the networks' computation.
    ema: decay of the average of the generator's weights.
    critic_optimizer, generator_optimizer: of each stage.

  Raises:
    UserError: if the data are no square images of such a size.
  """
  real = jnp.promote_types(dtype, jnp.float32)
  how = {"equalized": equalized, "dtype": jnp.dtype(dtype)}

  def model_at(spec, level, fades):
    generator = Generator(spec.shape[-1], level, widths[: level + 1], normalized=pixel_norm, **how)
    latents = lambda key, n: jax.random.normal(key, (n, latent), real)

    def init(key):
      fade = jnp.zeros((), real) if fades else None
      return generator.init(key, jnp.zeros((1, latent), real), fade)["params"], {}

    def make(params, key, n, fade):
      return generator.apply({"params": params}, latents(key, n), fade)

    def prior(state, keys, cond=None):
      del state, cond
      return jax.vmap(lambda key: latents(jax.random.fold_in(key, 0), 1)[0])(keys)

    def generate(state, z):
      return generator.apply({"params": averaged(state, "generator")}, z, fade_of(state))

    pair = Pair(
      spec, init, make, lambda state, keys: generate(state, prior(state, keys)),
      Critic(level, widths[: level + 1], **how), LOSSES[loss], penalties, group,
      fade if fades else None, real,
    )  # fmt: skip
    return model_of(
      pair, n_critic=n_critic, ema=ema, critic_optimizer=critic_optimizer,
      generator_optimizer=generator_optimizer, prior=prior,
      decode=lambda state, z, cond=None: (generate(state, z) + 1) / 2 * (spec.levels - 1),
    )  # fmt: skip

  return program_of(spec, widths, grow, model_at)
