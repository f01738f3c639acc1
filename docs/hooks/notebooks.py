"""Notebooks as pages: a hook of MkDocs. Their cells and the outputs that they hold; none is run."""

import base64
import posixpath
import re

import nbformat
from mkdocs.structure.files import File

HINT = "*This page is a notebook: `docs/notebooks/{name}`. Open it to run and to change it.*"


def on_files(files, config):
  """Each NAME.ipynb becomes the page NAME.md, and its pictures files beside it."""
  for file in [f for f in files if f.src_uri.endswith(".ipynb")]:
    files.remove(file)
    name = posixpath.basename(file.src_uri)
    book = nbformat.read(file.abs_src_path, as_version=4)
    text, pictures = page_of(book, name)
    place = file.src_uri.removesuffix(".ipynb")
    files.append(File.generated(config, f"{place}.md", content=text))
    for which, picture in pictures.items():
      where = posixpath.join(posixpath.dirname(file.src_uri), which)
      files.append(File.generated(config, where, content=picture))
  return files


def on_page_markdown(markdown, **_):
  """A link to a notebook leads to its page."""
  return re.sub(r"(\(\S*notebooks/\w+)\.ipynb\)", r"\1.md)", markdown)


def page_of(book, name):
  """(Markdown of a notebook, {file name: PNG}); the hint stands behind the title."""
  parts, pictures, heading = [], {}, ""
  for i, cell in enumerate(book.cells):
    if cell.cell_type == "markdown":
      parts.append(cell.source)
      heading = (re.findall(r"^#+ (.*)$", cell.source, re.MULTILINE) or [heading])[-1]
      continue
    parts.append(f"```python\n{cell.source}\n```")
    for j, output in enumerate(cell.outputs):
      parts.append(shown(output, f"{name}-{i}-{j}.png", heading, pictures))
  title, rest = parts[0].split("\n", 1)
  return "\n\n".join([title, HINT.format(name=name), rest, *parts[1:]]) + "\n", pictures


def shown(output, file, alt, pictures):
  """The Markdown of one output; a picture goes into `pictures`, its heading is its alt text."""
  data = output.get("data", {})
  if "image/png" in data:
    pictures[file] = base64.b64decode(data["image/png"])
    return f"![{alt}]({file})"
  text = output.get("text") or data.get("text/plain", "")
  return f"```text\n{text.rstrip()}\n```"
