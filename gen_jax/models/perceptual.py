"""Where the features of a perceptual loss come from: a classifier of the same data, chance, or VGG.

A classifier's features are made with labels, so that what is trained on them is supervised through
its loss. A random net (Zhang et al. 2018, section 4) is the control: what it does not do, the
learnt features did. A VGG's come from a file of the user's, which a fresh run reads once.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from safetensors import SafetensorError, safe_open

from gen_jax.core import Array, Model, Program, PyTree, Spec, Stage, UserError, over_states
from gen_jax.learn.game import averaged
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import perceptual as losses
from gen_jax.models.classifier import build as build_classifier
from gen_jax.models.common import require_images
from gen_jax.nets.classifier import Classifier, layers
from gen_jax.nets.vgg import CONVOLUTIONS, VGG, converted, names_of
from gen_jax.schema import Count, Decay, NonNegative


@dataclasses.dataclass(frozen=True)
class Perceptual:
  """What takes the place of the squared error.

  features: none, for the squared error alone; those of a classifier, which a stage of its own
    learns first; of a random net; or of a VGG.
  feature, style, pixels: weights of the feature and style losses, summed over layers, and of the
    squared error, summed over an image.
  path, sha256: of a VGG: a .safetensors with torchvision's tensors, and the digest of that file,
    which says what was learnt from wherever the file may lie.
  width, hidden, dropout, optimizer: of the classifier. It is narrower than the one that measures
    ask, which must be another net than one that was trained against.
  """

  features: Literal["none", "classifier", "random", *CONVOLUTIONS] = "none"
  feature: NonNegative = 1.0
  style: NonNegative = 0.0
  pixels: NonNegative = 0.0
  path: str = ""
  sha256: str = ""
  width: Count = 16
  hidden: Count = 64
  dropout: Decay = 0.2
  optimizer: Optimizer = Optimizer(learning_rate=2e-3)


class Extractor(NamedTuple):
  """A frozen net.

  init: (key, x [1, H, W, C] in [0, 1]) -> its parameters, as they begin.
  terms: (parameters, y, x) -> feature_error and style_error [B] of images in [0, 1].
  learn: the stage that learns the parameters; None where there is none.
  read: what reads them from a file; None where they are in none.
  """

  init: Callable[[Array, Array], PyTree]
  terms: Callable[[PyTree, Array, Array], dict[str, Array]]
  learn: Stage | None = None
  read: Callable[[], PyTree] | None = None


def extractor(spec: Spec, options: Perceptual, dtype: str) -> Extractor:
  """The net of these options.

  Raises:
    UserError: if the data are not images, a classifier is asked for and they have no labels, a VGG
      and they are too small or there is no file, or if all weights are 0.
  """
  require_images(spec, "a perceptual loss")
  if not (options.feature or options.style or options.pixels):
    raise UserError("model.perceptual needs feature, style or pixels above 0: all weights are 0")
  if options.features in CONVOLUTIONS:
    return of_file(spec, options, dtype)
  net = Classifier(max(spec.classes, 1), options.width, options.hidden, dtype=jnp.dtype(dtype))
  learn = None
  if options.features == "classifier":
    how = dict(dropout=options.dropout, dtype=dtype, optimizer=options.optimizer)
    built = build_classifier(spec, width=options.width, features=options.hidden, **how)
    learn = Stage(begun_elsewhere(built.stages[0].model))
  return Extractor(
    lambda key, x: net.init(key, 2 * x - 1)["params"],
    terms_of(lambda params, x: layers(net, params, 2 * x - 1), options),
    learn,
  )


def of_file(spec: Spec, options: Perceptual, dtype: str) -> Extractor:
  """A VGG, see `extractor`."""
  kind = options.features
  if spec.shape[-1] not in (1, 3) or min(spec.shape[:2]) < 8:
    raise UserError(f"{kind} sees grey or RGB images of 8x8 pixels or more, not {spec.shape}")
  if not options.path or not options.sha256:
    raise UserError(f"{kind} needs model.perceptual.path=FILE.safetensors and its sha256")
  net = VGG(kind, jnp.dtype(dtype))
  real = jnp.promote_types(dtype, jnp.float32)
  return Extractor(
    lambda key, x: net.init(key, x)["params"],
    terms_of(lambda params, x: net.apply({"params": params}, x), options),
    read=lambda: jax.tree.map(
      lambda v: v.astype(real), read(kind, Path(options.path), options.sha256)
    ),
  )


def terms_of(maps: Callable, options: Perceptual) -> Callable:
  """(parameters, y, x) -> {name: [B]}, of maps: (parameters, x in [0, 1]) -> features by layers."""

  def terms(params, y, x):
    of = lambda x: [each.astype(x.dtype) for each in maps(params, x)]
    made, wanted = of(y), jax.lax.stop_gradient(of(x))
    found = {"feature_error": losses.feature_errors(made, wanted)}
    return found | ({"style_error": losses.style_errors(made, wanted)} if options.style else {})

  return terms


def read(kind: str, path: Path, sha256: str) -> PyTree:
  """The parameters of a VGG in a file.

  Raises:
    UserError: if there is no such file, it has another digest, or is no VGG's.
  """
  if not path.is_file():
    raise UserError(f"model.perceptual.path={str(path)!r}: there is no such file")
  with path.open("rb") as file:
    found = hashlib.file_digest(file, "sha256").hexdigest()
  if found != sha256.lower():
    raise UserError(f"model.perceptual.sha256 is not that of {path}, which is {found}")
  names = [f"{name}.{part}" for name in names_of(kind).values() for part in ("weight", "bias")]
  try:
    with safe_open(path, framework="numpy") as file:
      held = set(file.keys())
      tensors = {name: file.get_tensor(name) for name in names if name in held}
  except (SafetensorError, TypeError) as error:
    raise UserError(f"{path} cannot be read as safetensors: {error}") from error
  return converted(kind, tensors)


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

  def with_phi(state, phi):
    own = {**state["mutable"][player], "phi": phi}
    return {**state, "mutable": {**state["mutable"], player: own}}

  if net is None or net.learn is None:
    read = None if net is None else net.read
    given = None if read is None else lambda state: with_phi(state, read())
    return Program((Stage(model, given=given),), over_states(model))

  def carry(previous, fresh):
    return with_phi(fresh, jax.tree.map(jnp.copy, averaged(previous[0], "classifier")))

  return Program((net.learn, Stage(model, carry=carry, release=(0,))), over_states(model))
