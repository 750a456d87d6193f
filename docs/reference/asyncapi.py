"""Makes `asyncapi.md`: the whole AsyncAPI document."""

from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).parents[2] / "schemas" / "asyncapi.yaml"


def page() -> str:
    """Return the page."""
    return f"""# AsyncAPI

[asyncapi.yaml](../../schemas/asyncapi.yaml) describes topics, events and headers for code generators and
catalogues. The schemas and examples that it names lie beside it. Every test run holds it against the events
and the topic definitions.

```yaml
{DOCUMENT.read_text("utf-8").rstrip()}
```
"""
