"""The tuning methods attune knows, by name."""

from attune.core.registry import Registry

METHODS = Registry(
    "method",
    {
        "frozen": "attune.methods.frozen:Frozen",
        "full": "attune.methods.full:Full",
        "lora": "attune.methods.lora:Lora",
        "none": "attune.methods.none:Nothing",
    },
    "attune.methods",
)
