"""Pictures of persons of whom it is asked who is the same again, in another colour.

As in re-identification, where clothes change between sessions: each person is seen in two sessions,
all pictures of a session in one colour. Who is to be found again is of other persons than those to
learn from, so that a code has to say what persons are told by.
"""

from __future__ import annotations

import numpy as np

from gen_jax import core
from gen_jax.data import folder, images, source
from gen_jax.data.biased import dyed


def tinted(
  *, path: str, resolution: int, resize: images.Resize, validation: float, test: float,
  split_seed: int, strict: bool,
) -> source.Source:  # fmt: skip
  """Grey pictures of persons in ten colours, one for each person and session; the sessions are the
  first and the second half of the person's pictures, in the order of their names.

  Args:
    path: a folder or zip archive with a folder of pictures for each person, such as the AT&T faces.
    resolution, resize, strict: see `gen_jax.data.load`.
    validation, test: shares of the persons.
    split_seed: of who is in which split, and of the colours.

  Returns:
    A source with x uint8 [R, R, 3], label, the person; group, the colour 0..9; session, 0 or 1.

  Raises:
    UserError: if there are no folders of persons, a person has fewer than two pictures, or fewer
      than two persons are to be told apart in a split.
  """
  none = dict(validation=0.0, test=0.0, channels=1, patch=0)
  plain = folder.load(
    path=path, resolution=resolution, resize=resize, split_seed=split_seed, strict=strict, **none
  )
  if set(plain.splits) != {"train"} or plain.spec.classes < 2:
    raise core.UserError(
      f"persons:tinted reads {path} as one folder of pictures for each of several persons, without"
      " folders of splits: it holds out persons by itself"
    )
  held = plain.splits["train"].arrays()
  persons, names = plain.spec.classes, plain.spec.fields["label"].names
  counts = np.bincount(held["label"], minlength=persons)
  if counts.min() < 2:
    raise core.UserError(f"{names[counts.argmin()]} of {path} has one picture: two sessions need 2")
  rank = np.zeros(len(held["label"]), np.int64)  # of a picture among its person's
  for person in range(persons):
    rank[held["label"] == person] = np.arange(counts[person])
  session = (rank >= (counts // 2)[held["label"]]).astype(np.int32)
  worn = colours(persons, split_seed)[held["label"], session]
  arrays = {"x": dyed(held["x"], worn), "label": held["label"], "group": worn, "session": session}
  splits = {}
  shares = dict(validation=validation, test=test, seed=split_seed)
  for name, (_, chosen) in source.hold_out({"train": persons}, **shares).items():
    if len(chosen) < 2:
      raise core.UserError(f"the {name} split of {persons} persons has one: nobody to tell apart")
    rows = np.isin(held["label"], chosen)
    splits[name] = source.ArraySplit({field: value[rows] for field, value in arrays.items()})
  fields = {
    **plain.spec.fields, "group": core.Field((), 10), "session": core.Field((), 2),
  }  # fmt: skip
  spec = core.Spec(plain.spec.x._replace(shape=(*plain.spec.shape[:2], 3)), fields)
  return source.Source("persons:tinted", spec, splits, plain.notes, plain.digest)


def colours(persons: int, seed: int) -> np.ndarray:
  """Of each person's two sessions, int32 [persons, 2], never the same one twice."""
  rng = np.random.default_rng([seed, persons])
  return np.stack([rng.permutation(10)[:2] for _ in range(persons)]).astype(np.int32)
