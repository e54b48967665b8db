"""The rewards attune knows, by name."""

from attune.core.registry import Registry

REWARDS = Registry(
    "reward",
    {
        "bleu": "attune.tasks.rewards.likeness:Bleu",
        "chrf": "attune.tasks.rewards.likeness:chrf",
        "exact": "attune.tasks.rewards.likeness:exact",
        "passes": "attune.tasks.rewards.passes:Passes",
        "rouge_l": "attune.tasks.rewards.likeness:rouge_l",
        "slots": "attune.tasks.rewards.slots:Slots",
    },
    "attune.rewards",
)
