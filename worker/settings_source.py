"""Reads the settings. For each that is wrong, unknown or retired, it names the variable to change."""

import os
from pathlib import Path
from typing import Any

import pydantic_settings
import yaml
from pydantic import ValidationError

from engine.errors import SettingsError
from worker.settings import PREFIX, Settings

# Variables for other purposes (the cache folder, the settings file itself, the review app, the HTTP front).
_FOREIGN = {"MIMAMORI_SETTINGS", "MIMAMORI_HOME"}
_FOREIGN_PREFIXES = ("MIMAMORI_REVIEW_", "MIMAMORI_FRONT_")

# Settings of earlier versions. They are not ignored, since whoever sets them relies on them.
_RETIRED = dict.fromkeys(
    ("window_tokens", "window_overlap"),
    "is a setting no more: a bundle's thresholds hold only for the windows they were fitted on, so "
    "calibration.json keeps them; remove it, and run `mimamori adapt` again to have them measured anew",
) | {
    "max_windows": "is a setting no more: set MIMAMORI_MAX_MESSAGE_TOKENS, how much of a message is read",
}


def load_settings(**overrides: Any) -> Settings:
    """Read and validate the settings. `overrides` come from the command line.

    Raises SettingsError naming each wrong setting, as the environment variable to change.
    """
    path = os.environ.get("MIMAMORI_SETTINGS")
    if path and not Path(path).is_file():
        raise SettingsError(f"MIMAMORI_SETTINGS names {path}, which is not a file")
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for given in os.environ:
        name = given.upper()  # settings may be in any letter case, and so may misspelt ones
        foreign = name in _FOREIGN or name.startswith(_FOREIGN_PREFIXES)
        if name.startswith(PREFIX) and name not in known and not foreign:
            retired = _RETIRED.get(name.removeprefix(PREFIX).lower())
            raise SettingsError(
                f"{given} {retired}"
                if retired
                else f"{given} is not a setting; `mimamori doctor --settings` lists those that are"
            )
    try:
        return Settings(**overrides)
    except ValidationError as error:
        wrong = "; ".join(_explain(item["loc"], item["msg"]) for item in error.errors())
        raise SettingsError(f"wrong settings: {wrong}") from None
    except pydantic_settings.SettingsError:  # only the setting `kafka` is read as JSON
        raise SettingsError(
            'wrong settings: MIMAMORI_KAFKA: must be a JSON object, e.g. {"security.protocol": "SSL"}'
        ) from None
    except (ValueError, yaml.YAMLError):
        raise SettingsError(
            f"MIMAMORI_SETTINGS: {path} is not a YAML file of `setting: value` lines"
        ) from None


def _explain(location: tuple[int | str, ...], message: str) -> str:
    if not location:
        return message.removeprefix("Value error, ")
    said = (
        _RETIRED.get(str(location[0]), "is not a setting") if message.startswith("Extra inputs") else message
    )
    return f"{PREFIX}{str(location[0]).upper()}: {said.removeprefix('Value error, ')}"
