"""What happens after actions, and how well it can be told without them."""

from __future__ import annotations

from collections.abc import Callable

import chex
import numpy as np


def likeliest(
  simulate: Callable[[np.ndarray, np.ndarray], np.ndarray],
  chances: np.ndarray,
  state: np.ndarray,
  steps: int,
  at_once: int = 32,
) -> np.ndarray:
  """The probability of the likeliest state after 1, ..., `steps` actions that are not known, which
  is how often the best guess is right: the sum over all sequences of actions, exact.

  Args:
    simulate: (states [m, ...], actions [m, 1]) -> states [m, 2, ...].
    chances: of the actions [A], each drawn anew.
    state: integers [n, ...] from 0 on, where it begins.
    steps: how many.
    at_once: how many of n are followed together.

  Returns:
    float64 [n, steps].
  """
  chances = np.asarray(chances, np.float64)
  chex.assert_rank(chances, 1)
  out = np.zeros((len(state), steps))
  for start in range(0, len(state), at_once):
    here = state[start : start + at_once]
    origin, p = np.arange(len(here)), np.ones(len(here))
    for step in range(steps):
      action = np.tile(np.arange(len(chances)), len(here))[:, None]
      here = simulate(np.repeat(here, len(chances), 0), action)[:, 1]
      origin, p = np.repeat(origin, len(chances)), np.outer(p, chances).ravel()
      # Ways that lead from one origin to one state are one from here on.
      rows = np.column_stack([origin, here.reshape(len(here), -1)])
      name = np.ravel_multi_index(tuple(rows.T), tuple(rows.max(0) + 1))
      _, first, which = np.unique(name, return_index=True, return_inverse=True)
      origin, here, p = origin[first], here[first], np.bincount(which, p)
      np.maximum.at(out[start : start + at_once, step], origin, p)
  return out


def others(rng: np.random.Generator, action: np.ndarray, chances: np.ndarray) -> np.ndarray:
  """For each of `action` [...] another one, drawn by `chances` [A] among the rest."""
  p = np.where(np.arange(len(chances)) == action[..., None], 0, chances)
  u = rng.random(action.shape)[..., None] * p.sum(-1, keepdims=True)
  # Of the first action whose cumulated probability is above u: never one of probability 0.
  return (p.cumsum(-1) <= u).sum(-1).astype(action.dtype)
