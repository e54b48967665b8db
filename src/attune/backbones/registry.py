"""The backbone families attune knows, by name."""

from attune.core.registry import Registry

BACKBONES = Registry("backbone family", {"text": "attune.backbones.text:Text"}, "attune.backbones")
