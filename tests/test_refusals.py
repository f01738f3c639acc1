"""Bad input, case by case: one line that says what is wrong and what would be right, exit status 2.

A case is (arguments, part of the message). {names} stand for folders that `places` makes.
"""

import io
import json
import shutil
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.refusals import Server

TINY = "--config=configs/ddpm.py:tiny"
PCA = "--config=configs/pca.py:tiny"
GAN = "--config=configs/gan.py:tiny"
VAE = "--config=configs/vae.py:tiny"
VQ = "--config=configs/vqvae.py:tiny"
FLOW = "--config=configs/realnvp.py:tiny"
PIXEL = "--config=configs/pixelcnn.py:tiny"
GMM = "--config=configs/gmm.py:tiny"
FOLDER = "--config=configs/ddpm.py:folder"


def at(path):
  return [FOLDER, f"--config.data.path={{{path}}}"]


def files(name, path, **options):
  given = [f"--config.data.{k}={v}" for k, v in options.items()]
  return [TINY, f"--config.data.name={name}", f"--config.data.path={{{path}}}", *given]


def field(config, name, value, message):
  return [config, f"--config.{name}={value}"], message


COMMAND_LINE = {
  "no config": ([], "give --config configs/NAME.py"),
  "no such config": (["--config=configs/dppm.py"], "did you mean ddpm"),
  "a folder": (["--config=configs"], "no config file configs"),
  "not a config": (["--config=gen_jax/core.py"], "has no get_config"),
  "empty config": (["--config="], "--config is empty"),
  "no such variant": (["--config=configs/ddpm.py:digit"], "did you mean digits"),
  "variant of another": (["--config=configs/pca.py:cifar10"], "no variant 'cifar10'"),
  "flag": ([TINY, "--wrokdir=x"], "wrokdir"),
  "mode": ([TINY, "--mode=trian"], "trian"),
  "bare word": ([TINY, "train"], "unexpected argument 'train'"),
  "n is no number": ([TINY, "--mode=sample", "--n=ten"], "ten"),
  "profile is no number": ([TINY, "--profile=x"], "x"),
  "checkpoint": ([TINY, "--mode=sample", "--checkpoint=last"], "last"),
  "compare nothing": (["compare"], "two run folders or more"),
  "compare one": (["compare", "{run}"], "two run folders or more"),
  "compare no run": (["compare", "{run}", "{empty}"], "is not a run folder"),
  "sweep without values": ([TINY, "--sweep=seed"], "FIELD=VALUE,VALUE"),
  "sweep twice": ([TINY, "--sweep=seed=1", "--sweep=seed=2"], "stands twice"),
  "sweep of samples": ([TINY, "--mode=sample", "--sweep=seed=1,2"], "options such as sample.steps"),
  "samples of many processes": ([TINY, "--mode=sample", "--distributed"], "--distributed is for"),
  "sweep of many processes": ([TINY, "--sweep=seed=1,2", "--distributed"], "--distributed is for"),
  "workdir of no scheme": ([TINY, "--workdir=ftp://host/run"], "gs://, s3://, file:// or a local"),
  "workdir without a path": ([TINY, "--workdir=gs://"], "not a folder that can be reached"),
  "no run at a url": (["--mode=sample", "--workdir=file://{empty}/no"], "is not a run folder"),
  "sweep at a url": ([TINY, "--sweep=seed=1,2", "--workdir=gs://b/run"], "needs a local --workdir"),
  "images of no scheme": ([FOLDER, "--config.data.path=ftp://x/y"], "not a folder that can be"),
  "no images at a url": ([FOLDER, "--config.data.path=file://{empty}/no"], "cannot be reached"),
  "residual without widths": field(GAN, "model.critic.residual", True, "widths"),
  "workdir is a file": ([TINY, "--workdir={file}"], "cannot be written"),
  "workdir below a file": ([TINY, "--workdir={file}/run"], "cannot be written"),
}

CONFIG = {
  "group": field(TINY, "modle.width", 8, "config.modle"),
  "field": field(TINY, "model.widht", 8, "did you mean width"),
  "deep field": field(TINY, "model.optimizer.lr", 1, "config.model.optimizer.lr does not exist"),
  "a group set": field(TINY, "model.optimizer", 3, "is a group of"),
  "no group": field(TINY, "seed.x", 3, "config.seed.x does not exist"),
  "text for a number": field(TINY, "train.steps", "ten", "ten"),
  "fraction for a count": field(TINY, "model.width", "8.5", "8.5"),
  "text for a flag": field(TINY, "model.remat", "perhaps", "perhaps"),
  "choice": field(TINY, "model.schedule", "cosin", "must be one of"),
  "prediction": field(TINY, "model.prediction", "noise", "must be one of"),
  "dtype": field(TINY, "model.dtype", "float8", "must be one of"),
  "optimizer": field(TINY, "model.optimizer.name", "adan", "must be one of"),
  "rate": field(TINY, "model.optimizer.learning_rate", 0, "learning_rate must be positive"),
  "decay": field(TINY, "model.optimizer.decay_steps", 1, "needs optimizer.decay_steps"),
  "ema": field(TINY, "model.ema", 1.0, "config.model.ema must be in [0, 1), not 1.0"),
  "width": field(TINY, "model.width", 0, "config.model.width must be 1 or more, not 0"),
  "timesteps": field(TINY, "model.timesteps", 0, "config.model.timesteps must be 2 or more, not 0"),
  "too many timesteps": field(
    TINY, "model.timesteps", 10**9, "must be below 1048576, not 1000000000"
  ),
  "linear in few timesteps": (
    [TINY, "--config.model.schedule=linear"],
    "schedule=linear needs more than 20 timesteps, not 20",
  ),
  "long seed": field(TINY, "seed", 2**32, "config.seed must be below 4294967296, not 4294967296"),
  "split seed": field(TINY, "data.split_seed", 2**63, "config.data.split_seed must be below"),
  "seed of samples": (
    [TINY, "--mode=sample", f"--seed={2**32}"],
    "--seed must be below 4294967296",
  ),
  "many samples": (
    [TINY, "--mode=sample", f"--n={10**12}"],
    "--n must be below 2147483648, not 1000000000000",
  ),
  "float64": field(TINY, "model.dtype", "float64", "model.dtype=float64 needs JAX_ENABLE_X64=1"),
  "no temperature": field(VAE, "sample.temperature", "nan", "must be a finite number, not nan"),
  "endless guidance": field(
    TINY, "sample.guidance", "inf", "sample.guidance must be a finite number, not inf"
  ),
  "multipliers": field(
    TINY, "model.multipliers", "()", "config.model.multipliers must have 1 or more entries"
  ),
  "too many halvings": field(TINY, "model.multipliers", "(1,1,1,1,1)", "model.multipliers"),
  "dropout": field(TINY, "model.dropout", 1.5, "config.model.dropout must be in [0, 1), not 1.5"),
  "condition dropout": field(
    TINY, "model.condition_dropout", -0.1, "condition_dropout must be in [0, 1], not -0.1"
  ),
  "seed": field(TINY, "seed", -1, "config.seed must be 0 or more"),
  "steps": field(TINY, "train.steps", 0, "config.train.steps must be 1 or more"),
  "steps of two stages": field(TINY, "train.steps", "(4,4)", "train.steps"),
  "per call": field(TINY, "train.steps_per_call", 3, "must divide"),
  "no per call": field(TINY, "train.steps_per_call", 0, "steps_per_call must be 1 or more"),
  "interval": field(TINY, "train.log_every", -1, "log_every must be 0"),
  "keep": field(TINY, "train.keep", 0, "keep must be 1 or more"),
  "best": field(TINY, "train.best", "nll", "is no term of evaluation"),
  "measure": field(TINY, "measures", "('fid',)", "no measure 'fid'"),
  "measure of labels": field(
    "--config=configs/realnvp.py:swissroll", "measures", "('frechet',)", "needs data with labels"
  ),
  "measure of samples": field(
    "--config=configs/ae.py:tiny", "measures", "('memorisation',)", "needs a model with sample"
  ),
  "outliers of everything": field(
    "--config=configs/ae.py:tiny", "measures", "('outliers_by_error',)", "set config.data.only"
  ),
  "factors that are not": field(
    "--config=configs/ae.py:tiny", "measures", "('disentanglement',)", "needs data with factors"
  ),
  "split": field(TINY, "evaluate.split", "tset", "did you mean test"),
  "samples": field(TINY, "evaluate.samples", 0, "evaluate.samples must be 1 or more"),
  "chunk": field(TINY, "evaluate.batch_size", -4, "evaluate.batch_size must be 1 or more"),
  "sampler": field(TINY, "sample.method", "ddmi", "must be one of"),
  "sampler's steps": field(TINY, "sample.steps", -1, "sample.steps"),
  "more steps than times": field(TINY, "sample.steps", 21, "sample.steps"),
  "eta": field(TINY, "sample.eta", -1, "config.sample.eta must be in [0, 1]"),
  "guidance without labels": (
    [
      TINY,
      "--config.model.condition=none",
      "--config.sample.guidance=3",
      "--config.measures=('likelihood',)",
    ],
    "guidance",
  ),
  "labels that are not": (
    [
      "--config=configs/cvae.py:tiny",
      "--config.data.name=toy2d:swissroll",
      "--config.model.observation=gaussian",
    ],
    "model.conditional=True needs labels",
  ),
  "pca": field(PCA, "model.components", 65, "model.components must be at most 64"),
  "no components": field(PCA, "model.components", 0, "config.model.components must be 1 or more"),
  "gmm": field(GMM, "model.components", 0, "config.model.components must be 1 or more"),
  "gmm's floor": field(GMM, "model.floor", -1, "config.model.floor must be positive, not -1"),
  "gan's turns": field(GAN, "model.n_critic", 0, "n_critic must be 1 or more"),
  "gan's latent": field(GAN, "model.latent", 0, "latent must be 1 or more"),
  "gan's clip": field(GAN, "model.clip", 0.01, "model.penalties"),
  "gan's weight": field(GAN, "model.penalties.wgan_gp", -1, "0 or more"),
  "gan's widths": field(GAN, "model.critic.widths", "(4,4,4,4)", "multiples of 16"),
  "gan's loss": field(GAN, "model.loss", "wgan-gp", "must be one of"),
  "began's penalty": field(GAN, "model.loss", "began", "began"),
  "vae's latent": field(VAE, "model.latent", 0, "latent must be 1 or more"),
  "vae's scale": field(VAE, "model.scale", 0.0, "scale must be positive"),
  "vae's beta": field(VAE, "model.beta", -1, "beta must be 0 or more"),
  "iwae's beta": (
    ["--config=configs/iwae.py:tiny", "--config.model.beta=2.0"],
    "model.bound=elbo, not of iwae",
  ),
  "binarize": field(VAE, "model.binarize", "fresh", "needs model.observation=bernoulli"),
  "importance": field(
    VAE, "likelihood.importance_samples", -1, "importance_samples must be 0 or more, not -1"
  ),
  "temperature": field(VAE, "sample.temperature", -1, "temperature must be 0 or more"),
  "vq's factor": field(VQ, "model.factor", 3, "power of 2"),
  "vq's codes": field(VQ, "model.codes", 1, "codes must be 2 or more"),
  "vq's decay": field(VQ, "model.decay", 1.0, "config.model.decay must be in [0, 1), not 1.0"),
  "pixelcnn's kernel": field(PIXEL, "model.kernel", 4, "model.kernel must be odd, not 4"),
  "pixelcnn's top_k": field(PIXEL, "sample.top_k", 18, "top_k"),
  "pixelcnn of points": field(PIXEL, "data.name", "toy2d:moons", "images"),
  "flow's temperature": field(
    FLOW, "sample.temperature", -1, "config.sample.temperature must be 0 or more"
  ),
}

DATA = {
  "name": field(TINY, "data.name", "digit", "did you mean digits"),
  "a path": field(TINY, "data.name", "/tmp", "set data.name=folder"),
  "toy": field(PCA, "data.name", "toy2d:moon", "did you mean toy2d:moons"),
  "batch size": field(TINY, "data.batch_size", 0, "batch_size"),
  "threads": field(TINY, "data.threads", 0, "threads"),
  "remainder": field(TINY, "data.remainder", "drop", "must be one of"),
  "passes": field(GMM, "data.remainder", "wrap", "whole passes: set config.data.remainder=pad"),
  "resident": field(TINY, "data.resident", "maybe", "resident"),
  "augmentation": field(TINY, "data.augment", "('spin',)", "augment"),
  "validation": field(TINY, "data.validation", 1.0, "data.validation"),
  "no validation": field(TINY, "data.validation", 0.0, "set data.validation"),
  "test": field(TINY, "data.test", -0.1, "data.test"),
  "no test": field(TINY, "data.test", 0.0, "is no split"),
  "all held out": ([TINY, "--config.data.test=0.5", "--config.data.validation=0.9999"], "training"),
  "split seed": field(TINY, "data.split_seed", -1, "split_seed"),
  "resolution of digits": field(TINY, "data.resolution", 16, "is read by shapes, folder"),
  "channels of digits": field(TINY, "data.channels", 3, "not by digits"),
  "channels": field(TINY, "data.channels", 2, "data.channels"),
  "odd shapes": (
    [
      "--config=configs/beta_vae.py:tiny",
      "--config.data.name=shapes",
      "--config.data.resolution=33",
    ],
    "even resolutions",
  ),
  "path of digits": field(TINY, "data.path", "/tmp", "data.path is read by folder"),
  "binarised points": (
    ["--config=configs/gmm.py", "--config.data.binarize=static"],
    "needs images with grey levels",
  ),
  "binarize": field(TINY, "data.binarize", "dynamic", "must be one of"),
  "only": field(TINY, "data.only", "(10,)", "the classes of digits are 0 to 9"),
  "only as text": field(TINY, "data.only", "three", "data.only"),
  "tfds": field(TINY, "data.name", "tfds:mnits", "mnits"),
  "tfds without a name": field(TINY, "data.name", "tfds:", "tfds"),
  "tfds not prepared": (
    [TINY, "--config.data.name=tfds:mnist", "--config.data.data_dir={empty}"],
    "is not prepared",
  ),
  "tfds of text": (
    [TINY, "--config.data.name=tfds:imdb_reviews", "--config.data.data_dir={empty}"],
    "imdb",
  ),
  "data_dir is a file": (
    [TINY, "--config.data.name=tfds:mnist", "--config.data.data_dir={file}"],
    "mnist",
  ),
  "no path": ([FOLDER], "data.path, which is not given"),
  "missing folder": ([FOLDER, "--config.data.path=/no/such/folder"], "no such folder"),
  "empty folder": (at("empty"), "no images"),
  "a text file": (at("file"), "not a folder or a readable zip"),
  "truncated png": (at("truncated"), "7.png"),
  "png of text": (at("text_png"), "7.png (not an image)"),
  "empty png": (at("empty_png"), "7.png"),
  "wrong checksum": (at("checksum"), "7.png"),
  "bomb": (at("bomb"), "pixels"),
  "negative bmp": (at("bmp"), "7.bmp"),
  "gif without frames": (at("gif"), "7.gif"),
  "webp header only": (at("webp"), "7.webp"),
  "pnm of letters": (at("pnm"), "7.pgm"),
  "jpeg cut short": (at("jpeg"), "7.jpg"),
  "svg by another name": (at("svg"), "7.png (not an image)"),
  "eps by another name": (at("eps"), "7.png (not an image)"),
  "floating point": (at("tiff"), "7.png"),
  "mixed layout": (at("mixed"), "does not fit the layout"),
  "in and beside splits": (at("beside"), "both in and beside its split folders"),
  "too deep": (at("deep"), "does not fit the layout"),
  "sizes": ([*at("sizes"), "--config.data.resolution=0"], "set data.resolution"),
  "one image": (at("one"), "is no split of folder"),
  "captions without tab": (at("captions"), "no tab between file and caption"),
  "captions not text": (at("binary_captions"), "captions.tsv"),
  "captions missing": (at("few_captions"), "have no caption"),
  "zip cut short": (at("zip_cut"), "not a folder or a readable zip"),
  "zip of nothing": (at("zip_empty"), "no images"),
  "zip upwards": (at("zip_up"), "points outside the archive"),
  "zip from the root": (at("zip_root"), "points outside the archive"),
  "zip of a drive": (at("zip_drive"), "points outside the archive"),
  "zip with a backslash": (at("zip_backslash"), "points outside the archive"),
  "zip damaged": (at("zip_damaged"), "7.png"),
  "zip bomb": (at("zip_bomb"), "bytes"),
  "pairs without a partner": (files("pairs", "alone"), "1 of 10 names in"),
  "pairs of two sizes": (files("pairs", "unequal"), "pairs are of one size"),
  "labels of no class": (files("pairs", "void", classes=2), "set data.ignore=2"),
  "pairs of no known folder": (files("pairs", "sizes"), "is in no folder of a known name"),
  "domain without images": (files("domains", "one_domain"), "no images of domain B"),
  "other is nothing": field(TINY, "data.other", "digit", "did you mean digits"),
  "arrays of unequal length": (files("arrays", "unequal_arrays"), "has 3 examples, and x 4"),
  "arrays of text": (files("arrays", "file"), "is not an .npz file"),
  "empty line": (files("text", "blank"), "line 2: empty"),
  "languages of unequal length": (
    files("text", "translations", languages="('en','fr')"),
    "have 2 and 1 lines",
  ),
  "no such language": (files("text", "translations", languages="('de',)"), "has no train.de"),
  "missing column": (
    files("table", "table", columns="('age:real','job:label')"),
    "has no column job",
  ),
  "kind of column": (files("table", "table", columns="('age:int',)"), "name:kind"),
  "frames of digits": field(TINY, "data.frames", 4, "is read by moving, maze"),
  "zip of another method": (at("zip_lzma"), "another method"),
  "resize": ([*at("one"), "--config.data.resize=squash"], "data.resize"),
  "resolution": ([*at("one"), "--config.data.resolution=5000"], "must be in [0, 4096]"),
  "negative resolution": ([*at("one"), "--config.data.resolution=-1"], "data.resolution"),
}

RUN = {
  "other config": ([TINY, "--workdir={run}", "--config.model.width=16"], "another config"),
  "other seed": ([TINY, "--workdir={run}", "--config.seed=1"], "seed 0 there, 1 here"),
  "other system": ([PCA, "--workdir={run}"], "belongs to another config"),
  "no run": (["--workdir=/no/such/run", "--mode=sample"], "is not a run folder"),
  "empty run": (["--workdir={empty}", "--mode=sample"], "is not a run folder"),
  "config not json": (["--workdir={not_json}", "--mode=sample"], "is not JSON"),
  "config of something else": (["--workdir={other_json}", "--mode=sample"], "lacks"),
  "no checkpoint": (["--workdir={no_checkpoint}", "--mode=sample"], "no checkpoint"),
  "damaged checkpoints": (["--workdir={damaged}", "--mode=sample"], "checkpoint"),
  "truncated checkpoints": (["--workdir={truncated_run}", "--mode=sample"], "checkpoint"),
  "label": (["--workdir={run}", "--mode=sample", "--label=10"], "--cond.label must lie in 0..9"),
  "negative label": (["--workdir={run}", "--mode=sample", "--label=-1"], "--cond.label must lie"),
  "label of no classes": (
    ["--workdir={plain}", "--mode=sample", "--label=1"],
    "--cond.label: this model takes no condition",
  ),
  "word that captions lack": (
    ["--workdir={run}", "--mode=sample", "--cond.caption=a red whale"],
    "--cond.caption: this model takes label",
  ),
  "condition without a value": (
    ["--workdir={run}", "--mode=sample", "--cond.label"],
    "--cond.FIELD",
  ),
  "seed of training": ([TINY, "--seed=1"], "--seed is for --mode=sample"),
  "input of samples": (["--workdir={run}", "--mode=sample", "--input=x.png"], "--input is for"),
  "no input there": (
    ["--workdir={plain}", "--mode=reconstruct", "--input=/no/such.png"],
    "cannot be read",
  ),
  "input of text": (["--workdir={plain}", "--mode=reconstruct", "--input={file}"], "not an image"),
  "checkpoint of training": ([TINY, "--checkpoint=best"], "training goes on from the newest"),
  "n": (["--workdir={run}", "--mode=sample", "--n=0"], "--n must be 1 or more, not 0"),
  "negative n": (["--workdir={run}", "--mode=sample", "--n=-3"], "--n must be 1 or more"),
  "seed": (["--workdir={run}", "--mode=sample", "--seed=-1"], "--seed must be 0 or more"),
  "n of a mode": (["--workdir={plain}", "--mode=reconstruct", "--n=0"], "--n must be 1 or more"),
  "mode without capability": (["--workdir={run}", "--mode=reconstruct"], "needs a model with"),
  "map of more dimensions": (["--workdir={plain}", "--mode=map"], "codes of 2 dimensions"),
  "density of images": (["--workdir={plain}", "--mode=density"], "of 2 dimensions"),
  "shorter than it is": ([TINY, "--workdir={run}", "--config.train.steps=4"], "past"),
  "init from nothing": ([TINY, "--init_from={empty}"], "is not a run folder"),
  "init from another": ([PCA, "--init_from={run}"], "no array of that run fits"),
}

CASES = {
  f"{group}: {name}": case
  for group, cases in (
    ("command line", COMMAND_LINE), ("config", CONFIG), ("data", DATA), ("run", RUN),
  )
  for name, case in cases.items()
}  # fmt: skip


def png(size=(32, 32), seed=0):
  pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
  return encoded(Image.fromarray(pixels), "PNG")


def encoded(image, kind):
  stream = io.BytesIO()
  image.save(stream, kind)
  return stream.getvalue()


def giant():
  """A PNG that says it has 65535 x 65535 pixels."""
  chunk = lambda kind, data: (
    struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
  )
  header = chunk(b"IHDR", struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0))
  data = chunk(b"IDAT", zlib.compress(b"\0" * 10))
  return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def broken_files():
  """Folder -> (name of a file among nine good ones, its bytes)."""
  good = png()
  grey = Image.new("L", (32, 32))
  svg = b"<svg xmlns='http://www.w3.org/2000/svg'></svg>"
  return {
    "truncated": ("7.png", good[: len(good) // 2]),
    "text_png": ("7.png", b"not a picture"),
    "empty_png": ("7.png", b""),
    "checksum": ("7.png", good[:60] + bytes([good[60] ^ 255]) + good[61:]),
    "bomb": ("7.png", giant()),
    "bmp": ("7.bmp", encoded(grey, "BMP")[:20] + b"\xff" * 30),
    "gif": ("7.gif", b"GIF89a\x20\x00\x20\x00\x00\x00\x00;"),
    "webp": ("7.webp", encoded(grey.convert("RGB"), "WEBP")[:16]),
    "pnm": ("7.pgm", b"P2\n32 32\n255\nabc def\n"),
    "jpeg": ("7.jpg", encoded(Image.open(io.BytesIO(good)), "JPEG")[:300]),
    "svg": ("7.png", svg),
    "eps": ("7.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "tiff": ("7.png", encoded(Image.new("F", (32, 32)), "TIFF")),
  }


def write(folder, files):
  for name, content in files.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def archive(path, files, method=zipfile.ZIP_DEFLATED):
  with zipfile.ZipFile(path, "w", method) as out:
    for name, content in files.items():
      out.writestr(name, content)


@pytest.fixture(scope="module")
def server():
  process = Server()
  yield process
  process.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory, server):
  """Name -> path of everything that is wrong."""
  root = tmp_path_factory.mktemp("places")
  good = {f"{i}.png": png(seed=i) for i in range(10)}
  (root / "empty").mkdir()
  (root / "file").write_text("text")
  for folder, (name, content) in broken_files().items():
    write(root / folder, {**{k: v for k, v in good.items() if k != "7.png"}, name: content})
  write(root / "mixed", {**good, "a/b.png": png()})
  write(root / "beside", {"train/a.png": png(), "b.png": png()})
  write(root / "deep", {f"x/y/z/{k}": v for k, v in good.items()})
  write(root / "sizes", {**good, "7.png": png((20, 30))})
  write(root / "one", {"0.png": png()})
  write(root / "captions", {**good, "captions.tsv": b"0.png a picture"})
  write(root / "binary_captions", {**good, "captions.tsv": b"\xff\xfe\x00"})
  write(root / "few_captions", {**good, "captions.tsv": b"0.png\ta picture\n"})
  whole = root / "whole.zip"
  archive(whole, good)
  data = whole.read_bytes()
  (root / "zip_cut").write_bytes(data[: len(data) // 2])
  archive(root / "zip_empty", {"readme.txt": b"nothing"})
  for name, entry in (
    ("up", "../7.png"), ("root", "/7.png"), ("drive", "C:/7.png"), ("backslash", "..\\7.png"),
  ):  # fmt: skip
    archive(root / f"zip_{name}", {**good, entry: png()})
  archive(root / "zip_damaged", good, zipfile.ZIP_STORED)
  data = bytearray((root / "zip_damaged").read_bytes())
  spot = data.index(good["7.png"]) + 100
  data[spot : spot + 50] = bytes(50)
  (root / "zip_damaged").write_bytes(bytes(data))
  archive(root / "zip_bomb", {**good, "7.png": bytes(2**28 + 1)})
  archive(root / "zip_lzma", good, zipfile.ZIP_LZMA)
  pairs = {f"{role}/{k}": v for role in "AB" for k, v in good.items()}
  write(root / "alone", {k: v for k, v in pairs.items() if k != "B/7.png"})
  write(root / "unequal", {**pairs, "B/7.png": png((20, 30))})
  label = io.BytesIO()
  Image.fromarray(np.arange(3, dtype=np.uint8).repeat(3).reshape(3, 3)).save(label, "png")
  picture = io.BytesIO()
  Image.fromarray(np.zeros((3, 3), np.uint8)).save(picture, "png")
  write(root / "void", {"image/0.png": picture.getvalue(), "mask/0.png": label.getvalue()})
  write(root / "one_domain", {f"trainA/{k}": v for k, v in good.items()})
  with open(root / "unequal_arrays", "wb") as stream:
    np.savez(stream, x=np.zeros((4, 8, 8, 1), np.uint8), label=np.arange(3))
  write(root / "blank", {"train.txt": b"one\n\ntwo\n"})
  write(root / "translations", {"train.en": b"one\ntwo\n", "train.fr": b"un\n"})
  (root / "table").write_text("age\n1\n2\n")
  runs(root, server)
  return {path.name: path for path in root.iterdir()}


def runs(root, server):
  """Two short runs, and what can befall one."""
  short = ["--config.train.steps=8", "--config.measures=('likelihood',)"]
  for name, config in (("run", TINY), ("plain", PCA)):
    steps = short if name == "run" else short[1:]
    reply = server(config, *steps, "--config.train.sample_every=0", "--workdir", root / name)
    assert reply["code"] == 0, reply["err"]
  for name, content in (("not_json", "{"), ("other_json", json.dumps({"config": {}}))):
    (root / name).mkdir()
    (root / name / "config.json").write_text(content)
  for name in ("no_checkpoint", "damaged", "truncated_run"):
    shutil.copytree(root / "run", root / name)
  shutil.rmtree(root / "no_checkpoint" / "checkpoints")
  for name in ("damaged", "truncated_run"):
    for path in (root / name / "checkpoints").rglob("*"):
      if path.is_file() and "/d/" in path.as_posix():
        data = path.read_bytes()
        path.write_bytes(bytes(len(data)) if name == "damaged" else data[: len(data) // 3])


def test_there_are_enough_cases():
  assert len(CASES) >= 120


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_harmed(name, places, server, tmp_path):
  arguments, message = CASES[name]
  arguments = [a.format(**places) if "{" in a else a for a in arguments]
  if "compare" not in arguments and not any(a.startswith("--workdir") for a in arguments):
    arguments.append(f"--workdir={tmp_path / 'run'}")
  before = contents(places["run"])
  reply = server(*arguments)
  lines = [line for line in reply["err"].splitlines() if line.strip()]
  assert reply["code"] == 2, reply
  assert lines and lines[-1].startswith("gen_jax: error: ") and message in lines[-1], reply["err"]
  assert "Traceback" not in reply["err"] and len(lines) <= 3, reply["err"]
  assert not (tmp_path / "run" / "checkpoints").exists()
  assert contents(places["run"]) == before


def contents(folder):
  """What a run folder holds, locks aside."""
  return {
    path.relative_to(folder): path.stat().st_size
    for path in folder.rglob("*")
    if path.is_file() and path.name != ".lock"
  }
