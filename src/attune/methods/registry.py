"""The tuning methods attune knows, by name."""

from attune.core.registry import Registry

METHODS = Registry(
    "method",
    {
        "adapter": "attune.methods.adapter:Adapter",
        "frozen": "attune.methods.frozen:Frozen",
        "full": "attune.methods.full:Full",
        "lora": "attune.methods.lora:Lora",
    },
    "attune.methods",
)
