"""The tasks attune knows, by name."""

from attune.core.registry import Registry

TASKS = Registry(
    "task",
    {
        "classification": "attune.tasks.classification:Classification",
        "extractive": "attune.tasks.extractive:Extractive",
        "pair": "attune.tasks.pair:Pair",
        "question_answering": "attune.tasks.question_answering:QuestionAnswering",
        "ranking": "attune.tasks.ranking:Ranking",
        "regression": "attune.tasks.regression:Regression",
        "relation": "attune.tasks.relation:Relation",
        "tagging": "attune.tasks.tagging:Tagging",
    },
    "attune.tasks",
)
