"""The heads attune knows, by name."""

from attune.core.registry import Registry

HEADS = Registry(
    "head",
    {
        "crf": "attune.tasks.heads.crf:CrfHead",
        "descriptions": "attune.tasks.heads.descriptions:DescriptionsHead",
        "language": "attune.tasks.heads.language:LanguageHead",
        "linear": "attune.tasks.heads.linear:LinearHead",
        "own": "attune.tasks.heads.own:OwnHead",
        "replaced": "attune.tasks.heads.replaced:ReplacedHead",
    },
    "attune.heads",
)
