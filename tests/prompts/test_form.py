"""Texts of classes: what is fixed, and where prompts go."""

import pytest

from genbounds.prompts import PromptForm


def test_prompts_are_put_in_as_they_are():
    form = PromptForm(("cat", "dog"), "{name}:{prompt}")
    assert form.texts([" {name} and {prompt}", " \\1"]) == ["cat: {name} and {prompt}", "dog: \\1"]
    assert form.classes == [[0], [1]]


def test_a_shared_prompt_knows_no_class():
    form = PromptForm(("cat", "dog"), "photo: {prompt} {name}", shared=True)
    assert form.contexts == ["photo: "]
    assert form.classes == [[0, 1]]
    assert form.texts([""]) == ["photo:  cat", "photo:  dog"]


def test_names_may_be_left_to_the_prompt():
    assert PromptForm(("cat", "dog"), "{prompt}").texts(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("cat",),), "names must be at least two, all different"),
        ((("cat", "cat"),), "names must be at least two, all different"),
        ((("cat", "dog"), "{name}"), "must contain {prompt} once"),
        ((("cat", "dog"), "{prompt}{prompt}"), "must contain {prompt} once"),
        ((("cat", "dog"), "{name}{prompt}", True), "must have {name} after {prompt}"),
        ((("cat", "dog"), "{prompt}", True), "must have {name} after {prompt}"),
    ],
)
def test_forms_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        PromptForm(*arguments)


def test_as_many_prompts_as_the_form_has():
    with pytest.raises(ValueError, match="zip"):
        PromptForm(("cat", "dog")).texts(["one"])
