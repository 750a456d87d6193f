"""Renders templates. Jinja escapes everything, and no page has an inline script or style."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from review.web.pages.shown import address

_environment = Environment(
    loader=PackageLoader("review.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["address"] = address


def render(template: str, **values: object) -> str:
    """A page."""
    return _environment.get_template(template).render(**values)
