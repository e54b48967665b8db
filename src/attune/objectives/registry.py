"""The objectives attune knows, by name."""

from attune.core.registry import Registry

OBJECTIVES = Registry(
    "objective",
    {
        "preference": "attune.objectives.preference:Preference",
        "reward": "attune.objectives.reward:Reward",
        "supervised": "attune.objectives.supervised:Supervised",
    },
    "attune.objectives",
)
