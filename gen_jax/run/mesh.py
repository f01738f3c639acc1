"""Devices: the mesh, and where arrays live on it."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gen_jax.config import Layout
from gen_jax.core import PyTree, UserError


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """One axis, `data`, over all devices of all processes, or over those given."""
  devices = jax.devices() if devices is None else list(devices)
  return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
  """A copy on every device."""
  return NamedSharding(mesh, P())


def split_over(mesh: Mesh, axis: int) -> NamedSharding:
  """Split over the devices along `axis`."""
  return NamedSharding(mesh, P(*[None] * axis, "data"))


SHARDED_FROM = 2**12  # elements; a smaller array costs less to keep than to gather


def layout_of(tree: PyTree, mesh: Mesh, layout: Layout) -> PyTree:
  """Where each array of a state lives.

  replicated: a copy on every device. sharded: of large arrays each device has a slice along the
    longest axis that the devices divide, and XLA gathers them where they are used (fully sharded
    data parallelism, Rajbhandari et al. 2020, arXiv:1910.02054).
  """

  def place(leaf):
    axes = [i for i, length in enumerate(leaf.shape) if length % mesh.size == 0]
    if layout == "replicated" or leaf.size < SHARDED_FROM or not axes:
      return replicated(mesh)
    return split_over(mesh, max(axes, key=lambda i: leaf.shape[i]))

  return jax.tree.map(place, tree)


def placed(tree: PyTree, mesh: Mesh, layout: Layout = "replicated") -> PyTree:
  """Shapes and types of the arrays of `tree`, with where they live."""
  shape = lambda a, place: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place)
  return jax.tree.map(shape, tree, layout_of(tree, mesh, layout))


def put(tree: PyTree, places: PyTree) -> PyTree:
  """Arrays that every process has whole onto the devices, where `places` says."""
  if jax.process_count() == 1:
    return jax.device_put(tree, places)
  if isinstance(places, NamedSharding):
    places = jax.tree.map(lambda _: places, tree)

  # device_put would compare the arrays of all processes, every time.
  def parts(x, place):
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, place, lambda index: x[index])

  return jax.tree.map(parts, tree, places)


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
  """Host or device arrays onto every device."""
  return put(tree, replicated(mesh))


def rows_of_process(batch_size: int) -> np.ndarray:
  """Rows of the global batch that this process reads."""
  share = batch_size // jax.process_count()
  return np.arange(share) + jax.process_index() * share


def assemble(batch: PyTree, mesh: Mesh, axis: int) -> PyTree:
  """Each process's rows along `axis`, as one global array split over the devices."""
  sharding = split_over(mesh, axis)
  return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)


def fewer(mesh: Mesh) -> str:
  """How a process is shown fewer devices."""
  names = {"gpu": "CUDA_VISIBLE_DEVICES=0", "tpu": "TPU_VISIBLE_CHIPS=0"}
  platform = mesh.devices.flat[0].platform
  return names.get(platform, "XLA_FLAGS=--xla_force_host_platform_device_count=1")


def check_divides(batch_size: int, mesh: Mesh, name: str) -> None:
  """Refuses a batch that the devices cannot share equally."""
  if batch_size % mesh.size:
    raise UserError(
      f"config.{name}={batch_size} cannot be shared by {mesh.size} devices: show the program fewer"
      f" ({fewer(mesh)}), or set a multiple such as {-(-batch_size // mesh.size) * mesh.size}, with"
      " which a run may go on, too"
    )
