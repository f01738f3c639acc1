"""A mode that shows what the styles of each resolution decide."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from gen_jax.report.uses.use import Use
from gen_jax.run import pictures

THIRDS = ("coarse", "middle", "fine")


def crossed(left: np.ndarray, top: np.ndarray, at: np.ndarray) -> np.ndarray:
  """Styles of every pair: those of `top` at the resolutions `at`, and of `left` at the others.

  Args:
    left: [a, R, ...].
    top: [b, R, ...].
    at: indices of resolutions.

  Returns:
    [a b, R, ...], row by row.
  """
  out = np.repeat(left, len(top), axis=0)
  out[:, at] = np.concatenate([top] * len(left))[:, at]
  return out


def mix(run: Use) -> str:
  """Draws with the coarse, middle or fine styles of other draws: the coarsest third of the
  resolutions and so on. Each row has the other styles of the draw at its left, each column those
  of the draw above it (Karras et al. 2019, figure 3)."""
  columns = max(min(run.n, 10), 2)
  rows = columns // 2
  one = run.examples(1)
  fixed = lambda n: {name: np.repeat(one[name], n, 0) for name in run.model.cond} or None
  n = rows + columns
  styles = np.asarray(run.styles(run.draw_codes(n, fixed(n)), fixed(n)))
  decode = lambda styles: run.decode(jnp.asarray(styles), fixed(len(styles)))
  alone, blank, names = decode(styles), (run.levels or 2) - 1, []
  for name, at in zip(THIRDS, np.array_split(np.arange(styles.shape[1]), 3), strict=True):
    if not len(at):
      continue  # there are two resolutions
    both = decode(crossed(styles[:rows], styles[rows:], at))
    table = np.concatenate([alone[:rows, None], both.reshape(rows, columns, *both.shape[1:])], 1)
    top = np.concatenate([np.full_like(alone[:1], blank), alone[rows:]])
    grid = np.concatenate([top[None], table]).reshape(-1, *both.shape[1:])
    pictures.show(run.folder("mix") / f"{name}.png", grid, run.levels, columns + 1)
    names.append(name)
  return f"{run.folder('mix')}/{{{','.join(names)}}}.png: those styles of the draws at the top"
