"""Images of unequal size, learnt from as patches that are drawn inside the compiled step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import core
from gen_jax.core import Array
from gen_jax.data import gallery, source

SIZE = "size"


def example_size(
  names: Sequence[str], sizes: Sequence[tuple[int, int]], patch: int, path: str
) -> tuple[int, int]:
  """(H, W) in pixels of an example: of a patch, or where `patch` is 0 of the images.

  Args:
    names: of the images.
    sizes: (width, height) of each.
    patch: height and width of a patch, or 0 for whole images.
    path: of the images.

  Raises:
    UserError: if an image is smaller than a patch, or whole images are of several sizes.
  """
  if not patch:
    return gallery.common_size(sizes, 0, path)
  small = [
    f"{name} ({w}x{h})" for name, (w, h) in zip(names, sizes, strict=True) if min(w, h) < patch
  ]
  if small:
    raise core.UserError(
      f"data.patch={patch}: {len(small)} of {len(names)} images in {path} are smaller:"
      f" {source.some(small)}: take smaller patches, or leave them out"
    )
  return patch, patch


def make_splits(
  read: Callable[[list[int]], Iterable[source.Example]],
  positions: Mapping[str, np.ndarray],
  sizes: Sequence[tuple[int, int]],
  spec: core.Spec,
  patch: int,
) -> dict[str, source.Split]:
  """Splits of whole images, or where `patch` is not 0 of their patches.

  Args:
    read: positions in the source -> their examples, of whole images.
    positions: split -> positions [N] of its examples.
    sizes: (width, height) of every image of the source.
    spec: of an example.
    patch: height and width of a patch, or 0.
  """
  if not patch:
    return {name: source.LazySplit(read, where) for name, where in positions.items()}
  moved = ("x", *(name for name, field in spec.fields.items() if field.aligned))
  largest = lambda where: np.max([sizes[i][::-1] for i in where], axis=0)
  return {
    name: Patches(read, where, tuple(map(int, largest(where))), moved, patch)
    for name, where in positions.items()
  }


class Patches(source.LazySplit):
  """A split of patches: drawn anew in training, and the centre of the image where one is asked for.

  Args:
    read: positions in the source -> their examples; of one example, the fields `moved` are of one
      size [h, w, ...], at least that of a patch.
    indices: [N] positions in the source of this split's examples.
    largest: (H, W), at least the size of every image.
    moved: names of the fields that are cut, by one window.
    patch: P, height and width of a patch.
  """

  streamed = False

  def __init__(
    self,
    read: Callable[[list[int]], Iterable[source.Example]],
    indices: np.ndarray,
    largest: tuple[int, int],
    moved: tuple[str, ...],
    patch: int,
  ):
    change = lambda each: lambda where: map(each, read(where))
    super().__init__(change(self._centre), indices)
    self._uncut = read
    self._padded = source.LazySplit(change(self._pad), indices)
    self._largest, self._moved, self._patch = largest, moved, patch

  def _centre(self, example: source.Example) -> source.Example:
    top, left = ((n - self._patch) // 2 for n in example["x"].shape[:2])
    window = np.s_[top : top + self._patch, left : left + self._patch]
    return {**example, **{name: example[name][window] for name in self._moved}}

  def _pad(self, example: source.Example) -> source.Example:
    out = {**example, SIZE: np.array(example["x"].shape[:2], np.int32)}
    for name in self._moved:
      value = example[name]
      out[name] = np.zeros((*self._largest, *value.shape[2:]), value.dtype)
      out[name][: value.shape[0], : value.shape[1]] = value
    return out

  def whole(self, i: int) -> source.Example:
    return dict(next(iter(self._uncut(self._indices[i : i + 1].tolist()))))

  def held(self) -> source.Example:
    """Whole images [N, H, W, ...], padded at bottom and right, and their size int32 [N, 2]."""
    return self._padded.arrays()

  def held_bytes(self) -> int:
    return self._padded.held_bytes()

  def draw(self, held: Mapping[str, Array], index: Array, key: Array) -> dict[str, Array]:
    """Patches [..., P, P, C] of images at index [...]; windows of an image are equally likely."""
    most = held[SIZE][index] - self._patch
    corner = jax.random.randint(key, most.shape, 0, most + 1, jnp.int32)
    return {
      name: windows(value, index, corner, self._patch) if name in self._moved else value[index]
      for name, value in held.items()
      if name != SIZE
    }


def windows(images: Array, index: Array, corner: Array, patch: int) -> Array:
  """Windows [..., P, P, *rest] of images [N, H, W, *rest].

  Args:
    images: to cut from; whole ones are never gathered.
    index: int32 [...] of the image of each window.
    corner: int32 [..., 2], its top and left.
    patch: P.
  """
  rest = images.shape[3:]

  def one(i, corner):
    start = (i, *corner, *(jnp.int32(0) for _ in rest))
    return jax.lax.dynamic_slice(images, start, (1, patch, patch, *rest))[0]

  cut = jax.vmap(one)(index.reshape(-1), corner.reshape(math.prod(index.shape), 2))
  return cut.reshape(*index.shape, *cut.shape[1:])
