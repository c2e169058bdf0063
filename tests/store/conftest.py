"""What the tests of the store share."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.store.conformance")
pytest.register_assert_rewrite("tests.store.schedule_conformance")
pytest.register_assert_rewrite("tests.store.environment_conformance")
pytest.register_assert_rewrite("tests.store.delivery_conformance")
pytest.register_assert_rewrite("tests.store.audit_conformance")
pytest.register_assert_rewrite("tests.store.sealed_conformance")
pytest.register_assert_rewrite("tests.store.limits_conformance")
