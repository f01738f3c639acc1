"""Label images, predicted beside true."""

from __future__ import annotations

from gen_jax import metrics
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene


@measure(
  "mean_iou", "dice", "pixel_accuracy", "foreground_iou", needs=("predict",),
  fields=("segmentation",),
)  # fmt: skip
def segmentation(scene: Scene) -> dict[str, Record]:
  """Mean IoU and Dice over the classes that occur, pixel accuracy, and the IoU of the foreground.

  Ratios of counts over the pixels of the whole split, not means over images. Pixels of the model's
  `ignore` label are left out.
  """
  field = scene.spec.fields["segmentation"]
  ignore = scene.system.config.get("model", {}).get("ignore", -1)
  counted = metrics.confusion_matrix(
    scene.real["segmentation"], scene.predicted, field.levels, ignore
  )
  found = metrics.agreement(counted)
  names = field.names or tuple(map(str, range(field.levels)))
  pixels = {"pixels": int(counted.sum()), "over": "all pixels of the split"}
  of_class = {f"iou_{n}": float(v) for n, v in zip(names, found.iou, strict=True) if v == v}

  def record(value, **facts):
    missing = {} if value == value else {"why": "no pixel of the split is counted in it"}
    return scene.of_split(value, **pixels, **facts, **missing)

  return {
    "mean_iou": record(found.mean_iou, **of_class),
    "dice": record(found.dice),
    "pixel_accuracy": record(found.pixel_accuracy),
    "foreground_iou": record(found.foreground_iou),
  }
