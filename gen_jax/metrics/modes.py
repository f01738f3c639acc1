"""How samples fall on the known modes of a mixture (Srivastava et al. 2017; Lin et al. 2018)."""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np

from gen_jax.metrics.finite import finite


class Modes(NamedTuple):
  """modes_covered: modes with a high-quality sample. high_quality_share: samples within three
  standard deviations of a mode; of the mixture itself in the plane 1 - exp(-9/2). reverse_kl: nats.
  """

  modes_covered: int
  high_quality_share: float
  reverse_kl: float


def mode_coverage(
  samples: np.ndarray, centres: np.ndarray, deviation: float, within: float = 3.0
) -> Modes:
  """Coverage of a mixture of equally likely round Gaussians.

  A sample is of high quality where the nearest centre is at most `within` standard deviations away,
  and belongs to that mode. With q the shares of these samples that belong to each mode, the reverse
  Kullback-Leibler divergence is KL(q || uniform) = log K - H(q): 0 for even shares, log K where
  there is one mode, or none (so in the code of Lin et al. 2018).

  Args:
    samples: [n, D].
    centres: of the modes, [K, D].
    deviation: standard deviation of every mode.
    within: the largest distance of a high-quality sample, in standard deviations.

  Raises:
    core.UserError: where a value is not finite.
  """
  chex.assert_rank([samples, centres], 2)
  chex.assert_equal_shape_suffix([samples, centres], 1)
  samples, centres = finite(samples, "the samples"), np.asarray(centres, np.float64)
  distance = np.linalg.norm(samples[:, None] - centres, axis=-1)
  mode, good = distance.argmin(axis=1), distance.min(axis=1) <= within * deviation
  count = np.bincount(mode[good], minlength=len(centres))
  share = count[count > 0] / max(good.sum(), 1)
  divergence = np.log(len(centres)) + (share * np.log(share)).sum()
  return Modes(len(share), float(good.mean()), float(divergence))
