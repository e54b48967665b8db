"""The heads attune knows, by name."""

from attune.core.registry import Registry

HEADS = Registry(
    "head",
    {
        "crf": "attune.tasks.heads.crf:CrfHead",
        "descriptions": "attune.tasks.heads.descriptions:DescriptionsHead",
        "linear": "attune.tasks.heads.linear:LinearHead",
        "vector": "attune.tasks.heads.vector:VectorHead",
    },
    "attune.heads",
)
