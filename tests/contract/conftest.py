"""The contracts' asserts explain themselves like those of any test."""

import pytest

pytest.register_assert_rewrite("tests.contract.credential_cache", "tests.contract.token_cache")
