"""From YAML files and ``--set`` to parameters, and a fault in them in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from s2gr.errors import UserError
from s2gr.params.params import Params


def load_params(files: Sequence[Path], settings: Sequence[str] = ()) -> Params:
    """The defaults, overlaid by each file in turn and by ``key=value`` settings.

    Raises: UserError: a missing or malformed file, an unknown key, or a value out of range.
    """
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for file in files:
        overlay = _read(file)
        _merge(merged, overlay, str(file), origin)
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise UserError(f"--set: expected section.key=value, found {setting!r}")
        overlay = _parse_value(setting, value)
        for part in reversed(key.split(".")):
            overlay = {part: overlay}
        _merge(merged, overlay, "--set", origin)
    try:
        return Params.model_validate(merged)
    except ValidationError as error:
        raise UserError(_describe(error, origin, files)) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file} does not exist; give --params FILE or run in the project's folder") from None
    # A date that there is not (2020-13-45) is a ValueError, brackets within brackets without end a RecursionError.
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise UserError(f"{file} is not readable YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected sections such as `events:`, found {type(content).__name__}")
    return content


def _parse_value(setting: str, value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UserError(f"--set {setting!r}: the value is not valid YAML") from None


def _merge(base: dict[str, Any], overlay: dict[str, Any], name: str, origin: dict[str, str], prefix: str = "") -> None:
    for key, value in overlay.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value, name, origin, f"{path}.")
        else:
            # A copy: overlays must not share their inner dicts.
            base[key] = _copy(value, name, origin, f"{path}.") if isinstance(value, dict) else value
            origin[path] = name


def _copy(value: dict[str, Any], name: str, origin: dict[str, str], prefix: str) -> dict[str, Any]:
    copied: dict[str, Any] = {}
    _merge(copied, value, name, origin, prefix)
    return copied


def _describe(error: ValidationError, origin: dict[str, str], files: Sequence[Path]) -> str:
    """The first fault in one line: file, key, what was found, what was expected."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    file = origin.get(key) or next(
        (name for path, name in origin.items() if key.startswith(path) or path.startswith(key)),
        str(files[-1]) if files else "--set",
    )
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if fault["type"] == "extra_forbidden":
        return f"{file}: there is no parameter `{key}`{_known_keys(fault['loc'])}{more}"
    if fault["type"] == "value_error":
        message = fault["msg"].removeprefix("Value error, ")
        return f"{file}: {key + ': ' if key else ''}{message}{more}"
    return f"{file}: {key}: {fault['msg'].lower()}, found {fault['input']!r}{more}"


def _known_keys(location: tuple[int | str, ...]) -> str:
    model: Any = Params
    for part in location[:-1]:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if field is None:
            return ""
        model = field.annotation
    return f"; known here: {', '.join(model.model_fields)}" if hasattr(model, "model_fields") else ""
