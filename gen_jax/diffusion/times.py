"""Times of training, as quantiles of one uniform variable that is stratified over the batch.

  uniform       t between the path's first and last
                (rectified flow: Liu et al. 2023, arXiv:2209.03003; VDM: Kingma et al. 2021)
  logit_normal  t = sigmoid(mean + std z)
                (Esser et al. 2024, arXiv:2403.03206, section 3.1)
  log_normal    log(sigma / alpha) = mean + std z
                (Karras et al. 2022, arXiv:2206.00364, table 1)

z ~ N(0, 1). With u_i one in each of as many strata as there are examples, the mean over a batch has
less variance than with independent times, and the same expectation.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri

from gen_jax.core import Array
from gen_jax.diffusion.path import Path
from gen_jax.losses.diffusion import ranks


def strata(key: Array, count: int, mask: Array | None = None, dtype=jnp.float32) -> Array:
  """u [count] in (0, 1), one in each of `count` equal strata.

  mask: [count]; the strata are as many as examples have it True, and theirs alone; what the others
    get does not matter.
  """
  u = jax.random.uniform(key, (count,), dtype)
  rank, total = ranks(count, mask)
  tiny = jnp.finfo(dtype).eps
  return jnp.clip((rank + u) / total, tiny, 1 - tiny).astype(dtype)


# (path, mean, std) -> u -> t
TIMES: dict[str, Callable[[Path, float, float], Callable[[Array], Array]]] = {
  "uniform": lambda path, mean, std: lambda u: path.first + (path.last - path.first) * u,
  "logit_normal": lambda path, mean, std: lambda u: jax.nn.sigmoid(mean + std * ndtri(u)),
  "log_normal": lambda path, mean, std: lambda u: path.time_of(-2 * (mean + std * ndtri(u))),
}
