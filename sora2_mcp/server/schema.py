"""JSON schemas as every host can read them: flat, without nulls, titles or surprises."""

from typing import Any

_NOISE = ("title", "additionalProperties", "$defs")


def tidied(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without generated titles, references and null alternatives.

    Some hosts lose the description of a nullable parameter, others refuse unions or do not follow references: absent
    values are left out instead of being null, and definitions stand where they are used. ``additionalProperties`` is
    left out too: google-genai (1.74 to at least 3.6) cannot take a boolean there.
    """
    result: dict[str, Any] = _tidied(schema, schema.get("$defs", {}))
    return result


def _tidied(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_tidied(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _tidied(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    arms = [arm for arm in schema.get("anyOf", []) if arm != {"type": "null"}]
    if len(arms) == 1:
        outer = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        return _tidied({**arms[0], **outer}, definitions)
    return {key: _tidied_value(key, value, definitions) for key, value in schema.items() if key not in _NOISE}


def _tidied_value(key: str, value: Any, definitions: dict[str, Any]) -> Any:
    if key == "properties":
        # Names of properties, not keywords: one called "title" stays.
        return {name: _tidied(item, definitions) for name, item in value.items()}
    return value if key in ("enum", "required", "default") else _tidied(value, definitions)


def with_optional_nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of parameters, with ``nullable`` on those that may be left out.

    smolagents demands every other one. It is true of ours: null counts as left out. OpenAI's own helper writes the same
    word, Gemini's schemas know it, and JSON Schema has no meaning for it.
    """
    required = schema.get("required", ())
    properties = {
        name: item if name in required else {**item, "nullable": True} for name, item in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def without_prose(schema: Any) -> Any:
    """The schema without descriptions and formats: what a result means stands in the tool's text, which is short."""
    if isinstance(schema, list):
        return [without_prose(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: without_prose(item) for name, item in value.items()}
        if key == "properties"
        else without_prose(value)
        for key, value in schema.items()
        if key not in ("description", "format")
    }
