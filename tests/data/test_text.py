"""Sentences of one language and of two."""

import collections
import gzip

import numpy as np
import pytest

from gen_jax import core, data
from gen_jax.data import cipher, vocabulary

EN = ["a cat sits .", "a dog sits .", "the cat runs .", "the dog runs !"]
FR = ["un chat est assis .", "un chien est assis .", "le chat court .", "le chien court !"]


def write(folder, **files):
  folder.mkdir(parents=True, exist_ok=True)
  for name, lines in files.items():
    name = name.replace("__", ".")
    content = lines if isinstance(lines, bytes) else ("\n".join(lines) + "\n").encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
  return str(folder)


def sentences(source, field="x", split="train"):
  kind = source.spec.x if field == "x" else source.spec.fields[field]
  words = vocabulary.Vocabulary(kind.names)
  return [words.decode(tokens) for tokens in source.splits[split].arrays()[field]]


def test_one_file(tmp_path):
  write(tmp_path, set__txt=EN * 5)
  source = data.load("text", path=str(tmp_path / "set.txt"), validation=0)
  assert {k: len(v) for k, v in source.splits.items()} == {"train": 16, "test": 4}
  assert set(sentences(source)) | set(sentences(source, split="test")) == set(EN)
  x = source.splits["train"].arrays()["x"]
  assert x.dtype == np.int32 and x.shape == (16, *source.spec.shape) == (16, 6)
  assert (x[:, 0] == vocabulary.BOS).all() and (x[:, -1] == vocabulary.EOS).all()


def test_parallel_files_by_any_usual_name(tmp_path):
  first = write(
    tmp_path / "a", train__lc__en__gz=EN, train__lc__fr__gz=FR, val__lc__en__gz=EN[:2],
    val__lc__fr__gz=FR[:2], test_2016__lc__en__gz=EN[2:], test_2016__lc__fr__gz=FR[2:],
  )  # fmt: skip
  second = write(
    tmp_path / "b", en__train__txt=EN, fr__train__txt=FR, en__valid__txt=EN[:2],
    fr__valid__txt=FR[:2], en__test__txt=EN[2:], fr__test__txt=FR[2:],
  )  # fmt: skip
  for path in (first, second):
    source = data.load("text", path=path, languages=("en", "fr"), minimum=1, tokens="spaces")
    assert sentences(source) == EN and sentences(source, "y") == FR
    assert (
      sentences(source, "y", "validation") == FR[:2] and sentences(source, "x", "test") == EN[2:]
    )
    assert source.spec.shape == source.spec.fields["y"].shape == (7,)


def test_rare_words_and_those_of_other_splits_are_unknown(tmp_path):
  path = write(tmp_path, train__txt=["a b", "a c", "a b d"], test__txt=["a b c e"], val__txt=["a"])
  source = data.load("text", path=path, minimum=2)
  assert source.spec.x.names == (*vocabulary.SPECIAL, "a", "b")
  assert sentences(source, split="test") == ["a b <unk>"]  # cut at the longest training sentence
  longer = data.load("text", path=path, minimum=2, length=8)
  assert sentences(longer, split="test") == ["a b <unk> <unk>"]


def test_unpaired_halves_share_no_sentence(tmp_path):
  lines = [f"w{i}" for i in range(40)]
  path = write(tmp_path, train__en=lines, train__fr=lines)
  source = data.load("text", path=path, languages=("en", "fr"), unpaired=True, minimum=1)
  x, y = (part.arrays() for part in source.splits["train"].parts())
  words = {k: vocabulary.Vocabulary(f.names) for k, f in
           {"x": source.spec.x, **source.spec.fields}.items()}  # fmt: skip
  seen = [{words[k].decode(t) for t in part[k]} for k, part in (("x", x), ("y", y))]
  assert not seen[0] & seen[1] and sum(map(len, seen)) == 29
  assert sentences(source, split="test") != []


def test_held_out_sentences_are_kept_as_they_came(tmp_path):
  path = write(
    tmp_path, train__en=EN, train__fr=FR, val__en=EN, val__fr=FR, test__en=["a zebra 's leg"],
    test__fr=["la jambe d' un zèbre"],
  )  # fmt: skip
  source = data.load("text", path=path, languages=("en", "fr"), minimum=2, tokens="spaces")
  # With words that no vocabulary holds, and longer than a sentence of tokens is.
  kept = source.notes["texts"]["test"]
  assert kept == {"x": ("a zebra 's leg",), "y": ("la jambe d' un zèbre",)}
  assert source.notes["counterparts"] and set(source.notes["texts"]) == {"validation", "test"}


def test_sentences_of_the_user_s_own_are_cut_as_the_data_are(tmp_path):
  field = core.Field((6,), 6, (*vocabulary.SPECIAL, "l&apos;", "l"))
  write(tmp_path, own__txt=["l&apos; l", "l"])
  by_spaces = data.read_input(tmp_path / "own.txt", field, tokens="spaces")
  np.testing.assert_array_equal(by_spaces.x, [[1, 4, 5, 2, 0, 0], [1, 5, 2, 0, 0, 0]])
  write(tmp_path, own__txt=["l' l"])
  np.testing.assert_array_equal(
    data.read_input(tmp_path / "own.txt", field).x, [[1, 5, 3, 5, 2, 0]]
  )


def test_the_cipher():
  source = data.load("text:cipher")
  pairs = list(zip(sentences(source, "x", "test"), sentences(source, "y", "test"), strict=True))
  assert len(pairs) == 800
  assert all(source.notes["translate"](a) == b for a, b in pairs)
  x, y = (part.arrays() for part in source.splits["train"].parts())
  assert len(x["x"]) == len(y["y"]) == 4000
  # Words are told apart by how often they are used: each differs from all others of its own place.
  texts = [vocabulary.Vocabulary(source.spec.x.names).decode(t).split() for t in x["x"]]
  counts = collections.Counter(word for text in texts for word in text)
  assert set(counts) == set(cipher.WORDS)
  others = [vocabulary.Vocabulary(source.spec.fields["y"].names).decode(t).split() for t in y["y"]]
  turned = collections.Counter(word for text in others for word in text)
  for word, other in cipher.DICTIONARY.items():
    assert abs(counts[word] - turned[other]) < 6 * np.sqrt(2 * counts[word])
  for group in (("square", "ellipse", "heart", "triangle"), ("red", "green", "blue", "yellow")):
    ordered = [counts[word] for word in group]
    assert all(a - b > 2 * np.sqrt(a) for a, b in zip(ordered, ordered[1:]))


@pytest.mark.parametrize(
  "files, options, line",
  [
    (dict(train__txt=["a", "", "b"]), {}, "train.txt of"),
    (dict(train__txt=["a", "", "b"]), {}, "line 2: empty"),
    (dict(train__txt=b""), {}, "is empty"),
    (dict(train__txt=b"\xff\xfe\x00"), {}, "is not a text file"),
    (dict(train__txt__gz=b"x", test__txt=b"\x1f\x8bzz"), {}, "is not a text file"),
    (dict(train__en=EN, train__fr=FR[:3]), dict(languages=("en", "fr")), "have 4 and 3 lines"),
    (dict(train__en=EN, train__fr=FR), {}, "are of one split: set data.languages"),
    (dict(train__en=EN, train__fr=FR), dict(languages=("en", "de")), "has no train file of de"),
    (dict(notes=EN, others=EN), {}, "has no train.txt"),
    (dict(train__txt=EN), dict(length=2), "leave no place for a word"),
    (dict(train__en=EN), dict(languages=("en", "fr", "de")), "one or two of them"),
    (dict(train__en=EN), dict(languages=("en",), unpaired=True), "needs two data.languages"),
  ],
)
def test_bad_text_ends_in_one_line(tmp_path, files, options, line):
  with pytest.raises(core.UserError) as error:
    data.load("text", path=write(tmp_path, **files), **options)
  assert line in str(error.value) and "\n" not in str(error.value)


def test_no_file():
  for path, line in (("", "which is not given"), ("/no/such/file", "no such file or folder")):
    with pytest.raises(core.UserError, match=line):
      data.load("text", path=path)


def test_what_is_cut_or_not_read_is_said(tmp_path, caplog):
  path = write(tmp_path, train__txt=["a b c d", "a b", "a b c"], heldout__txt=["a b"])
  data.load("text", path=path, length=4, validation=0, test=0)
  lines = [record.getMessage() for record in caplog.records]
  assert any("heldout.txt" in line for line in lines), lines
  assert any(line.startswith("2 sentences of") and "after 2 words" in line for line in lines), lines
