"""Docstrings that take from others what they leave out."""

import inspect

from topodl._docs import shares_documentation, with_shared_parameters

SOURCE = """Measure.

    Parameters
    ----------
    x, y : float
        Two numbers.
    scale : float
        What they are divided by.

    Raises
    ------
    ValueError
        If one is missing.
    """

OWN = """Measure twice.

    Parameters
    ----------
    *others : float
        More of them.
    scale : int
        An own word.
    seed : int
        Where to start.

    Yields
    ------
    float
    """


def test_what_is_missing_comes_in_the_order_of_the_signature():
    text = with_shared_parameters(OWN, ["x", "y", "others", "scale", "seed"], [SOURCE])
    own = inspect.cleandoc(OWN)
    expected = own.replace("*others", "x, y : float\n    Two numbers.\n*others")
    assert text == expected + "\n"


def test_parameters_that_are_not_taken_are_left_out():
    text = with_shared_parameters("Measure no more.", ["scale"], [SOURCE])
    assert (
        text
        == """Measure no more.

Parameters
----------
scale : float
    What they are divided by.
"""
    )


def test_the_first_source_that_describes_a_parameter_counts():
    other = SOURCE.replace("Two numbers", "Something else")
    text = with_shared_parameters("Measure.", ["x", "y"], [SOURCE, other])
    assert text.count("x, y") == 1
    assert "Two numbers" in text


def test_sections_are_taken_where_they_are_missing():
    def source():
        pass

    source.__doc__ = SOURCE

    @shares_documentation(source, sections=["Raises"])
    def takes(x, y):
        """Summary."""

    @shares_documentation(source, sections=["Raises"])
    def keeps(x, y):
        """Summary.

        Raises
        ------
        TypeError
        """

    assert "ValueError" in takes.__doc__
    assert "ValueError" not in keeps.__doc__
    assert "TypeError" in keeps.__doc__


def test_a_class_is_documented_by_its_constructor():
    class Base:
        __doc__ = SOURCE

    @shares_documentation(Base)
    class Derived:
        """Summary."""

        def __init__(self, scale):
            self.scale = scale

    assert "What they are divided by." in Derived.__doc__
    assert "x, y" not in Derived.__doc__


def test_nothing_is_made_up_where_docstrings_are_stripped():
    def source():
        pass

    @shares_documentation(source)
    def bare(x):
        pass

    assert bare.__doc__ is None
