"""polycall.engine.signatures.docstrings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.engine.signatures.docstrings import parameter_descriptions, summary

GOOGLE = """Do it.

    Longer text.

    Args:
        a (int): The first,
            over two lines.
        b: The second: with a colon.
        **more: Whatever.

    Returns:
        c: Nothing.
    """
NUMPY = """Do it.

    Parameters
    ----------
    a : int
        The first,
        over two lines.
    b, c
        The others.

    Returns
    -------
    d : int
        Nothing.
    """
SPHINX = """Do it.

    :param a: The first,
        over two lines.
    :param int b: The second.
    :returns: Nothing.
    """


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        (GOOGLE, {"a": "The first, over two lines.", "b": "The second: with a colon.", "more": "Whatever."}),
        (NUMPY, {"a": "The first, over two lines.", "b": "The others.", "c": "The others."}),
        (SPHINX, {"a": "The first, over two lines.", "b": "The second."}),
        ("Do it.", {}),
        ("", {}),
    ],
    ids=["google", "numpy", "sphinx", "none", "empty"],
)
def test_parameters_are_described_in_three_styles(docstring: str, expected: dict[str, str]) -> None:
    assert parameter_descriptions(docstring) == expected


def test_the_summary_is_the_first_paragraph_on_one_line() -> None:
    assert summary("\n    Do it\n    now.\n\n    Later.\n") == "Do it now."
    assert summary("") == ""


def test_a_long_paragraph_is_cut() -> None:
    assert summary("x" * 5000) == "x" * 4095 + "…"


@given(st.text(st.sampled_from("a: \n-*()Parametrs:param"), max_size=300))
def test_any_text_is_a_docstring(text: str) -> None:
    summary(text)
    assert all(parameter_descriptions(text).values())
