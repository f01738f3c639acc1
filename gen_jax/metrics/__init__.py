"""Measures of sets of examples: pure functions of arrays, in float64 where it matters."""

from gen_jax.metrics.anomaly import auroc, noise_like
from gen_jax.metrics.bleu import bleu
from gen_jax.metrics.checkerboard import (
  energy,
  lattice_energy,
  low_pass,
  replica_energy,
  unevenness,
)
from gen_jax.metrics.colour import Table as ColourTable
from gen_jax.metrics.colour import accumulated, cell_entropy, cell_weights
from gen_jax.metrics.completion import (
  Gaussian,
  conditional_mean,
  fit_gaussian,
  gradient_magnitude,
)
from gen_jax.metrics.disentanglement import (
  beta_vae_score,
  dci,
  factor_vae_score,
  mutual_information_gap,
)
from gen_jax.metrics.distances import energy_distance, sliced_wasserstein
from gen_jax.metrics.diversity import diversity_within_classes
from gen_jax.metrics.fairness import gaps, rates
from gen_jax.metrics.fidelity import PEAK, SMALLEST, decibels, detail, luminance, psnr, ssim
from gen_jax.metrics.finite import finite
from gen_jax.metrics.frechet import frechet_distance
from gen_jax.metrics.health import Kinds, game_health
from gen_jax.metrics.kernel import kernel_distance
from gen_jax.metrics.masks import Likeness, likeness
from gen_jax.metrics.memorisation import (
  data_copying,
  nearest_distance,
  nearest_indices,
)
from gen_jax.metrics.modes import Modes, mode_coverage
from gen_jax.metrics.paths import lerp, slerp, squared_speed
from gen_jax.metrics.poses import likeliest, others
from gen_jax.metrics.prdc import precision_recall_density_coverage
from gen_jax.metrics.probes import balanced, linear_r2, probe_errors
from gen_jax.metrics.reading import nearest_drawn
from gen_jax.metrics.regions import region_scores
from gen_jax.metrics.retrieval import rank_1, told_from_neighbours, top_caption
from gen_jax.metrics.segmentation import agreement, class_accuracy, confusion_matrix

__all__ = [
  "lerp",
  "slerp",
  "squared_speed",
  "ColourTable",
  "Gaussian",
  "Kinds",
  "Likeness",
  "Modes",
  "PEAK",
  "SMALLEST",
  "accumulated",
  "agreement",
  "auroc",
  "balanced",
  "beta_vae_score",
  "bleu",
  "cell_entropy",
  "cell_weights",
  "class_accuracy",
  "conditional_mean",
  "confusion_matrix",
  "data_copying",
  "dci",
  "decibels",
  "detail",
  "diversity_within_classes",
  "energy",
  "energy_distance",
  "factor_vae_score",
  "finite",
  "fit_gaussian",
  "frechet_distance",
  "game_health",
  "gaps",
  "kernel_distance",
  "gradient_magnitude",
  "lattice_energy",
  "likeliest",
  "likeness",
  "linear_r2",
  "low_pass",
  "luminance",
  "mode_coverage",
  "mutual_information_gap",
  "nearest_distance",
  "nearest_drawn",
  "nearest_indices",
  "noise_like",
  "others",
  "precision_recall_density_coverage",
  "probe_errors",
  "psnr",
  "rank_1",
  "rates",
  "region_scores",
  "replica_energy",
  "sliced_wasserstein",
  "ssim",
  "told_from_neighbours",
  "top_caption",
  "unevenness",
]
