"""The heads attune knows, by name."""

from attune.core.registry import Registry

HEADS = Registry(
    "head",
    {
        "cloze": "attune.tasks.heads.cloze:ClozeHead",
        "crf": "attune.tasks.heads.crf:CrfHead",
        "descriptions": "attune.tasks.heads.descriptions:DescriptionsHead",
        "in_context": "attune.tasks.heads.in_context:InContextHead",
        "language": "attune.tasks.heads.language:LanguageHead",
        "linear": "attune.tasks.heads.linear:LinearHead",
        "own": "attune.tasks.heads.own:OwnHead",
        "replaced": "attune.tasks.heads.replaced:ReplacedHead",
        "vector": "attune.tasks.heads.vector:VectorHead",
    },
    "attune.heads",
)
