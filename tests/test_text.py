"""Texts: the model's own tokenizer makes its numbers, and its words stand beside the map."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_saliency import Archive, Explainer, errors, explain
from keras_saliency._inputs import text

layers = keras.layers

WORDS = ["good", "bad", "film", "the", "was"]
TEXTS = ["The film was good!", "bad"]


@pytest.fixture(scope="module")
def vectorization():
    pytest.importorskip("tensorflow")  # which Keras' TextVectorization runs on

    def make(length=6, **more):
        return layers.TextVectorization(output_sequence_length=length, vocabulary=WORDS, **more)

    return make


def _sequential(layer):
    body = [layers.Embedding(7, 4, mask_zero=True), layers.GlobalAveragePooling1D()]
    return keras.Sequential([layer, *body, layers.Dense(2)])


def _functional(layer):
    inputs = keras.Input((1,), dtype="string")
    x = layers.Embedding(7, 4, mask_zero=True)(layer(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


@pytest.mark.any_backend
@pytest.mark.parametrize("make", [_sequential, _functional])
def test_a_model_that_begins_with_text_vectorization_takes_strings(vectorization, make):
    layer = vectorization()
    model = make(layer)
    result = explain(model, TEXTS)
    assert result.info["words"] == [["the", "film", "was", "good"], ["bad"]]
    assert result.info["kind"] == "tokens"
    assert [one.shape for one in result.maps()] == [(4,), (1,)]
    assert not result.values[0, 4:].any()
    assert result[1].info["words"] == [["bad"]]
    # The rest of the model on the numbers that the layer makes is another way to the same.
    rest = keras.Sequential([keras.Input((6,)), *model.layers[-3:]])
    known = explain(rest, keras.ops.convert_to_numpy(layer(TEXTS)))
    np.testing.assert_allclose(result.values, known.values, rtol=1e-6)
    np.testing.assert_allclose(result.scores, known.scores, rtol=1e-6)
    assert explain(model, "bad").info["words"] == [["bad"]]
    assert explain(model, np.array(TEXTS)).info["words"] == result.info["words"]


@pytest.mark.any_backend
def test_the_planted_word_explains_the_score(vectorization):
    model = _sequential(vectorization())
    explain(model, "good")  # makes its weights
    vectors = np.zeros((7, 4))
    vectors[2, 0] = 1  # good
    model.layers[1].set_weights([vectors])
    model.layers[-1].set_weights([np.eye(4, 2), np.zeros(2)])
    result = explain(model, "the good film was bad", "input_x_gradient", target=0)
    words = result.info["words"][0]
    assert words[int(np.argmax(result.maps()[0]))] == "good"
    assert np.count_nonzero(result.values) == 1


@pytest.mark.any_backend
def test_a_text_that_is_longer_than_the_model_is_a_finding(vectorization):
    with pytest.warns(UserWarning, match="the text has 5 tokens: the model sees .* up to 3"):
        result = explain(_sequential(vectorization(3)), ["good bad good bad good", "good bad film"])
    assert not result.checks[1]["findings"]


@pytest.mark.any_backend
def test_what_is_no_text_is_refused(vectorization, tmp_path):
    model = _sequential(vectorization())
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    for given, said in (
        ("", "one word or more"),
        (["good", " \n"], "one word or more"),
        ("!!!", "nothing but padding"),
        (("good", "bad"), "tuple of 2"),
        (tmp_path / "none.txt", "No such file"),
        (tmp_path / "latin.txt", "not UTF-8"),
        (["good", 3], "no tokenizer|dtype"),
        (object(), "dtype object"),
    ):
        with pytest.raises(errors.InputError, match=said):
            explain(model, given)
    counts = keras.Sequential([vectorization(None, output_mode="multi_hot"), layers.Dense(2)])
    with pytest.raises(errors.ModelError, match="output_mode='multi_hot'"):
        explain(counts, "good")


@pytest.mark.any_backend
def test_streams_and_archives_keep_words(vectorization, tmp_path):
    model = _sequential(vectorization())
    (tmp_path / "a.txt").write_text("The film was good!", encoding="utf-8")
    known = explain(model, TEXTS)
    explainer = Explainer(model)
    for given in (TEXTS, iter(TEXTS), [tmp_path / "a.txt", "bad"]):
        streamed = list(explainer.stream(given))
        assert [one.info["words"][0] for one in streamed] == known.info["words"]
        for one, other in zip(streamed, known, strict=True):
            np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-7)
    for form in ("npz", "array_record"):
        if form == "array_record":
            pytest.importorskip("array_record")
        explainer.write([*TEXTS, "bad"], tmp_path / form, format=form)  # a text is no key
        archive = Archive(tmp_path / form)
        assert archive.keys == ("0", "1", "2")
        words = [("the", "film", "was", "good"), ("bad",), ("bad",)]
        assert [record.words for record in archive] == words
        assert [record.map().shape for record in archive] == [(4,), (1,), (1,)]
    with pytest.raises(errors.ImageError, match="a single one"):
        list(explainer.stream("good"))


@pytest.mark.any_backend
def test_actors_of_ray_data_return_words(vectorization):
    from keras_saliency.ray import Explaining

    batch = {"text": np.array(TEXTS, object)}
    result = Explaining(_sequential(vectorization()), column="text")(batch)
    assert [list(one) for one in result["words"]] == [["the", "film", "was", "good"], ["bad"]]
    assert result["saliency"].shape == (2, 6)


# ---------------------------------------------------------------------- keras_hub


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##ly"]


@pytest.fixture(scope="module")
def task():
    hub = pytest.importorskip("keras_hub")
    models = hub.models
    tokenizer = models.BertTokenizer(vocabulary=VOCABULARY)
    backbone = models.BertBackbone(
        vocabulary_size=len(VOCABULARY), num_layers=1, num_heads=2, hidden_dim=8,
        intermediate_dim=16, max_sequence_length=10,
    )  # fmt: skip
    preprocessor = models.BertTextClassifierPreprocessor(tokenizer, sequence_length=10)
    return models.BertTextClassifier(backbone=backbone, num_classes=2, preprocessor=preprocessor)


@pytest.mark.long
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "occlusion", "lime"])
def test_a_keras_hub_task_takes_texts(task, method):
    result = explain(task, ["the film was goodly", "bad"], method, target=1)
    words = [["[CLS]", "the", "film", "was", "good", "##ly", "[SEP]"], ["[CLS]", "bad", "[SEP]"]]
    assert result.info["words"] == words
    assert result.values.shape == (2, 10)
    assert not result.values[0, 7:].any()
    assert not result.values[1, 3:].any()
    assert result.values[:, :3].all()
    made = task.preprocessor(["the film was goodly", "bad"])
    arrays = {name: keras.ops.convert_to_numpy(made[name]) for name in made}
    first = {"token_ids": arrays.pop("token_ids"), **arrays}
    known = explain(task, first, method, target=1)
    inside = [slice(0, 7), slice(0, 3)]
    for ours, theirs, where in zip(result.values, known.values, inside, strict=True):
        np.testing.assert_allclose(ours[where], theirs[where], rtol=1e-4, atol=1e-9)
    predicted = task.predict(["the film was goodly", "bad"], verbose=0)
    np.testing.assert_allclose(result.scores, predicted[:, 1], rtol=1e-4)


@pytest.mark.long
def test_a_keras_hub_task_streams_texts_and_names_its_classes(task, tmp_path):
    streamed = list(Explainer(task).stream(["the film", "bad"]))
    assert [one.info["words"][0][1:-1] for one in streamed] == [["the", "film"], ["bad"]]
    with pytest.warns(UserWarning, match="the text has 12 tokens"):
        explain(task, "the film was " * 4)
    archive = Explainer(task).write(["the film", "bad"], tmp_path / "out")
    assert archive["1"].words == ("[CLS]", "bad", "[SEP]")


@pytest.mark.long
def test_texts_are_tokens_of_the_adapter(task):
    own = text.adapter(task)
    made = text.tokenized(own, "the film")
    assert next(iter(made.inputs)) == "token_ids"
    assert text.tokenized(own, 3) is None
