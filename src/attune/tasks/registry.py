"""The tasks attune knows, by name."""

from attune.core.registry import Registry

TASKS = Registry(
    "task",
    {
        "classification": "attune.tasks.classification:Classification",
        "masked_lm": "attune.tasks.masked_lm:MaskedLM",
        "pair": "attune.tasks.pair:Pair",
        "replaced_token": "attune.tasks.replaced_token:ReplacedToken",
    },
    "attune.tasks",
)
