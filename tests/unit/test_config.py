from __future__ import annotations

from pathlib import Path

import pytest

from polycall.config import ConfigError, load
from polycall.domain import IsolationLevel


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "polycall.toml"
    file.write_text('slots = 3\nqueue = 4\nrest_address = "127.0.0.1:1"\n')
    environ = {"POLYCALL_QUEUE": "5", "POLYCALL_REST_ADDRESS": "127.0.0.1:2", "HOME": "/"}
    settings = load({"rest_address": "127.0.0.1:3", "log_level": None}, environ, file)
    assert (settings.slots, settings.queue, settings.rest_address) == (3, 5, "127.0.0.1:3")


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        ({"colour": "red"}, {}, "--colour is not a setting of polycall; `polycall config show` lists them all."),
        ({}, {"POLYCALL_SLOT": "1"}, "environment variable POLYCALL_SLOT is not a setting of polycall; "),
        ({"slots": "0"}, {}, "--slots must be from 1 to 4096."),
        ({"slots": "x"}, {}, "--slots must be a whole number from 1 to 4096."),
        ({}, {"POLYCALL_REST_ADDRESS": "8080"}, "environment variable POLYCALL_REST_ADDRESS must be HOST:PORT, "),
        ({"isolation_floor": "4"}, {}, "--isolation-floor must be from 0 to 3."),
        ({"gateway": "maybe"}, {}, "--gateway must be true or false."),
        ({"cognite_nonce": "loose"}, {}, "--cognite-nonce must be one of strict, lenient."),
    ],
)
def test_a_wrong_setting_says_where_it_stands_and_what_it_may_be(
    flags: dict[str, object], environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(flags, environ)
    assert str(caught.value).startswith(message)


def test_an_unknown_key_of_the_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "polycall.toml"
    file.write_text("slotz = 3\n")
    with pytest.raises(ConfigError) as caught:
        load({}, {}, file)
    assert str(caught.value).startswith(f"{file}: slotz is not a setting of polycall")


def test_secrets_are_shown_masked_and_never_in_a_repr() -> None:
    settings = load({"bootstrap_key": "hush", "database_url": "postgresql://u:pw@h/d"}, {})
    assert settings.show()["bootstrap_key"] == "***"
    assert "hush" not in repr(settings)
    assert "pw@h" not in repr(settings)


def test_the_stable_settings_have_their_documented_defaults() -> None:
    settings = load({}, {})
    assert settings.rest_address == "127.0.0.1:8080"
    assert settings.grpc_address == "127.0.0.1:50051"
    assert settings.isolation_floor is IsolationLevel.NAMESPACED


def test_client_variables_are_not_settings() -> None:
    assert load({}, {"POLYCALL_API_KEY": "k", "POLYCALL_SERVER": "h:1"}) == load({}, {})


def test_a_secret_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "database-url"
    file.write_text("postgresql://u:pw@h/d\n")
    settings = load({}, {"POLYCALL_DATABASE_URL_FILE": str(file)})
    assert settings.database_url == "postgresql://u:pw@h/d"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"POLYCALL_DATABASE_URL_FILE": "/nowhere/x"}, "cannot read /nowhere/x: No such file or directory."),
        ({"POLYCALL_DATABASE_URL_FILE": "/dev/null"}, "/dev/null is empty."),
        ({"POLYCALL_DATABASE_URL_FILE": "/dev/zero"}, "/dev/zero has more than 65536 bytes; that is no secret."),
        (
            {"POLYCALL_DATABASE_URL_FILE": "/x", "POLYCALL_DATABASE_URL": "y"},
            "the one without _FILE exclude each other.",
        ),
        ({"POLYCALL_SLOTS_FILE": "/x"}, "POLYCALL_SLOTS_FILE is not a setting of polycall; "),
    ],
)
def test_a_secret_that_cannot_be_read_is_an_error_that_names_variable_and_file(
    environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, environ)
    assert message in str(caught.value)
    assert "_FILE" in str(caught.value)
