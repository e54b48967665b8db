"""The tuning methods attune knows, by name."""

from attune.core.registry import Registry

METHODS = Registry(
    "method",
    {
        "frozen": "attune.methods.frozen:Frozen",
        "full": "attune.methods.full:Full",
        "lora": "attune.methods.lora:Lora",
        "p_tuning": "attune.methods.p_tuning:PTuning",
        "prefix": "attune.methods.prefix:Prefix",
        "prompt": "attune.methods.prompt:Prompt",
    },
    "attune.methods",
)
