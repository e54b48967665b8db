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

FIGURES = {
    "bleu": "bleu", "chrf": "chrf", "exact": "same_text", "passes": "pass_1", "rouge_l": "rouge_l",
    "slots": "slot_error_rate",
}  # fmt: skip
"""Reward to the figure of texts that says how much of it a model earns; epochs are chosen by that."""
