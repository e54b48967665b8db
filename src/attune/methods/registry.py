"""The tuning methods attune knows, by name."""

from attune.core.registry import Registry

METHODS = Registry(
    "method",
    {
        "adalora": "attune.methods.adalora:AdaLora",
        "adapter": "attune.methods.adapter:Adapter",
        "bias": "attune.methods.bias:Bias",
        "frozen": "attune.methods.frozen:Frozen",
        "full": "attune.methods.full:Full",
        "ia3": "attune.methods.ia3:Ia3",
        "lora": "attune.methods.lora:Lora",
        "none": "attune.methods.none:Nothing",
        "p_tuning": "attune.methods.p_tuning:PTuning",
        "prefix": "attune.methods.prefix:Prefix",
        "prompt": "attune.methods.prompt:Prompt",
    },
    "attune.methods",
)
