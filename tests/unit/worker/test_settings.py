"""Settings: a misspelt or wrong one is refused by name, and no secret is ever shown."""

from pathlib import Path

import pytest

from engine.errors import SettingsError
from worker.settings import PREFIX, Settings
from worker.settings_source import load_settings

SECRET = "hunter2-hunter2-hunter2"  # noqa: S105 - stands for one


@pytest.fixture
def yaml_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.yaml"
    monkeypatch.setenv("MIMAMORI_SETTINGS", str(path))
    return path


def test_the_defaults_alone_are_a_valid_worker() -> None:
    assert load_settings().bootstrap == "127.0.0.1:9092"
    assert all(field.description for name, field in Settings.model_fields.items() if name != "log_format")


@pytest.mark.parametrize("name", ["MIMAMORI_LOWR", "MIMAMORI_KAFKA__X", "mimamori_lowr", "Mimamori_Bundel"])
def test_an_unknown_variable_is_refused_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0.2")
    with pytest.raises(SettingsError, match=f"^{name} is not a setting"):
        load_settings()


@pytest.mark.parametrize("name", ["MIMAMORI_HOME", "MIMAMORI_REVIEW_BOOTSTRAP"])
def test_variables_of_other_parts_are_none_of_its_business(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "anything")
    load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOWER", "1.5"),
        ("LOWER", ""),
        ("UPPER", "nan"),
        ("DEVICE", "tpu"),
        ("PRECISION", "int4"),
        ("THREADS", "-1"),
        ("MAX_TOKENS", "0"),
        ("MAX_WAIT_MS", "soon"),
        ("DRAIN_S", "0"),
        ("WATCHDOG_FLOOR_S", "inf"),
        ("WATCHDOG_FACTOR", "inf"),
        ("HEALTH_PORT", "70000"),
        ("CASE_TEXT", "perhaps"),
        ("KAFKA", "security.protocol=SSL"),
        ("KAFKA", '["security.protocol"]'),
        ("KAFKA", '{"security.protocol": ["SSL"]}'),
        ("KAFKA", '{"group.id": "mine"}'),
        ("GROUP_PROTOCOL", "eager"),
        ("MAX_MESSAGE_TOKENS", "0"),
        ("DEVICE_TOKENS", "0"),
        ("TOPIC_PREFIX", "a b."),
        ("TOPIC_PREFIX", "見守り."),
    ],
)
def test_a_wrong_value_names_its_variable_in_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as refusal:
        load_settings()
    assert PREFIX + name in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_variable_that_is_empty_is_told_so_and_not_of_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_BOOTSTRAP", "")
    with pytest.raises(SettingsError, match="MIMAMORI_BOOTSTRAP: String should have at least 1 character"):
        load_settings()


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_LOWER", "2")
    monkeypatch.setenv("MIMAMORI_DEVICE", "tpu")
    with pytest.raises(SettingsError, match=r"MIMAMORI_DEVICE.*MIMAMORI_LOWER"):
        load_settings()


def test_the_lower_threshold_may_not_exceed_the_upper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_LOWER", "0.8")
    monkeypatch.setenv("MIMAMORI_UPPER", "0.2")
    with pytest.raises(SettingsError, match="MIMAMORI_LOWER must not exceed MIMAMORI_UPPER"):
        load_settings()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    yaml_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml_file.write_text(
        "group: file\nbootstrap: file:1\nallow_insecure: plaintext_kafka\ntopic_prefix: file.\n"
        "kafka:\n  client.id: me\n"
    )
    monkeypatch.setenv("MIMAMORI_BOOTSTRAP", "environment:1")
    monkeypatch.setenv("MIMAMORI_GROUP", "environment")
    settings = load_settings(group="command-line")
    assert (settings.group, settings.bootstrap) == ("command-line", "environment:1")
    assert settings.topic_prefix == "file."
    assert settings.client_config == {"bootstrap.servers": "environment:1", "client.id": "me"}


def test_a_misspelt_line_of_the_file_is_refused(yaml_file: Path) -> None:
    yaml_file.write_text("lower: 0.2\ncase_txt: false\n")
    with pytest.raises(SettingsError, match="CASE_TXT: is not a setting"):
        load_settings()


@pytest.mark.parametrize(
    "content", [b"lower: 0.2\n cache_secret: [", b"- a\n- b\n", b"just words\n", b"group: \xff\xfe\n"]
)
def test_a_file_that_is_no_settings_file_is_one_clear_line(yaml_file: Path, content: bytes) -> None:
    yaml_file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"MIMAMORI_SETTINGS: {yaml_file} is not a YAML file") as refusal:
        load_settings()
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_missing_is_named(yaml_file: Path) -> None:
    with pytest.raises(SettingsError, match=f"MIMAMORI_SETTINGS names {yaml_file}"):
        load_settings()


def test_redis_needs_a_secret_that_cannot_be_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_REDIS_URL", "redis://localhost")
    with pytest.raises(SettingsError, match="MIMAMORI_CACHE_SECRET"):
        load_settings()
    monkeypatch.setenv("MIMAMORI_CACHE_SECRET", "x" * 15)
    with pytest.raises(SettingsError, match="16 characters"):
        load_settings()
    monkeypatch.setenv("MIMAMORI_CACHE_SECRET", "x" * 16)
    load_settings()


@pytest.mark.parametrize(
    "name",
    [
        *("bootstrap.servers", "metadata.broker.list", "group.id", "transactional.id"),
        *("enable.auto.commit", "isolation.level"),
    ],
)
def test_client_settings_that_the_worker_owns_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"MIMAMORI_KAFKA must not set {name}"):
        load_settings(kafka={name: "x"})


def test_what_the_broker_owns_under_its_protocol_is_refused_before_the_client_would() -> None:
    session = {"session.timeout.ms": 6000}
    assert load_settings(kafka=session).kafka == session
    with pytest.raises(SettingsError, match=r"session.timeout.ms with MIMAMORI_GROUP_PROTOCOL=consumer"):
        load_settings(kafka=session, group_protocol="consumer")


def test_no_secret_is_in_any_form_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_REDIS_URL", f"redis://:{SECRET}@localhost")
    monkeypatch.setenv("MIMAMORI_CACHE_SECRET", SECRET)
    monkeypatch.setenv("MIMAMORI_KAFKA", f'{{"security.protocol": "SASL_SSL", "sasl.password": "{SECRET}"}}')
    settings = load_settings()
    assert SECRET in str(settings.client_config)  # it does arrive where it is needed
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


@pytest.mark.parametrize(
    "more",
    [
        {"MIMAMORI_LOWER": SECRET},
        {"MIMAMORI_KAFKA": f'{{"sasl.password": ["{SECRET}"]}}'},
        {"MIMAMORI_KAFKA": f'{{"sasl.password": "{SECRET}"'},
        {"MIMAMORI_MAX_MESSAGE_TOKENS": "0"},
    ],
)
def test_a_refusal_quotes_no_value(more: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_REDIS_URL", f"redis://:{SECRET}@localhost")
    monkeypatch.setenv("MIMAMORI_CACHE_SECRET", SECRET)
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refusal:
        load_settings()
    assert SECRET not in str(refusal.value)


def test_a_worker_has_a_transactional_id_of_its_own_unless_told() -> None:
    assert load_settings().transactional_id != load_settings().transactional_id
    assert load_settings(transactional_id="pod-0").transactional_id == "pod-0"


@pytest.mark.parametrize("name", ["window_tokens", "window_overlap", "max_windows"])
@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_retired_setting_is_refused_with_what_to_do(
    name: str, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Passed over, it would leave whoever relies on it with other windows than they think."""
    if where == "environment":
        monkeypatch.setenv(PREFIX + name.upper(), "48")
    else:
        (tmp_path / "settings.yaml").write_text(f"{name}: 48\n")
        monkeypatch.setenv("MIMAMORI_SETTINGS", str(tmp_path / "settings.yaml"))
    with pytest.raises(SettingsError, match="no more") as refusal:
        load_settings()
    assert PREFIX + name.upper() in str(refusal.value)
    assert "mimamori adapt" in str(refusal.value) or "MAX_MESSAGE_TOKENS" in str(refusal.value)
