"""The one tree of errors."""

import copy
import pickle

import pytest

from projection import errors

CONCRETE = [
    errors.ConfigurationError,
    errors.StorageError,
    errors.StorageDamagedError,
    errors.StaleCommitError,
    errors.StreamError,
    errors.StreamIdentityError,
    errors.DecodeError,
    errors.ProgramError,
    errors.TenantAccessError,
    errors.ProductFaultError,
    errors.OutOfMemoryError,
]


@pytest.mark.parametrize("kind", CONCRETE)
@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_keeps_its_hint_and_code_between_processes(kind, clone):
    error = clone(kind("the lid is open", hint="close it", code="X1"))

    assert (kind, "the lid is open", "close it", "X1") == (type(error), error.message, error.hint, error.code)
    assert str(error) == "the lid is open; close it"


@pytest.mark.parametrize("kind", CONCRETE)
def test_an_error_without_a_code_of_its_own_has_that_of_its_class(kind):
    assert (kind.default_code, None, "broken") == (kind("broken").code, kind("broken").hint, str(kind("broken")))


def test_every_error_has_a_class_a_code_and_an_exit_status():
    found = {kind: (kind.error_class, kind.exit_status) for kind in CONCRETE if kind.default_code}

    assert {
        errors.ConfigurationError: (errors.ErrorClass.CONFIGURATION, errors.EXIT_USAGE),
        errors.StorageError: (errors.ErrorClass.INFRASTRUCTURE, errors.EXIT_FAILED),
        errors.StorageDamagedError: (errors.ErrorClass.INFRASTRUCTURE, errors.EXIT_FAILED),
        errors.StaleCommitError: (errors.ErrorClass.INFRASTRUCTURE, errors.EXIT_FAILED),
        errors.StreamError: (errors.ErrorClass.INFRASTRUCTURE, errors.EXIT_FAILED),
        errors.StreamIdentityError: (errors.ErrorClass.INFRASTRUCTURE, errors.EXIT_FAILED),
        errors.DecodeError: (errors.ErrorClass.DATA, errors.EXIT_FAILED),
        errors.ProgramError: (errors.ErrorClass.PROGRAM, errors.EXIT_FAILED),
        errors.TenantAccessError: (errors.ErrorClass.DATA, errors.EXIT_FAILED),
        errors.ProductFaultError: (errors.ErrorClass.PRODUCT, errors.EXIT_FAILED),
        errors.OutOfMemoryError: (errors.ErrorClass.INFRASTRUCTURE, errors.EXIT_FAILED),
    } == found
