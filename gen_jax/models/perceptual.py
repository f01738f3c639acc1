"""Where the features of a perceptual loss come from: a classifier of the same data, or chance.

A classifier's features are made with labels, so that what is trained on them is supervised through
its loss. A random net (Zhang et al. 2018, section 4) is the control: what it does not do, the
learnt features did.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array, Model, Program, PyTree, Spec, Stage, UserError, over_states, single
from gen_jax.learn.game import averaged
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import perceptual as losses
from gen_jax.models.classifier import build as build_classifier
from gen_jax.models.common import require_images
from gen_jax.nets.classifier import Classifier, layers
from gen_jax.schema import Count, Decay, NonNegative


@dataclasses.dataclass(frozen=True)
class Perceptual:
  """What takes the place of the squared error.

  features: none, for the squared error alone; those of a classifier, which a stage of its own
    learns first; or of a random net.
  feature, style, pixels: weights of the feature and style losses, summed over layers, and of the
    squared error, summed over an image.
  width, hidden, dropout, optimizer: of the classifier. It is narrower than the one that measures
    ask, which must be another net than one that was trained against.
  """

  features: Literal["none", "classifier", "random"] = "none"
  feature: NonNegative = 1.0
  style: NonNegative = 0.0
  pixels: NonNegative = 0.0
  width: Count = 16
  hidden: Count = 64
  dropout: Decay = 0.2
  optimizer: Optimizer = Optimizer(learning_rate=2e-3)


class Extractor(NamedTuple):
  """A frozen net.

  init: (key, x [1, H, W, C]) -> its parameters, as they begin.
  terms: (parameters, y, x) -> feature_error and style_error [B] of images in [0, 1].
  learn: the stage that learns the parameters; None for a net that stays as it begins.
  """

  init: Callable[[Array, Array], PyTree]
  terms: Callable[[PyTree, Array, Array], dict[str, Array]]
  learn: Stage | None


def extractor(spec: Spec, options: Perceptual, dtype: str) -> Extractor:
  """The net of these options.

  Raises:
    UserError: if the data are not images, a classifier is asked for and they have no labels, or all
      weights are 0.
  """
  require_images(spec, "a perceptual loss")
  if not (options.feature or options.style or options.pixels):
    raise UserError("model.perceptual needs feature, style or pixels above 0: all weights are 0")
  real = jnp.promote_types(dtype, jnp.float32)
  net = Classifier(max(spec.classes, 1), options.width, options.hidden, dtype=jnp.dtype(dtype))

  def maps(params, x):
    return [each.astype(real) for each in layers(net, params, 2 * x - 1)]

  def terms(params, y, x):
    made, wanted = maps(params, y), jax.lax.stop_gradient(maps(params, x))
    found = {"feature_error": losses.feature_errors(made, wanted)}
    return found | ({"style_error": losses.style_errors(made, wanted)} if options.style else {})

  learn = None
  if options.features == "classifier":
    how = dict(dropout=options.dropout, dtype=dtype, optimizer=options.optimizer)
    built = build_classifier(spec, width=options.width, features=options.hidden, **how)
    learn = Stage(begun_elsewhere(built.stages[0].model))
  return Extractor(lambda key, x: net.init(key, 2 * x - 1)["params"], terms, learn)


def begun_elsewhere(model: Model) -> Model:
  """A model that begins and learns with other keys than the same net would in a run of its own, as
  measures train it with the same seed."""
  other = lambda key: jax.random.fold_in(key, 0x9E)
  return model._replace(
    init=lambda key, batch: model.init(other(key), batch),
    update=lambda state, batch, key, step: model.update(state, batch, other(key), step),
  )


def program(model: Model, net: Extractor | None, player: str) -> Program:
  """The model as a program, after the stage in which its net learns, if there is one.

  The net's parameters are `mutable[player]["phi"]` of the model, and nowhere else once it has
  begun.
  """
  if net is None or net.learn is None:
    return single(model)

  def carry(previous, fresh):
    phi = jax.tree.map(jnp.copy, averaged(previous[0], "classifier"))
    own = {**fresh["mutable"][player], "phi": phi}
    return {**fresh, "mutable": {**fresh["mutable"], player: own}}

  return Program((net.learn, Stage(model, carry=carry, release=(0,))), over_states(model))
