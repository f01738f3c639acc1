"""What stands beside a figure."""

from gen_jax.report.figure import of_what


def test_other_options_than_the_runs_are_named_and_long_ones_counted():
  record = {"value": 1.0, "examples": 9, "split": "test"}
  assert of_what(record) == "9 of test"
  options = {"first": 20, "interval": [0.1, 2.0], "shares": [1.0] * 17}
  assert of_what(record | {"options": options}) == (
    "9 of test, first 20, interval [0.1, 2.0], shares of 17"
  )


def test_a_figure_of_no_examples_says_what_it_is_of_and_a_missing_one_why():
  assert of_what({"value": 35, "says": "network calls a sample"}) == "network calls a sample"
  assert of_what({"value": None, "why": "no labels"}) == "missing: no labels"
