"""Residual players: layers and parameters counted, and what they are before they have learnt."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import config as configs
from gen_jax.app import cli
from gen_jax.core import Spec
from gen_jax.models import players
from gen_jax.nets import bottleneck, fixup
from tests.conformance.systems import CONFIGS

rng = np.random.default_rng(0)


def drawn(*shape):
  return jnp.asarray(rng.normal(size=shape), jnp.float32)


def test_resampling_is_bilinear_and_its_transpose():
  x = np.zeros((1, 3, 3, 1), np.float32)
  x[0, 1, 1, 0] = 16
  large = fixup.enlarged(jnp.asarray(x))[0, :, :, 0]
  row = np.array([0, 1, 3, 3, 1, 0])
  np.testing.assert_array_equal(large, np.outer(row, row))
  a, b = drawn(2, 4, 6, 3), drawn(2, 8, 12, 3)
  one = jnp.vdot(fixup.enlarged(a), b)
  np.testing.assert_allclose(one, 4 * jnp.vdot(a, fixup.shrunk(b)), rtol=1e-4)
  flat = jnp.ones((1, 8, 8, 1))
  np.testing.assert_array_equal(fixup.shrunk(flat)[0, 1:-1, 1:-1], 1)
  np.testing.assert_array_equal(fixup.enlarged(flat)[0, 1:-1, 1:-1], 1)


def test_convolutions_in_groups_are_those_of_xla():
  x, net = drawn(2, 4, 5, 6), fixup.GroupedConv(9, 3, 1.0)
  variables = net.init(jax.random.key(0), x)
  exact = jax.lax.conv_general_dilated(
    x, variables["params"]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=3,
  )  # fmt: skip
  np.testing.assert_allclose(net.apply(variables, x), exact, atol=1e-5)


def test_fixup_players_are_their_resampling_at_first():
  z, x = drawn(3, 5), drawn(3, 8, 8, 2)
  net = fixup.Generator((8, 8, 2), (4, 4), (2, 1))
  params = jax.jit(net.init)(jax.random.key(0), z)["params"]
  small = params["basis"] * (z @ params["first"]["kernel"])[:, None, None]
  np.testing.assert_allclose(
    net.apply({"params": params}, z), fixup.enlarged(small) @ params["last"]["kernel"], atol=1e-5
  )
  net = fixup.Critic((4, 6), (1, 2), groups=2)
  params = jax.jit(net.init)(jax.random.key(1), x)["params"]
  h = fixup.shrunk(x @ params["first"]["kernel"]) @ params["down1"]["kernel"]
  logit = jnp.einsum("bhwc,hwc->bc", h, params["basis"]) @ params["last"]["kernel"]
  np.testing.assert_allclose(net.apply({"params": params}, x), logit[:, 0], rtol=1e-4, atol=1e-5)


def test_fixup_s_deviations():
  """sqrt(2 / 1.04 / inputs) L^(-1/4), 0 for the last: of 16 blocks, half of He's."""
  params = fixup.Block(2, 16).init(jax.random.key(0), jnp.zeros((1, 2, 2, 64)))["params"]
  he = lambda inputs: np.sqrt(2 / 1.04 / inputs)
  np.testing.assert_allclose(params["Dense_0"]["kernel"].std(), he(64) / 2, rtol=0.05)
  np.testing.assert_allclose(params["GroupedConv_0"]["kernel"].std(), he(9 * 64) / 2, rtol=0.05)
  assert not params["Dense_1"]["kernel"].any()


def test_a_bottleneck_block_is_the_identity_where_its_last_convolution_is_zero():
  h, block = drawn(2, 4, 4, 6), bottleneck.Block(6, "layer", "relu")
  params = block.init(jax.random.key(0), h, None, True)["params"]
  assert (block.apply({"params": params}, h, None, True) != h).any()
  params["Dense_2"]["kernel"] = jnp.zeros_like(params["Dense_2"]["kernel"])
  np.testing.assert_array_equal(block.apply({"params": params}, h, None, True), h)


@functools.cache
def grid():
  return cli.load_module(str(CONFIGS / "wgan_grid.py"))


def shapes_of(name, shape=(8, 8, 3)):
  """Shapes of both players' parameters, of a cell of configs/wgan_grid.py."""
  experiment = configs.parse(grid().get_config(name))
  known = configs.schema(configs.resolve(experiment.config["builder"]))["model"]
  model = configs.complete(known, experiment.config["model"], "model")
  how = {"init_std": model["init_std"], "initial": model["init"], "dtype": jnp.dtype("float32")}
  spec = Spec.of(shape, 256)
  players.check_nets(spec, model["generator"], model["critic"], model["init_std"])
  g = players.generator_of(spec, model["generator"], **how)
  d = players.critic_of(model["critic"], True, **how)
  z, x = jnp.zeros((1, model["latent"])), jnp.zeros((1, *shape))
  return [jax.eval_shape(net.init, jax.random.key(0), v)["params"] for net, v in ((g, z), (d, x))]


def layers(params):
  """Dense layers and convolutions, those of a loop each for itself, without shortcuts."""
  found = 0
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    names = [entry.key for entry in path]
    # A block that changes the resolution has its shortcut first.
    shortcut = names[0].startswith(("up", "down")) and names[1] == "Dense_0"
    if names[-1] == "kernel" and not shortcut:
      found += leaf.shape[0] if names[0].startswith("blocks") else 1
  return found


@pytest.mark.parametrize("size, shape", [("", (8, 8, 3)), ("-64", (64, 64, 3))])
def test_the_resnets_of_the_grid_have_101_layers(size, shape):
  assert [layers(params) for params in shapes_of(f"wgan_gp-resnet{size}", shape)] == [101, 101]


count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
# Parameters of the generator and the critic at 8x8: 128 numbers to 2x2x64, to 4x4x32, to 8x8x3;
# 8x8x3 to 4x4x32, to 2x2x64, to 1. A normalised layer has a scale, and a bias in any case.
UP = lambda a, b, wide=1: (
  129 * 4 * a * wide + (9 * a + 1) * 4 * b * wide + (9 * b + 1) * 12
)  # fmt: skip
DOWN = (16 * 3 + 1) * 32 + (16 * 32 + 1) * 64 + 4 * 64 + 1
# A layer before batch normalisation has no bias of its own, which before 4 sub-pixels is 4 C.
NORMED = UP(64, 32) - 4 * 64 - 4 * 32 + 2 * 64 + 2 * 32
TABLE = {
  "wgan_gp-baseline": (NORMED, DOWN + 2 * 64),
  "ns-baseline": (NORMED, DOWN + 64),
  "ns-tanh": (NORMED, DOWN + 64),
  "ns-constant": (UP(32, 32), DOWN + 64),
  "ns-no_norm": (UP(64, 32), DOWN),
  "ns-mlp": (129 * 256 + 3 * 257 * 256 + 257 * 192, DOWN + 64),
}


@pytest.mark.parametrize("name", TABLE)
def test_parameters_of_the_grid(name):
  assert tuple(count(params) for params in shapes_of(name)) == TABLE[name]


def test_gated_players_of_the_grid_have_layers_twice_as_wide():
  generator, critic = shapes_of("ns-gated")
  widths = [generator[f"Dense_{i}"]["kernel"].shape for i in range(3)]
  assert widths == [(128, 2 * 4 * 64), (9 * 64, 2 * 4 * 32), (9 * 32, 12)]
  widths = [critic[f"Dense_{i}"]["kernel"].shape for i in range(3)]
  assert widths == [(16 * 3, 2 * 32), (16 * 32, 2 * 64), (4 * 64, 1)]
  assert critic["BatchNorm_0"]["scale"].shape == (128,)  # before the gate


def test_the_grid_has_every_cell_and_builds_at_each_size():
  assert len(grid().NAMES) == 3 * 28
  for name in grid().NAMES:
    if name.startswith("wgan_gp") and "resnet" not in name:
      size = 64 if name.endswith("-64") else 32 if name.endswith("cifar10") else 8
      generator, critic = shapes_of(name, (size, size, 3))
      assert count(generator) and count(critic)
