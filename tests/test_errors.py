import inspect
import pickle

import pytest

from proxyhpo import errors


def test_every_exception_has_one_root_and_is_listed_in_the_tree():
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, errors.ProxyHPOError)
        assert name in inspect.getdoc(errors)


@pytest.mark.parametrize(
    "name", ["ArgumentError", "SpaceError", "ConfigError", "EvaluatorError", "UnknownNameError"]
)
def test_bad_arguments_are_value_errors(name):
    assert issubclass(getattr(errors, name), ValueError)


@pytest.mark.parametrize("name", ["StoreError", "StoreLockedError", "StudyMismatchError"])
def test_what_a_file_says_is_quoted_without_control_characters(name):
    error = getattr(errors, name)("seed: stored \x1b[2J,\ngiven \x9b3")
    assert (
        str(error) == "seed: stored \N{REPLACEMENT CHARACTER}[2J,\ngiven \N{REPLACEMENT CHARACTER}3"
    )
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_nearest_name_is_suggested():
    assert "did you mean 'magnitude'?" in str(
        errors.unknown_name("pruner", "magnitud", ["magnitude", "random"])
    )
    far = str(errors.unknown_name("pruner", "xyz", ["magnitude", "random"]))
    assert "did you mean" not in far
    assert "'magnitude', 'random'" in far


@pytest.mark.parametrize(
    ("given", "nearest"), [("TPE", "tpe"), ("l1", "L1-structured"), ("MAGNITUD", "magnitude")]
)
def test_the_nearest_name_may_differ_in_case_or_be_longer(given, nearest):
    error = errors.unknown_name("name", given, ["L1-structured", "magnitude", "random", "tpe"])
    assert f"did you mean {nearest!r}?" in str(error)


@pytest.mark.parametrize("given", ["", "m", "ran"])
def test_a_start_that_says_little_suggests_no_name(given):
    error = errors.unknown_name("name", given, ["magnitude", "random-search", "random-forest"])
    assert "did you mean" not in str(error)


def test_a_missing_library_names_its_extra():
    error = errors.missing_library("RayExecutor", "Ray", "ray")
    assert isinstance(error, ImportError)
    assert "RayExecutor needs Ray" in str(error)
    assert "pip install '.[ray]'" in str(error)
