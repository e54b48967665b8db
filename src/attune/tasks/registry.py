"""The tasks attune knows, by name."""

from attune.core.registry import Registry

TASKS = Registry(
    "task",
    {
        "causal_lm": "attune.tasks.causal_lm:CausalLM",
        "classification": "attune.tasks.classification:Classification",
        "denoising": "attune.tasks.denoising:Denoising",
        "embedding": "attune.tasks.embedding:Embedding",
        "extractive": "attune.tasks.extractive:Extractive",
        "generation": "attune.tasks.generation:Generation",
        "label_embedding": "attune.tasks.label_embedding:LabelEmbedding",
        "masked_lm": "attune.tasks.masked_lm:MaskedLM",
        "next_sentence": "attune.tasks.segment_pairs:NextSentence",
        "pair": "attune.tasks.pair:Pair",
        "question_answering": "attune.tasks.question_answering:QuestionAnswering",
        "ranking": "attune.tasks.ranking:Ranking",
        "regression": "attune.tasks.regression:Regression",
        "relation": "attune.tasks.relation:Relation",
        "replaced_token": "attune.tasks.replaced_token:ReplacedToken",
        "sentence_order": "attune.tasks.segment_pairs:SentenceOrder",
        "tagging": "attune.tasks.tagging:Tagging",
    },
    "attune.tasks",
)
