"""The tasks attune knows, by name."""

from attune.core.registry import Registry

TASKS = Registry("task", {"classification": "attune.tasks.classification:Classification"}, "attune.tasks")
