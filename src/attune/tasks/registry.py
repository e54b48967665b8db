"""The tasks attune knows, by name."""

from attune.core.registry import Registry

TASKS = Registry(
    "task",
    {
        "classification": "attune.tasks.classification:Classification",
        "pair": "attune.tasks.pair:Pair",
        "ranking": "attune.tasks.ranking:Ranking",
        "regression": "attune.tasks.regression:Regression",
    },
    "attune.tasks",
)
