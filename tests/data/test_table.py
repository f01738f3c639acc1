"""Tables with a stated schema, and one made by rule."""

import gzip

import numpy as np
import pytest
from scipy import stats

from gen_jax import core, data

COLUMNS = ("age:real", "job:category", "id:skip", "sex:group", "rich:label")
HEADER = "age,job,id,sex,rich\n"
ROWS = "20,a,1,f,no\n40, b,2,m,yes\n?,a,3,f,yes\n60,?,4,m,no\n"


def load(path, **options):
  return data.load("table", path=str(path), columns=COLUMNS, missing="?", **options)


def test_columns(tmp_path):
  (tmp_path / "train.csv").write_text(HEADER + ROWS)
  (tmp_path / "test.csv.gz").write_bytes(gzip.compress((HEADER + "80,c,5,m,no\n").encode()))
  source = load(tmp_path, validation=0)
  assert source.spec == core.Spec.of(
    (4,), classes=2, names=("no", "yes"), group=core.Field((), 2, ("f", "m"))
  )
  assert source.notes["columns"] == ("age", "job=missing", "job=a", "job=b")
  assert source.notes["missing"] == {"age": 1, "job": 1} and source.notes["unseen"] == {"job": 1}
  train, test = (source.splits[name].arrays() for name in ("train", "test"))
  deviation = np.std([20, 40, 60])
  np.testing.assert_allclose(
    train["x"],
    [[-20 / deviation, 0, 1, 0], [0, 0, 0, 1], [0, 0, 1, 0], [20 / deviation, 1, 0, 0]],
    rtol=1e-6,
  )
  np.testing.assert_allclose(test["x"], [[40 / deviation, 0, 0, 0]], rtol=1e-6)
  assert train["label"].tolist() == [0, 1, 1, 0] and train["group"].tolist() == [0, 1, 0, 1]


def test_a_file_without_a_header_is_the_same(tmp_path):
  (tmp_path / "a.csv").write_text(HEADER + ROWS * 10)
  (tmp_path / "b.csv").write_text(ROWS * 10)
  first, second = load(tmp_path / "a.csv"), load(tmp_path / "b.csv")
  assert first.spec == second.spec and {k: len(v) for k, v in first.splits.items()} == {
    "train": 29, "validation": 3, "test": 8,
  }  # fmt: skip
  for name, split in first.splits.items():
    np.testing.assert_array_equal(split.arrays()["x"], second.splits[name].arrays()["x"])
  x = first.splits["train"].arrays()["x"][:, 0]
  assert abs(x.mean()) < 1e-6


def test_quoted_cells_and_signs_are_data(tmp_path):
  rows = '|a,"b\nc"\n|a,"d,""e"""\n,"b\nc"\n'
  (tmp_path / "set.csv").write_bytes(rows.encode())
  options = dict(columns=("u:category", "v:label"), validation=0, test=0)
  source = data.load("table", path=str(tmp_path / "set.csv"), **options)
  assert source.spec.fields["label"].names == ("b\nc", 'd,"e"')
  assert source.notes["columns"] == ("u=missing", "u=|a")
  assert source.splits["train"].arrays()["label"].tolist() == [0, 1, 0]


def test_adult(tmp_path):
  row = "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, "
  row += "{sex}, 2174, 0, 40, United-States, {label}"
  train = [row.format(sex=s, label=y) for s in ("Male", "Female") for y in ("<=50K", ">50K")] * 5
  (tmp_path / "adult.data").write_text("\n".join(train) + "\n\n")
  test = "|1x3 Cross validator\n" + row.format(sex="Male", label=">50K.") + "\n"
  (tmp_path / "adult.test.gz").write_bytes(gzip.compress(test.encode()))
  source = data.load("table:adult", path=str(tmp_path))
  assert source.spec.fields["label"].names == ("<=50K", ">50K")
  assert source.spec.fields["group"].names == ("Female", "Male")
  assert source.splits["test"].arrays()["label"].tolist() == [1]
  assert not [name for name in source.notes["columns"] if "sex" in name or "fnlwgt" in name]


def test_the_biased_table_is_what_its_rule_says():
  source = data.load("table:biased")
  many = {k: np.concatenate([s.arrays()[k] for s in source.splits.values()])
          for k in ("x", "label", "group")}  # fmt: skip
  np.testing.assert_array_equal(many["x"][:, 0], many["group"])
  for name in ("best", "fair"):
    p = source.notes[name](many["x"])
    for low in np.arange(0.1, 0.9, 0.1):  # calibrated
      inside = (p >= low) & (p < low + 0.1)
      error = many["label"][inside].mean() - p[inside].mean()
      assert abs(error) < 4 * np.sqrt(0.25 / inside.sum()), (name, low)
  fair, best = source.notes["fair"](many["x"]), source.notes["best"](many["x"])
  assert stats.ks_2samp(*(fair[many["group"] == g] for g in (0, 1))).pvalue > 1e-3
  gap = lambda p: np.diff([p[many["group"] == g].mean() for g in (0, 1)])[0]
  assert gap(best) > 0.2 and abs(gap(fair)) < 0.01


@pytest.mark.parametrize(
  "content, columns, line",
  [
    (HEADER + ROWS, (), "needs data.columns"),
    (HEADER + ROWS, ("age",), "write name:kind"),
    (HEADER + ROWS, ("age:number",), "one of real, category, label, group, skip"),
    (HEADER + ROWS, ("rich:label",), "to learn from"),
    (HEADER + ROWS, (*COLUMNS, "age:real"), "'age' twice"),
    (HEADER + ROWS, (*COLUMNS, "town:label"), "2 columns of kind label"),
    (HEADER + ROWS, (*COLUMNS, "town:category"), "has no column town: it has age, job"),
    (HEADER + ROWS, COLUMNS[:2], "has a column id, which data.columns does not name"),
    (HEADER + ROWS + "1,2\n", COLUMNS, "row 5: 2 cells, and there are 5 columns"),
    (HEADER + "old,a,1,f,no\n" * 9, COLUMNS, "age is 'old', not a number"),
    (HEADER + "nan,a,1,f,no\n" * 9, COLUMNS, "age is 'nan', not a number"),
    (HEADER + "?,a,1,f,no\n" * 9, COLUMNS, "age is missing in every training row"),
    (HEADER + "1,a,1,f,?\n" * 9, COLUMNS, "rich is missing"),
    (HEADER, COLUMNS, "a header and no rows"),
    (HEADER + ROWS + '"1,a,1,f,no\n' * 3, COLUMNS, "no CSV"),
    (HEADER + ROWS + "1," + "a" * 200_000 + ",1,f,no\n", COLUMNS, "no CSV"),
    ("age,job,id,age,sex,rich\n1,a,1,2,f,no\n", COLUMNS, "2 columns named 'age'"),
    (HEADER + "1_000,a,1,f,no\n" * 9, COLUMNS, "age is '1_000', not a number"),
    (HEADER + "1e308,a,1,f,no\n" * 9, COLUMNS, "age has numbers too large"),
    ("", COLUMNS, "is empty"),
  ],
)
def test_bad_tables_end_in_one_line(tmp_path, content, columns, line):
  (tmp_path / "set.csv").write_text(content)
  with pytest.raises(core.UserError) as error:
    data.load("table", path=str(tmp_path / "set.csv"), columns=columns, missing="?")
  assert line in str(error.value) and "\n" not in str(error.value)


def test_bad_places_end_in_one_line(tmp_path):
  for name, line in (("table", "which is not given"), ("table:adult", "give it")):
    with pytest.raises(core.UserError, match=line):
      data.load(name)
  (tmp_path / "adult.data").write_text("")
  with pytest.raises(core.UserError, match="has no adult.test"):
    data.load("table:adult", path=str(tmp_path))
