"""Allows only plain YAML as people write it, because a task file needs none of YAML's dangerous features.

A few lines of anchors and merges can expand beyond any memory, and deep nesting overflows the stack of the C
parser, which ends the process. So the parser's events are checked first, which runs into neither.
"""

from typing import Final

import yaml

_LARGEST: Final = 1 << 20  # bytes
_DEEPEST: Final = 20
_DIGITS: Final = 40  # of a number in one word; beyond 4,300 Python raises an error of its own

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml: the same, but slower


def require_plain(content: bytes) -> None:
    """Raise ValueError, saying why, where it is more than values, lists and maps nested a few levels deep."""
    if len(content) > _LARGEST:
        raise ValueError(f"has {len(content)} bytes, at most {_LARGEST} are allowed")
    depth = 0
    try:
        for event in yaml.parse(content, Loader=_Loader):
            line = event.start_mark.line + 1 if event.start_mark else 0
            if getattr(event, "anchor", None) is not None:
                raise ValueError(f"line {line}: anchors and aliases are not allowed: write the value out")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _DEEPEST:
                    raise ValueError(f"line {line}: is nested more than {_DEEPEST} levels deep")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.ScalarEvent) and _is_long_number(event):
                raise ValueError(f"line {line}: is a number of more than {_DIGITS} digits")
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _is_long_number(event: yaml.ScalarEvent) -> bool:
    bare = str(event.value).lstrip("+-")
    return event.implicit[0] and len(bare) > _DIGITS and bare[:_DIGITS].replace("_", "").isdigit()
