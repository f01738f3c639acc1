"""The page: a tab for each thing that the model can do, made with Gradio."""

from __future__ import annotations

import os
import tempfile
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from PIL import Image

from gen_jax import config as configs
from gen_jax.app.demo.studio import CANVAS, MOST, Answer, Studio
from gen_jax.core import Field, UserError
from gen_jax.data import is_text
from gen_jax.schema import parameters

UPLOAD = 10 * 2**20  # bytes of a visitor's file
PIXELS = 2**24  # of it, and of what a visitor draws
WORDS = 4000  # characters of a visitor's text
IMAGES = [".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"]
GREYS = ("#ffffff", "#aaaaaa", "#555555", "#000000")
COLOURS = ("#ff0000", "#00ff00", "#0000ff", "#ffff00", "#ff00ff", "#00ffff", "#000000")
OF_EXAMPLES = ("transform", "reconstruct", "predict")  # modes that take a visitor's file
OF_STYLES = "mix"


def serve(config: Mapping, workdir: Path, *, checkpoint: str, port: int) -> int:
  """Shows the page at http://127.0.0.1:<port> until it is stopped.

  Only this machine reaches it, and nobody is told of it. Visitors' files are bounded in size and
  kind.

  Raises:
    UserError: if Gradio is not installed, the port is taken, or the run cannot be opened.
  """
  gr = gradio()
  Image.MAX_IMAGE_PIXELS = PIXELS // 2  # Pillow refuses what has twice as many
  with tempfile.TemporaryDirectory(prefix="gen_jax-demo-") as folder:
    app = page(gr, Studio(config, workdir, checkpoint, Path(folder)))
    try:
      app.launch(
        server_name="127.0.0.1", server_port=port, share=False, max_file_size=UPLOAD, quiet=True,
        allowed_paths=[folder], prevent_thread_lock=True, footer_links=[], ssr_mode=False,
      )  # fmt: skip
    except OSError:
      raise UserError(f"--port={port} is taken: give another") from None
    print(f"demo of {workdir}: http://127.0.0.1:{port}   Ctrl-C ends it", flush=True)
    app.block_thread()
  return 0


def gradio():
  """The library, told to keep to itself.

  Raises:
    UserError: if it is not installed.
  """
  os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
  os.environ["HF_HUB_OFFLINE"] = "1"
  try:
    import gradio
  except ImportError:
    raise UserError(
      "--mode=demo needs Gradio, which is not installed: pip install gradio"
    ) from None
  return gradio


def page(gr, studio: Studio):
  """The Blocks of a studio: tabs by what the model can do."""
  model, spec = studio.trained.model, studio.trained.spec
  text = is_text(spec.x)
  image = len(spec.shape) == 3
  with gr.Blocks(title=studio.workdir.name, analytics_enabled=False) as app:
    gr.Markdown(f"# {studio.workdir.resolve().name}\n\nstep {studio.trained.step}")
    if model.sample is not None:
      with gr.Tab("Sample"):
        of_samples(gr, studio)
    if moves_codes(studio) and image:
      with gr.Tab("Latents"):
        of_latents(gr, studio)
      with gr.Tab("Interpolate"):
        of_paths(gr, studio)
    modes = [mode for mode in OF_EXAMPLES if mode in studio.modes]
    if modes and (image or text):
      with gr.Tab("Examples"):
        of_examples(gr, studio, modes, text)
    if OF_STYLES in studio.modes:
      with gr.Tab("Styles"):
        of_styles(gr, studio)
    if model.log_prob is not None and image and not model.cond:
      with gr.Tab("Anomaly"):
        of_scores(gr, studio)
  return app


def moves_codes(studio: Studio) -> bool:
  """Whether there are codes between which something lies."""
  if "traverse" not in studio.modes:
    return False
  try:
    studio.positions(0)
  except UserError:
    return False
  return True


def answered(gr, work: Callable[..., Answer]) -> Callable:
  """An event's function: what is refused is told the visitor, in its own words."""

  def event(*arguments):
    try:
      answer = work(*arguments)
    except UserError as error:
      raise gr.Error(str(error), duration=None) from None
    return answer.pictures, answer.text

  return event


def outputs(gr) -> list:
  """Where an answer goes: pictures, and words."""
  gallery = gr.Gallery(
    label="Pictures", columns=2, height="auto", object_fit="contain", format="png"
  )
  return [gallery, gr.Textbox(label="Words", lines=3, max_lines=24)]


def conditions(gr, studio: Studio) -> list:
  """A control for each condition that can be given as text; empty for what the data say."""
  controls = []
  for name in studio.trained.model.cond:
    field = studio.trained.spec.fields.get(name, Field((0, 0)))
    if len(field.shape) > 1:
      continue  # an image: taken from the data
    hint = f"empty: {name}s of the data" if field.shape else f"empty: every {name} in turn"
    if field.names and not field.shape and len(field.names) <= 200:
      names = ["", *field.names]
      controls.append(gr.Dropdown(names, value="", label=name, info=hint, elem_id=f"cond-{name}"))
    else:
      controls.append(gr.Textbox(label=name, info=hint, elem_id=f"cond-{name}"))
  return controls


def named(studio: Studio, values: tuple) -> dict[str, str]:
  """The texts of the controls of `conditions`, by name."""
  fields = studio.trained.spec.fields
  names = [n for n in studio.trained.model.cond if n in fields and len(fields[n].shape) < 2]
  return dict(zip(names, (value or "" for value in values), strict=True))


def options(gr, studio: Studio) -> tuple[list[str], list]:
  """(names, controls) of the options of sampling, each of the kind that its annotation says."""
  own = studio.trained.system.config["sample"]
  builder = configs.resolve(studio.trained.system.config["builder"])
  known = parameters(parameters(builder)["sample"][0])
  names, controls = [], []
  for name, (kind, _) in known.items():
    value, choices = own[name], choices_of(kind)
    if choices:
      control = gr.Dropdown(list(choices), value=value, label=name)
    elif isinstance(value, bool):
      control = gr.Checkbox(value, label=name)
    elif isinstance(value, int | float):
      control = gr.Number(value, label=name, precision=0 if isinstance(value, int) else None)
    else:
      continue
    names.append(name)
    controls.append(control)
  return names, controls


def choices_of(kind: Any) -> tuple:
  """The choices of a Literal, () of another annotation."""
  if typing.get_origin(kind) is Annotated:
    kind = typing.get_args(kind)[0]
  return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def own_picture(gr, studio: Studio, label: str) -> list:
  """Where a visitor uploads a picture and, of grey and coloured pictures, where one is drawn; their
  values are what `Studio.own` takes."""
  controls = [gr.File(label=label, file_types=IMAGES)]
  ground = studio.ground
  if ground is not None:
    height, width = ground.shape[:2]
    grey = (ground[0, 0] == ground[0, 0, 0]).all() and studio.trained.spec.shape[-1] == 1
    pens = GREYS if ground.mean() < 128 else GREYS[::-1]
    brush = gr.Brush(
      default_size=max(height, width) // max(min(*studio.trained.spec.shape[:2]), 16),
      colors=list(pens if grey else pens[:1] + COLOURS), default_color=pens[0],
      color_mode="fixed" if grey else "defaults",
    )  # fmt: skip
    controls.append(
      gr.ImageEditor(
        ground, label="or draw one", image_mode="RGB", sources=(), transforms=(), layers=False,
        canvas_size=(width, height), fixed_canvas=True, brush=brush, format="png",
        height=CANVAS + 120,
      )
    )  # fmt: skip
  return controls


def of_samples(gr, studio: Studio) -> None:
  """Samples by number, seed, conditions and options."""
  with gr.Row():
    n = gr.Slider(1, MOST, value=16, step=1, label="how many")
    seed = gr.Number(0, label="seed", precision=0, minimum=0)
  given = conditions(gr, studio)
  names, controls = [], []
  if studio.trained.system.config["sample"]:
    with gr.Accordion("How they are drawn", open=False):
      names, controls = options(gr, studio)
  button = gr.Button("Sample", variant="primary")

  def work(n, seed, *values):
    chosen = dict(zip(names, values[len(given) :], strict=True))
    return studio.sample(int(n), int(seed or 0), named(studio, values[: len(given)]), chosen)

  button.click(
    answered(gr, work), [n, seed, *given, *controls], outputs(gr), api_name="sample",
    concurrency_limit=4,
  )  # fmt: skip


def of_latents(gr, studio: Studio) -> None:
  """Sliders of the latents that vary most; the picture follows."""
  start = studio.positions(0)
  example = gr.Number(0, label="example", precision=0, minimum=0)
  with gr.Row():
    with gr.Column():
      order = studio.order
      sliders = [
        gr.Slider(-4, 4, value=round(z, 2), step=0.05, label=f"latent {i}")
        for i, z in zip(order, start)
      ]
    with gr.Column():
      first = studio.decoded(0, start).pictures[0]
      shown = gr.Image(first, label="Picture", type="filepath", interactive=False, format="png")

  def work(example, *moves):
    return studio.decoded(int(example or 0), moves).pictures[0]

  for slider in sliders:
    slider.release(work, [example, *sliders], shown, api_name=False, concurrency_limit=4)
  place = lambda example: [round(z, 2) for z in studio.positions(int(example or 0))]
  moved = example.change(place, [example], sliders, api_name="positions")
  moved.then(work, [example, *sliders], shown, api_name="decode")


def of_paths(gr, studio: Studio) -> None:
  """From one example to another, each a number or a file."""
  with gr.Row():
    numbers = [gr.Number(i, label=f"example {i + 1}", precision=0, minimum=0) for i in range(2)]
  with gr.Accordion("or pictures of your own", open=False), gr.Row():
    own = []
    for i in range(2):
      with gr.Column():
        own.append(own_picture(gr, studio, f"a picture, {i + 1}"))
  button = gr.Button("Interpolate", variant="primary")

  def work(a, b, *values):
    half = len(values) // 2
    first, second = studio.own(*values[:half]), studio.own(*values[half:])
    return studio.between(first or int(a or 0), second or int(b or 0))

  inputs = [*numbers, *own[0], *own[1]]
  button.click(answered(gr, work), inputs, outputs(gr), api_name="interpolate")


def of_examples(gr, studio: Studio, modes: list[str], text: bool) -> None:
  """What the model makes of examples: those of the data, or the visitor's own."""
  with gr.Row():
    mode = gr.Radio(modes, value=modes[0], label="what to do")
    n = gr.Slider(1, 32, value=8, step=1, label="how many of the data's")
  if text:
    own = [gr.Textbox(label="sentences of your own, one a line", lines=4, max_length=WORDS)]
  else:
    with gr.Row():
      own = own_picture(gr, studio, "a picture of your own")
  given = conditions(gr, studio)
  button = gr.Button("Go", variant="primary")

  def work(mode, n, *values):
    mine, values = values[: len(own)], values[len(own) :]
    path = studio.write(mine[0]) if text else studio.own(*mine)
    return studio.use(mode, int(n), path, named(studio, values))

  button.click(answered(gr, work), [mode, n, *own, *given], outputs(gr), api_name="examples")


def of_styles(gr, studio: Studio) -> None:
  """The mixing grid."""
  n = gr.Slider(2, 10, value=6, step=1, label="columns")
  button = gr.Button("Mix", variant="primary")
  work = lambda n: studio.use(OF_STYLES, int(n), None, {})
  button.click(answered(gr, work), [n], outputs(gr), api_name="mix")


def of_scores(gr, studio: Studio) -> None:
  """How likely a picture of the visitor's is."""
  with gr.Row():
    own = own_picture(gr, studio, "a picture of your own")
  button = gr.Button("Score", variant="primary")

  def work(*values):
    path = studio.own(*values)
    if path is None:
      raise UserError("give a picture first: upload one, or draw one")
    return studio.score(path)

  button.click(answered(gr, work), own, outputs(gr), api_name="score")
