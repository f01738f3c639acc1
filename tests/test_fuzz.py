"""Random damage: every image file is read or refused, every config is built or refused."""

import io
import math
import random

import numpy as np
import pytest
from PIL import Image

from gen_jax import config as configs
from gen_jax.core import Field, Spec, UserError
from gen_jax.data import images
from tests.conformance.systems import SYSTEMS, build

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype(np.uint8)


def encoded(kind, mode):
  image, out = Image.fromarray(IMAGE).convert(mode), io.BytesIO()
  image.save(out, kind, **({"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"} if kind == "JPEG" else {}))
  return out.getvalue()


def damaged(data, rng):
  """The file after one to four accidents."""
  data = bytearray(data)
  for _ in range(rng.randint(1, 4)):
    at = rng.randrange(len(data)) if data else 0
    accident = rng.randrange(5)
    if accident == 0:
      data[at:] = b""
    elif accident == 1 and data:
      data[at] ^= 1 << rng.randrange(8)
    elif accident == 2:
      data[at:at] = rng.randbytes(rng.randint(1, 8))
    elif accident == 3:
      data[at : at + rng.randint(1, 8)] = b"\xff" * rng.randint(0, 8)
    else:  # sizes and counts stand near the beginning
      head = rng.randrange(min(len(data), 40) or 1)
      data[head : head + 4] = rng.choice([b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"])
  return bytes(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
  ("kind", "mode"),
  [
    ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("PNG", "1"), ("JPEG", "RGB"), ("JPEG", "CMYK"),
    ("GIF", "P"), ("BMP", "RGB"), ("WEBP", "RGBA"), ("PPM", "RGB"), ("PPM", "L"),
  ],
)  # fmt: skip
def test_a_damaged_image_is_read_or_refused(kind, mode):
  whole, rng, refused = encoded(kind, mode), random.Random(f"{kind} {mode}"), 0
  assert images.decode(whole).size == (9, 12)
  for _ in range(300):
    try:
      image = images.decode(damaged(whole, rng))
      assert image.mode in ("L", "RGB")
      assert images.fit(image, 3, 8, rng.choice(images.RESIZE)).shape == (8, 8, 3)
    except images.BadImage as error:
      assert "\n" not in str(error) and str(error)
      refused += 1
  assert refused > 0


ODD = (
  None, True, False, 0, 1, -1, 2, 3, 7, 10**12, -(10**12), 0.5, 1.0, -0.5, 1e-30, 1e30, math.nan,
  math.inf, -math.inf, "", "x", "adam", "cosine", "0", "ü\n", (), (1,), (0,), (-1,), (1, 2, 3),
  ("x",), (None,), (0.5,), [[1]], {}, {"x": 1}, {"name": "sgd"}, b"x",
)  # fmt: skip
PAIRED = dict(segmentation=Field((8, 8), 5, aligned=True), y=Field((8, 8, 3), 256))
WORDS = ("<pad>", "<bos>", "<eos>", "<unk>", "a", "b")
SPECS = (
  Spec.of((8, 8, 1), 17, 10), Spec.of((32, 32, 3), 256, 0), Spec.of((2,)),
  Spec.of((7, 5, 1), 2, 2), Spec.of((1, 1, 1), 2, 1), Spec.of((16,), 4, 3),
  Spec.of((8, 8, 1), 17, 10, caption=Field((4,), 9)), Spec.of((8, 8, 3), 256, 4, **PAIRED),
  Spec.of((3,), None, 2, group=Field((), 2)), Spec.of((4, 8, 8, 3), 256, action=Field((3,), 5)),
  Spec.of((16, 16, 3), 256),
  Spec(Field((6,), 6, WORDS), {"y": Field((6,), 6, WORDS)}),
)  # fmt: skip


def leaves(tree, path=()):
  for name, value in tree.items():
    if isinstance(value, dict) and value:
      yield from leaves(value, (*path, name))
    else:
      yield (*path, name)


def changed(tree, path, value):
  head, *rest = path
  return {**tree, head: changed(tree[head], rest, value) if rest else value}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s.name)
def test_an_odd_config_is_built_or_refused(system):
  own, rng = build(system.name), random.Random(system.name)
  config = own.experiment.config
  fields = [path for path in leaves(config) if path[0] != "builder"]
  built = 0
  for _ in range(300):
    odd = config
    for _ in range(rng.randint(1, 2)):
      odd = changed(odd, rng.choice(fields), rng.choice(ODD))
    try:
      parsed = configs.parse(odd)
      # Every other one of its own data, which few of the others are like.
      configs.build(parsed.config, own.spec if rng.random() < 0.5 else rng.choice(SPECS))
      built += 1
    except UserError as error:
      assert str(error)
  assert built
