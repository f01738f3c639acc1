"""The game of SRGAN (Ledig et al. 2017, arXiv:1609.04802, eq. 2-3), for `models.superres`.

generator  descends  l_X(HR, G(LR)) - w log D(G(LR))
critic     descends  -log D(HR) - log(1 - D(G(LR)))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array, Model, Program, PyTree, Stage, over_states
from gen_jax.learn.game import averaged
from gen_jax.losses.adversarial import LOSSES
from gen_jax.models.perceptual import Extractor, Perceptual
from gen_jax.nets import gan

NS = LOSSES["ns"]


class Task(NamedTuple):
  """What the losses of the game are made of.

  given: batch -> (small, x), pictures in [0, 1].
  make: (the net's parameters, small) -> what the net makes.
  see: of `Views`.
  pixel_error: (what it makes, x) -> [B].
  feature_terms: (parameters of the features, small, what it makes, x) -> {name: [B]}.
  judge: the critic.
  """

  given: Callable[[dict], tuple[Array, Array]]
  make: Callable[[PyTree, Array], Array]
  see: Callable[[Array], Array]
  pixel_error: Callable[[Array, Array], Array]
  feature_terms: Callable[..., dict[str, Array]]
  judge: gan.Critic

  def score(self, params: PyTree, seen: Array) -> Array:
    """Logits [B]."""
    return self.judge.apply({"params": params["critic"]}, 2 * seen - 1)


def generator_loss(task: Task, perceptual: Perceptual, weight: float) -> Callable:
  """l_X - w log D(G(LR))."""

  def loss(params, mutable, batch, key, step):
    del key, step
    small, x = task.given(batch)
    kept, made = mutable["generator"], task.make(params["generator"], small)
    on_fake = task.score(params, made)
    terms = {"pixel_error": task.pixel_error(made, x)}
    content = terms["pixel_error"]
    if "phi" in kept:
      terms |= task.feature_terms(kept["phi"], small, made, x)
      content = perceptual.pixels * content + perceptual.feature * terms["feature_error"]
      content += perceptual.style * terms.get("style_error", 0)
    terms["adversarial"] = NS.generator(on_fake, on_fake)
    return content + weight * terms["adversarial"], (kept, terms)

  return loss


def critic_loss(task: Task) -> Callable:
  """-log D(HR) - log(1 - D(G(LR)))."""

  def loss(params, mutable, batch, key, step):
    del key, step
    small, x = task.given(batch)
    made = jax.lax.stop_gradient(task.make(params["generator"], small))
    on_real, on_fake = task.score(params, task.see(x)), task.score(params, made)
    terms = {"critic_on_real": on_real, "critic_on_fake": on_fake}
    return NS.critic(on_real, on_fake), (mutable["critic"], terms)

  return loss


def in_stages(first: Model, second: Model, features: Extractor | None) -> Program:
  """The game after the regression, whose generator it goes on with, and after the stage in which
  the features are learnt, if there is one; of those before it only what it took over is kept."""
  learn = None if features is None else features.learn
  read = None if features is None else features.read

  def with_phi(state, phi):
    return {**state, "mutable": {**state["mutable"], "generator": {"phi": phi}}}

  def carry(previous: list[PyTree], fresh: PyTree) -> PyTree:
    # A copy: the stages' states are kept side by side, and the later one is donated.
    *before, last = jax.tree.map(jnp.copy, previous)
    params = {**fresh["params"], "generator": averaged(last, "generator")}
    state = {**fresh, "params": params, "ema": last["ema"], "updates": last["updates"]}
    return with_phi(state, averaged(before[0], "classifier")) if before else state

  given = None if read is None else lambda state: with_phi(state, read())
  opening = (Stage(first),) if learn is None else (learn, Stage(first))
  last = Stage(second, carry=carry, given=given, release=tuple(range(len(opening))))
  return Program((*opening, last), over_states(second))
