"""From the value that the code returned to JSON text."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["NotSerializable", "encode"]


class NotSerializable(Exception):
    """Raised for a value that JSON cannot hold; says which in one line."""


def encode(value: object, adapter: Any, options: dict[str, Any]) -> bytes:
    """Return JSON text as UTF-8, with Python's default separators: key order and numbers as they are."""
    try:
        if hasattr(adapter, "encode"):
            text = adapter.encode(value, options)
            if not isinstance(text, str):
                raise TypeError(f"encode returned {type(text).__name__} instead of text")
        else:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        return text.encode()
    except UnicodeEncodeError:
        raise NotSerializable("A str holds a lone surrogate, which JSON text cannot hold.") from None
    except RecursionError:
        raise NotSerializable("The result is nested too deeply for JSON.") from None
    except (TypeError, ValueError, OverflowError) as error:
        line = " ".join(str(error).split()) or type(error).__name__
        raise NotSerializable(line[:1000]) from None
