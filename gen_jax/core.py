"""What a generative model is to this project: a handful of pure functions.

Shape letters, used in every docstring:

  B  examples of a batch          n  samples drawn            M  microbatches of one step
  H W C  height, width, channels  D  flat dimensions          T  time steps or sequence length
  Z  latent dimensions            K  classes, codes or components    F  features

A batch is a dict of arrays with one leading example axis (`update` sees [M, B, ...]):

  x             [B, ...]   raw integers in 0..levels-1, or floats where `spec.levels` is None
  label         [B]        int32 class, where the spec has that field
  mask          [B]        bool, False on the padding of a last batch; a mean leaves those out
  last          [B]        bool, True in every row of a batch that ends an epoch
  index         [B]        int32 position in the split
  and whatever else the spec states: caption [B, T], factors [B, F], segmentation [B, H, W],
  y [B, H, W, C], action [B, T], ...
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
PyTree = Any


class UserError(ValueError):
  """Input that the program refuses: one line that says what is wrong and what would be right."""


class Field(NamedTuple):
  """What one field of a batch is.

  shape: of one example.
  levels: integers 0..levels-1 (grey levels, classes, tokens, actions); None for real values.
  names: of the levels: class names, words of a vocabulary; or ().
  aligned: shares the geometry of x: a flip of x flips it too.
  """

  shape: tuple[int, ...] = ()
  levels: int | None = None
  names: tuple[str, ...] = ()
  aligned: bool = False

  @property
  def dtype(self) -> np.dtype:
    """float32 of real values; the smallest type of pixels [H, W, ...]; int32 of other integers."""
    if self.levels is None:
      return np.dtype(np.float32)
    return np.min_scalar_type(self.levels - 1) if len(self.shape) > 1 else np.dtype(np.int32)


class Spec(NamedTuple):
  """What a model must know of its data; saved with a run, so that loading needs no data.

  x: what is modelled, [H, W, C], [D], [T], ... of one example.
  fields: the other fields of a batch by name: label, caption, segmentation, y (the other domain, or
    the paired image), action, ...
  """

  x: Field
  fields: dict[str, Field] = {}

  @classmethod
  def of(
    cls, shape: tuple[int, ...], levels: int | None = None, classes: int = 0,
    names: tuple[str, ...] = (), **fields: Field,
  ) -> Spec:  # fmt: skip
    """x of that shape and those levels, with a label where there are classes, and other fields."""
    label = {"label": Field((), classes, tuple(names))} if classes else {}
    return cls(Field(tuple(shape), levels), label | fields)

  def field(self, name: str) -> Field:
    """x, or the other field of that name."""
    return self.x if name == "x" else self.fields[name]

  @property
  def shape(self) -> tuple[int, ...]:
    """Of x."""
    return self.x.shape

  @property
  def levels(self) -> int | None:
    """Of x."""
    return self.x.levels

  @property
  def classes(self) -> int:
    """Number of classes of `label`, 0 where there is none."""
    return self.fields["label"].levels or 0 if "label" in self.fields else 0


Cond = dict[str, Array] | None  # {field: [n, ...]}, or None for the unconditional model


class Update(Protocol):
  def __call__(
    self, state: PyTree, batch: dict, key: Array, step: Array
  ) -> tuple[PyTree, dict[str, Array]]: ...


class Evaluate(Protocol):
  def __call__(self, state: PyTree, batch: dict, keys: Array) -> dict[str, Array]: ...


class Draw(Protocol):
  def __call__(self, state: PyTree, keys: Array, cond: Cond = None) -> PyTree: ...


class Decode(Protocol):
  def __call__(self, state: PyTree, code: PyTree, cond: Cond = None) -> Array: ...


class Map(Protocol):
  def __call__(self, state: PyTree, x: Array, keys: Array | None, cond: Cond = None) -> PyTree: ...


class Respond(Protocol):
  def __call__(self, state: PyTree, batch: dict, key: Array, player: str) -> PyTree: ...


class Model(NamedTuple):
  """A generative model as pure functions. Every hyperparameter is closed over.

  A capability that a model lacks is None. `state` is a dict that only the model reads, except
  for the names in `weights`. Keys are typed (`jax.random.key`). A model with `cond` draws
  unconditionally where cond is None, or refuses in one line.

  init: (key, batch [B, ...]) -> state. May look at real data (ActNorm, k-means).
  update: (state, batch [M, B, ...], key, step) -> (state, {name: scalar}). One training step.
  evaluate: (state, batch [B, ...], keys [B]) -> {term: [B]}. Per example, never averaged.
  prior: (state, keys [n], cond) -> code. A draw of the latent variable.
  decode: (state, code, cond) -> x.
  styles: (state, code, cond) -> [n, ...], a code laid out by resolution, along axis 1 from the
    coarsest on; `decode` takes it too.
  encode: (state, x, keys, cond) -> code; without randomness where keys is None.
  sample: (state, keys [n], cond) -> x [n, ...], in the data's own units.
  trajectory: (state, keys [n], cond) -> x [frames, n, ...]. How a sample comes to be; of clips
    their frames.
  log_prob: (state, x, keys, cond) -> [B] nats. Exact, or a bound that its docstring names.
  embed: (state, x, keys, cond) -> (of x [B, E], of cond [B, E]): unit vectors, whose products say
    how well they match.
  predict: (state, x) -> logits [B, K], or [B, H, W, K] of every pixel.
  observe: (state, x, keys, cond) -> what `transform` is given: noisy, small, with a hole, grey.
  transform: (state, x, keys, cond) -> x': translated, restored; of what `observe` gives, if any.
  denoise: (state, x_t, level, cond) -> the prediction of x_0, of images in [-1, 1] at any level of
    noise: by it one run guides the samples of another.
  respond: (state, batch [B, ...], key, player) -> state. One player's step against the others.
  pictures: (state) -> {name: x [n, ...]}. Parameters that can be looked at as examples are: the
    components of PCA, the centres of clusters.
  given: name of the batch field that `observe` and `transform` are given as x.
  microbatches: M, how many batches one update takes.
  cond: names of the batch fields that the functions above take as `cond`.
  weights: names of the entries of `state` that are the learnt model; the others belong to the
    optimiser. They are what is exported and what a warm start takes over.
  passes: it learns from whole passes, so that each epoch must end in a batch of its own.
  calls: how often a sample, given its condition, asks the network; 0 where no solver draws it.
  stride: predict, observe and transform take images of any height and width that are multiples of
    this; 0 for those of the spec only.
  context: what they give at a pixel depends on no pixel of what they are given that is farther away
    than this, and on its place by the remainder of the stride, which divides this; None where it
    may depend on all.
  """

  init: Callable[[Array, dict], PyTree]
  update: Update
  evaluate: Evaluate
  prior: Draw | None = None
  decode: Decode | None = None
  styles: Decode | None = None
  encode: Map | None = None
  sample: Draw | None = None
  trajectory: Draw | None = None
  log_prob: Map | None = None
  embed: Map | None = None
  predict: Callable[[PyTree, Array], Array] | None = None
  observe: Map | None = None
  transform: Map | None = None
  denoise: Callable | None = None
  respond: Respond | None = None
  pictures: Callable[[PyTree], dict[str, Array]] | None = None
  given: str = "x"
  microbatches: int = 1
  cond: tuple[str, ...] = ()
  weights: tuple[str, ...] = ()
  passes: bool = False
  calls: int = 0
  stride: int = 0
  context: int | None = None


class Stage(NamedTuple):
  """A stretch of training with one model.

  steps: how many, or None for the length that the config gives.
  data: overrides of the config's data fields (batch_size, resolution, ...), or None.
  carry: (previous states, fresh state) -> state. Grafts a lower resolution, freezes a player.
  view: (previous states, batch, key) -> batch. What this stage sees of the data, such as the
    codes of a frozen VQ-VAE; applies to init, update and evaluate.
  given: state -> state, on the host, once before the first step of a fresh run: puts in weights
    that come from a file. A run that goes on, or is loaded, needs no such file.
  release: indices of earlier stages whose states are freed once this one has begun; they are {}
    from then on.
  so_far: the system as it stands in this stage, whose state is all states up to this stage's; None
    for the stage's own model.
  """

  model: Model
  steps: int | None = None
  data: dict | None = None
  carry: Callable | None = None
  view: Callable | None = None
  given: Callable[[PyTree], PyTree] | None = None
  release: tuple[int, ...] = ()
  so_far: Model | None = None


class Program(NamedTuple):
  """A whole system: its stages, and the finished model, whose state is all stages' states."""

  stages: tuple[Stage, ...]
  model: Model


# What a model can do, besides learning.
CAPABILITIES = (
  "prior", "decode", "styles", "encode", "sample", "trajectory", "log_prob", "embed", "predict",
  "observe", "transform", "pictures",
)  # fmt: skip


def over_states(model: Model, **changes) -> Model:
  """A stage's model as a function of all states so far, of which it reads the last."""

  def last(fn):
    return None if fn is None else lambda states, *args: fn(states[-1], *args)

  def respond(states, *args):
    return [*states[:-1], model.respond(states[-1], *args)]

  functions = {name: last(getattr(model, name)) for name in ("evaluate", "denoise", *CAPABILITIES)}
  functions["respond"] = None if model.respond is None else respond
  return model._replace(**{**functions, **changes})


def single(model: Model) -> Program:
  """A program of one stage. The finished model reads the only stage's state."""
  return Program((Stage(model),), over_states(model))


# Every use of randomness outside a model has its stream here, so that no two share keys.
STREAMS = (
  "order", "augment", "patch", "init", "update", "view", "evaluate", "validate", "sample",
  "measure", "rival",
)  # fmt: skip


def stream(root: Array, name: str, stage: int = 0, attempt: int = 0) -> Array:
  """The key of a named stream of randomness; `fold_in` a step or an index before using it.

  Args:
    root: typed key of the run.
    name: one of STREAMS.
    stage: index of the stage.
    attempt: how often the run was rolled back.

  Raises:
    KeyError: for a name that is not in STREAMS.
  """
  if name not in STREAMS:
    raise KeyError(f"no stream {name!r}: one of {STREAMS}")
  key = jax.random.fold_in(root, zlib.crc32(name.encode()))
  return jax.random.fold_in(jax.random.fold_in(key, stage), attempt)


def fold_each(key: Array, index: Array) -> Array:
  """One key per entry of index [n]: keys [n], each a function of its own index only."""
  return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)


def fold_all(keys: Array, i: Array | int) -> Array:
  """Keys [n] for use i of the keys [n] that a model is given, which it never uses themselves."""
  return jax.vmap(lambda key: jax.random.fold_in(key, i))(keys)


def permutation(n: int, seed: int = 0) -> np.ndarray:
  """A permutation of range(n), int64 [n], the same for ever for the same arguments.

  Where some of a split stand for all of it they are the first of these: data are often sorted.
  """
  # Raw bits, as numpy keeps a bit generator's stream for ever and a permutation's not.
  return np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")


def masked_mean(value: Array, mask: Array | None = None) -> Array:
  """Mean of value [B] over the examples with mask [B] True; of all without a mask."""
  if mask is None:
    return value.mean()
  mask = mask.astype(value.dtype)
  return jnp.sum(jnp.where(mask > 0, value, 0) * mask) / jnp.maximum(mask.sum(), 1)


def centre(x: Array, levels: int, dtype=jnp.float32) -> Array:
  """Integers 0..levels-1 to [-1, 1]."""
  return 2 * x.astype(dtype) / (levels - 1) - 1


def unit(x: Array, levels: int, dtype=jnp.float32) -> Array:
  """Integers 0..levels-1 to [0, 1]."""
  return x.astype(dtype) / (levels - 1)


def quantize(x: Array, levels: int) -> Array:
  """The inverse of `centre`: the nearest integers 0..levels-1, as uint8, uint16 or wider."""
  return as_integers(jnp.round((x + 1) / 2 * (levels - 1)), levels)


def as_integers(x: Array, levels: int) -> Array:
  """Whole numbers x, clipped to 0..levels-1, as the smallest unsigned integers that hold them."""
  return jnp.clip(x, 0, levels - 1).astype(np.min_scalar_type(levels - 1))


def count_dims(spec: Spec) -> int:
  """D, the number of dimensions of one example."""
  return math.prod(spec.shape)
