"""Label names as texts."""


def readable(label: str) -> str:
    """A label's name as a person would say it: separators become spaces."""
    return " ".join(label.replace("_", " ").replace("-", " ").replace("/", " ").split()) or label
