"""Errors that a user can mend."""

import pytest

from covidcnn.errors import DataError, UserError


def test_data_error_is_caught_as_user_error():
    with pytest.raises(UserError, match="empty"):
        raise DataError("image.jpeg: empty")


def test_user_error_is_not_an_error_that_python_itself_raises():
    # Else a mistake in the program would be shown to the user as theirs.
    assert UserError.__mro__[1] is Exception
