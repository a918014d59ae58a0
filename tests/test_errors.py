import inspect

import pytest

from proxyhpo import errors


def test_every_exception_has_one_root_and_stands_in_the_tree():
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, errors.ProxyHPOError)
        assert name in inspect.getdoc(errors)


@pytest.mark.parametrize("name", ["ArgumentError", "SpaceError", "ConfigError", "UnknownNameError"])
def test_bad_arguments_are_value_errors(name):
    assert issubclass(getattr(errors, name), ValueError)


def test_the_nearest_name_is_suggested():
    assert "did you mean 'magnitude'?" in str(
        errors.unknown_name("pruner", "magnitud", ["magnitude", "random"])
    )
    far = str(errors.unknown_name("pruner", "xyz", ["magnitude", "random"]))
    assert "did you mean" not in far
    assert "'magnitude', 'random'" in far
