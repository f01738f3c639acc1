"""Label images, predicted beside true."""

from __future__ import annotations

from gen_jax import metrics
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene


@measure(needs=("predict",), fields=("segmentation",))
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
  return {
    "mean_iou": scene.of_split(found.mean_iou, **pixels, **of_class),
    "dice": scene.of_split(found.dice, **pixels),
    "pixel_accuracy": scene.of_split(found.pixel_accuracy, **pixels),
    "foreground_iou": scene.of_split(found.foreground_iou, **pixels),
  }
