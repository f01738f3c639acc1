"""The registry of the conformance suite: one line for each system, its config's tiny variant."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from gen_jax import config as configs
from gen_jax.app import cli
from gen_jax.data import Source, load, passes
from gen_jax.run import system as run
from gen_jax.run.mesh import make_mesh

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


class System(NamedTuple):
  """name: of the config, with :VARIANT.

  float64: what makes it learn in float64, by SGD: Adam turns the rounding noise of a gradient that
  is zero (an attention's key bias) into a step of full length.
  """

  name: str
  float64: dict = {
    "model": {"dtype": "float64", "optimizer": {"name": "sgd", "learning_rate": 0.1}}
  }


# For losses that are sums over pixels.
SMALL_STEPS = {"model": {"dtype": "float64", "optimizer": {"name": "sgd", "learning_rate": 1e-3}}}

# For configs of AdamW.
WITHOUT_DECAY = configs.merge(SMALL_STEPS, {"model": {"optimizer": {"weight_decay": 0.0}}})

# Closed forms and EM, which take no optimiser.
FLOAT64 = {"model": {"dtype": "float64"}}

# For games, whose players have an optimiser each.
SGD = {"name": "sgd", "learning_rate": 0.1}
TWO_PLAYERS = {"model": {"dtype": "float64", "critic_optimizer": SGD, "generator_optimizer": SGD}}

TWO_PLAYERS_OF_COLOUR = {"model": {**SMALL_STEPS["model"], "critic_optimizer": SGD}}

FAIR = {"model": {"dtype": "float64", "predictor_optimizer": SGD, "adversary_optimizer": SGD}}

# For the two stages of a VQ-VAE and the prior over its codes.
PRIORS = {name: {"optimizer": SGD} for name in ("pixelcnn", "transformer", "masked")}
TWO_STAGES = {"model": {"dtype": "float64", "optimizer": SGD, **PRIORS}}

# For a diffusion of the codes of an autoencoder.
TWO_STAGES_OF_LATENTS = {
  "model": {
    "dtype": "float64", "optimizer": SGD, "kl": {"optimizer": SGD}, "vq": {"optimizer": SGD}
  }
}  # fmt: skip

# For a classifier after an autoencoder.
TWO_STAGES_OF_LABELS = configs.merge(SMALL_STEPS, {"model": {"classifier_optimizer": SGD}})

# For an autoencoder after the classifier whose features it learns from.
TWO_STAGES_OF_FEATURES = configs.merge(SMALL_STEPS, {"model": {"perceptual": {"optimizer": SGD}}})

# For a regression and a game after the classifier whose features it learns from.
THREE_STAGES = configs.merge(
  TWO_PLAYERS, {"model": {"loss": "l2", "optimizer": SGD, "perceptual": {"optimizer": SGD}}}
)

# For a game after encoders, which have an optimiser too.
SLOW_SGD = {**SGD, "learning_rate": 1e-3}
AFTER_ENCODERS = {
  "model": {
    "dtype": "float64", "optimizer": SGD,
    "critic_optimizer": SLOW_SGD, "generator_optimizer": SLOW_SGD,
  }
}  # fmt: skip

# The gradient of an absolute error is a sign: of rounding noise, where the answer is exact.
SMOOTH = {"model": {"dtype": "float64", "loss": "l2", "optimizer": SGD}}

# The transformer's config is of Muon.
TWO_STAGES_OF_VIDEO = {
  "model": {
    "dtype": "float64", "optimizer": SGD, "transformer": {"optimizer": {**SGD, "other_rate": 0.0}}
  }
}  # fmt: skip

# For a VQ-VAE, a transformer and encoders.
THREE_STAGES_OF_CAPTIONS = {
  "model": {
    "dtype": "float64", "clip_optimizer": SLOW_SGD,
    "vqvae": {"optimizer": SGD}, "transformer": {"optimizer": {**SGD, "other_rate": 0.0}},
  }
}  # fmt: skip

# For a diffusion and its students.
WITH_STUDENTS = {"model": {"dtype": "float64", "optimizer": SGD, "student_optimizer": SGD}}

SYSTEMS = (
  System("ddpm:tiny"),
  System("flow_matching:tiny"),
  System("vdm:tiny", SMALL_STEPS),
  System("latent:tiny", TWO_STAGES_OF_LATENTS),
  System("diffflow:tiny"),
  System("consistency:tiny", SMALL_STEPS),
  System("meanflow:tiny"),
  System("distill:tiny", WITH_STUDENTS),
  System("classifier:tiny"),
  System("segment:tiny"),
  System("vae:tiny", SMALL_STEPS),
  System("cvae:tiny", SMALL_STEPS),
  System("ae:tiny", SMALL_STEPS),
  System("upsample:tiny", SMALL_STEPS),
  System("superres:tiny", SMOOTH),
  System("pca:tiny", FLOAT64),
  System("kmeans:tiny", FLOAT64),
  System("meanshift:tiny", FLOAT64),
  System("gmm:tiny", FLOAT64),
  System("gda:tiny", FLOAT64),
  System("gan:tiny", TWO_PLAYERS),
  System("cyclegan:tiny", TWO_PLAYERS),
  System("pix2pix:tiny", TWO_PLAYERS),
  System("colour:tiny"),
  System("complete:tiny", TWO_PLAYERS),
  System("vqvae:tiny", TWO_STAGES),
  System("video:tiny", TWO_STAGES_OF_VIDEO),
  System("dalle:tiny", THREE_STAGES_OF_CAPTIONS),
  System("pixelcnn:tiny", SMALL_STEPS),
  System("transformer:tiny", SMALL_STEPS),
  System("masked:tiny", SMALL_STEPS),
  System("realnvp:tiny", SMALL_STEPS),
  System("nsf:tiny", SMALL_STEPS),
  System("glow:tiny", SMALL_STEPS),
  System("ffjord:tiny", SMALL_STEPS),
  System("debias:tiny", FAIR),
  System("db_vae:tiny"),
  System("pretrain:tiny", TWO_STAGES_OF_LABELS),
  System("progan:tiny", TWO_PLAYERS),
  System("stylegan:tiny", TWO_PLAYERS),
  System("stackgan:tiny", AFTER_ENCODERS),
  System("translate:tiny"),
  System("toys:two_resolutions", FLOAT64),
  System("toys:aligned", FLOAT64),
)

# Other combinations of the same parts: their laws are slow tests.
MORE = (
  System("ae:tiny_perceptual", TWO_STAGES_OF_FEATURES),
  System("colour:tiny_gan", TWO_PLAYERS_OF_COLOUR),
  System("gan:tiny_began", TWO_PLAYERS),
  System("maf:tiny", SMALL_STEPS),
  System("nice:tiny", SMALL_STEPS),
  System("iwae:tiny", SMALL_STEPS),
  System("edm:tiny"),
  System("beta_vae:tiny", SMALL_STEPS),
  System("dae:tiny", SMALL_STEPS),
  System("cgan:tiny", TWO_PLAYERS),
  System("ddpm:tiny_improved"),
  System("score_sde:tiny"),
  System("dit:tiny"),
  System("flow_matching:tiny_reflow", WITH_STUDENTS),
  System("shortcut:tiny"),
  System("latent:tiny_vq", TWO_STAGES_OF_LATENTS),
  System("ddpm:tiny_captions"),
  System("palette:tiny", FLOAT64),
  System("pacgan:tiny", TWO_PLAYERS),
  System("gan:tiny_ns", TWO_PLAYERS),
  System("vdm:tiny_digits", WITHOUT_DECAY),
  System("segment:tiny_fcn"),
  System("superres:tiny_gan", THREE_STAGES),
  System("vqvae:tiny_transformer", TWO_STAGES),
  System("vqvae:tiny_gumbel", TWO_STAGES),
  System("vqvae:tiny_masked", TWO_STAGES),
  System("gan:tiny_hinge", TWO_PLAYERS),
  System("gan:tiny_dragan", TWO_PLAYERS),
  System("gan:tiny_duality", TWO_PLAYERS),
  System("gan:tiny_wgan", TWO_PLAYERS),
  System("stylegan:tiny_grown", TWO_PLAYERS),
  System("gan:tiny_unrolled", TWO_PLAYERS),
  System("gan:tiny_minibatch", TWO_PLAYERS),
  System("gan:tiny_r3gan", TWO_PLAYERS),
  System("wgan_grid:tiny", TWO_PLAYERS),
)


def changed(name: str, *changes: dict) -> configs.Experiment:
  """The checked config of a system, with changes."""
  file, variant = cli.split_name(name)
  folder = Path(__file__).parent if file == "toys" else CONFIGS
  config = cli.load_config(f"{folder / file}.py:{variant}")
  return configs.parse(configs.merge(configs.as_dict(config.to_dict()), *changes))


@functools.cache
def source_of(**data) -> Source:
  return load(**data)


def build(name: str, *changes: dict, mesh: Mesh | None = None) -> run.System:
  """A system, ready to train; on one device where no mesh is given."""
  experiment = changed(name, *changes)
  source = source_of(**experiment.data)
  program = configs.build(experiment.config, source.spec)
  return run.system_of(program, source, experiment, mesh or one_device())


def one_device():
  return make_mesh(jax.devices()[:1])


def first_batch(source: Source, batch_size: int) -> dict:
  return jax.tree.map(jax.numpy.asarray, next(passes(source.splits["train"], batch_size)))
