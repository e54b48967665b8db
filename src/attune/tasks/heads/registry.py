"""The heads attune knows, by name."""

from attune.core.registry import Registry

HEADS = Registry(
    "head",
    {
        "crf": "attune.tasks.heads.crf:CrfHead",
        "descriptions": "attune.tasks.heads.descriptions:DescriptionsHead",
        "linear": "attune.tasks.heads.linear:LinearHead",
        "own": "attune.tasks.heads.own:OwnHead",
    },
    "attune.heads",
)
