"""The tasks attune knows, by name."""

from attune.core.registry import Registry

TASKS = Registry(
    "task",
    {
        "classification": "attune.tasks.classification:Classification",
        "pair": "attune.tasks.pair:Pair",
        "question_answering": "attune.tasks.question_answering:QuestionAnswering",
        "relation": "attune.tasks.relation:Relation",
        "tagging": "attune.tasks.tagging:Tagging",
    },
    "attune.tasks",
)
