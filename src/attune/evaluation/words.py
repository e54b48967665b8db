"""Figures in words a reader need not look up."""

from __future__ import annotations

from collections.abc import Sequence

from attune.evaluation.intervals import Difference, Interval
from attune.tasks.metrics import LEVELLED, Bin, higher_is_better

TITLES = {
    "all_right": "Rows all right",
    "accuracy": "Accuracy",
    "subset_accuracy": "Subset accuracy",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "weighted_f1": "Weighted F1",
    "mcc": "MCC",
    "directed_macro_f1": "Directed macro F1",
    "average_precision": "Average precision",
    "micro_average_precision": "Micro average precision",
    "entity_f1": "Entity F1",
    "entity_precision": "Entity precision",
    "entity_recall": "Entity recall",
    "macro_entity_f1": "Macro entity F1",
    "exact_rows": "Rows exactly right",
    "answer_f1": "Answer F1",
    "exact_match": "Exact match",
    "log_loss": "Log loss",
    "ece": "Calibration error",
    "quadratic_kappa": "Quadratic kappa",
    "mae_steps": "Steps off",
    "hierarchical_f1": "Hierarchical F1",
    **{name: f"Accuracy, level {number}" for number, name in enumerate(LEVELLED, 1)},
    "spearman": "Spearman's correlation",
    "pearson": "Pearson's correlation",
    "r2": "Variance explained",
    "mean_absolute_error": "Mean absolute error",
    "root_mean_squared_error": "Root mean squared error",
    "mrr": "Mean reciprocal rank",
    "ndcg_10": "NDCG at 10",
    "found_1": "Found at 1",
    "found_5": "Found at 5",
    "found_10": "Found at 10",
    "average_rank_precision": "Mean average precision",
    "recall_1": "Recall at 1",
    "recall_5": "Recall at 5",
    "recall_10": "Recall at 10",
    "nats_per_character": "Nats per character",
    "bits_per_byte": "Bits per byte",
    "next_accuracy": "Next-token accuracy",
    "masked_perplexity": "Masked perplexity",
    "masked_accuracy": "Masked accuracy",
    "pair_accuracy": "Pair accuracy",
    "replaced_f1": "Replaced F1",
    "replaced_accuracy": "Replaced accuracy",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "bleu": "BLEU",
    "chrf": "chrF",
    "same_text": "Same text",
    "pass_1": "pass@1",
    "pass_5": "pass@5",
    "pass_10": "pass@10",
    "pass_100": "pass@100",
    "slot_error_rate": "Slot errors",
    "perplexity": "Perplexity",
    "preference_accuracy": "Preferred texts",
    "preference_margin": "Preference margin",
    "chosen_likelier": "Preferred likelier",
}

MEANINGS = {
    "all_right": "share of rows in which every task that has gold there is answered right",
    "accuracy": "share of rows answered right",
    "subset_accuracy": "share of rows whose whole set of labels is right",
    "macro_f1": "F1 averaged over labels, each counting alike",
    "micro_f1": "F1 over all decisions pooled",
    "weighted_f1": "F1 averaged over labels by their rows",
    "mcc": "Matthews' correlation of gold and answer; 0 is chance",
    "directed_macro_f1": "F1 averaged over relations, none left out; a wrong direction is wrong (SemEval-2010 task 8)",
    "average_precision": "area under precision and recall, averaged over labels",
    "micro_average_precision": "area under precision and recall, all labels in one ranking",
    "entity_f1": "F1 over all spans; begin, end and label must be right",
    "entity_precision": "share of the marked spans that are right",
    "entity_recall": "share of the gold spans that were found",
    "macro_entity_f1": "entity F1 averaged over labels, each counting alike",
    "exact_rows": "share of rows whose spans are all right",
    "answer_f1": "F1 of the words that answer and right answer share, averaged over rows; of Chinese its characters",
    "exact_match": "share of rows whose answer is a right one but for case, punctuation and articles",
    "log_loss": "surprise at the gold label, in nats; lower is better",
    "ece": "mean gap between confidence and accuracy, 15 bins; lower is better",
    "quadratic_kappa": "agreement beyond chance, a miss counting by the square of its steps; 0 is chance",
    "mae_steps": "mean distance of gold and answer in steps of the order; lower is better",
    "hierarchical_f1": "F1 over labels and all that they lie below, pooled (Kiritchenko et al., 2005)",
    **{
        name: f"share of rows whose label is right up to part {number} of its path"
        for number, name in enumerate(LEVELLED, 1)
    },
    "spearman": "correlation of the ranks of gold and answer; 100 where they are in one order, 0 is chance",
    "pearson": "how near gold and answer are to one straight line; 0 is chance",
    "r2": "share of the gold numbers' variance that the answers explain; 0 is the mean, below it is worse",
    "mean_absolute_error": "how far an answer is off on average, in the numbers' own unit; lower is better",
    "mrr": "one over the place of the first right candidate, averaged over rows",
    "ndcg_10": "right candidates among the first ten, those higher up counting more; 100 where none could stand higher",
    "found_1": "share of rows of which the nearest other text has their label",
    "found_5": "share of rows with a text of their label among the five nearest",
    "found_10": "share of rows with a text of their label among the ten nearest",
    "average_rank_precision": "share of right texts down to each right one, averaged over those and over rows",
    "recall_1": "share of what is right for a row that comes first",
    "recall_5": "share of a row's right candidates among its first five",
    "recall_10": "share of a row's right candidates among its first ten",
    "root_mean_squared_error": "the same, large errors counting more; lower is better",
    "nats_per_character": "surprise at each character of the text, in nats, whatever the tokenizer; lower is better",
    "bits_per_byte": "surprise at each UTF-8 byte of the text, in bits, whatever the tokenizer; lower is better",
    "next_accuracy": "share of tokens that were held the likeliest",
    "masked_perplexity": "among how many tokens it is as good as choosing blindly, for a hidden one; lower is better",
    "masked_accuracy": "share of hidden tokens told exactly",
    "pair_accuracy": "share of the pairs of segments that were told right; half of them were changed",
    "replaced_f1": "F1 of the tokens that were replaced",
    "replaced_accuracy": "share of all tokens told rightly as replaced or not",
    "rouge_1": "F1 of the words that answer and reference share, averaged over rows; of Chinese its characters",
    "rouge_2": "the same of words side by side",
    "rouge_l": "the same of the longest sequence of words that both have in one order",
    "bleu": "runs of up to four words that are in a reference too, over all rows at once (sacreBLEU)",
    "chrf": "F2 of runs of up to six characters shared with a reference, over all rows at once (sacreBLEU)",
    **{
        f"pass_{k}": f"how probable it is that {'a program passes' if k == 1 else f'one of {k} programs passes'} its "
        "row's tests, averaged over rows (Chen et al. 2021)"
        for k in (1, 5, 10, 100)
    },
    "same_text": "share of rows whose text is a reference, but for space at the ends of lines",
    "slot_error_rate": "slots missing, added or said with another value, by the slots asked for; lower is better",
    "perplexity": "among how many tokens the right text's next one was as good as drawn blindly; lower is better",
    "preference_accuracy": "share of pairs whose preferred text was held the better one, ties half; 50 is chance",
    "preference_margin": "how many nats more the preferred texts have gained than the others since the start",
    "chosen_likelier": "share of pairs whose preferred text is the likelier one as a whole, whatever it has gained",
}

BY = {"length": "Length", "script": "Script"}

PARTS = {"latin": "Latin", "han": "Chinese", "mixed": "Chinese and Latin", "other": "neither Chinese nor Latin"}

BASELINES = {
    "majority": "the majority class",
    "tfidf": "TF-IDF",
    "bm25": "BM25",
    "zero-shot": "zero-shot by label names",
    "lookup": "each word's most frequent tag",
    "span search": "untuned span search",
    "mean": "the training mean",
    "cosine": "cosines of untuned vectors",
    "copy": "the text that was read, as it is",
    "lead": "the first three sentences",
    "often": "the most frequent text",
    "nearest": "the text of the nearest training row",
    "centroid": "the sentences nearest to the middle of their text, untuned",
    "often right": "how often a candidate was right before",
    "longer": "the longer text",
    "shorter": "the shorter text",
    "likelier": "the text that the untuned backbone holds likelier",
    "template": "templates alone",
    "ngram": "n-grams of templates alone",
    "neural": "the network alone",
}

PLAIN = (
    "mcc", "log_loss", "mae_steps", "mean_absolute_error", "root_mean_squared_error", "masked_perplexity", "perplexity",
    "nats_per_character", "bits_per_byte", "preference_margin",
)  # fmt: skip
"""Metrics that are not shares, and are not said in per cent."""

SIGNIFICANT = 0.05
"""A difference with a smaller p, and an interval without zero, is called real."""


def title(name: str) -> str:
    """What a metric is called; one of several tasks' (`task.metric`) with the task before it."""
    task, _, own = name.rpartition(".")
    return f"{task}: {TITLES[own]}" if task else TITLES[name]


def meaning(name: str) -> str:
    """What a metric says, of a task or of one of several."""
    return MEANINGS[name.rpartition(".")[2]]


def plain(name: str) -> bool:
    """Whether a metric, of a task or of one of several, is said as it is."""
    return name.rpartition(".")[2] in PLAIN


def figure(name: str, value: float) -> str:
    """A metric's value: per cent with one digit, or three decimals."""
    return f"{value:.3f}" if plain(name) else f"{100 * value:.1f}"


def place(value: float) -> float:
    """Where a share stands on a scale from 0 to 100; what is not one, at its nearer end."""
    return 100 * min(1.0, max(0.0, value))


def who(name: str) -> str:
    """A baseline's name in words; any other name as it is."""
    return BASELINES.get(name, name)


def opening(sentence: str) -> str:
    """A sentence with its first letter raised, the rest as it is."""
    return sentence[:1].upper() + sentence[1:]


def unit(name: str) -> str:
    """What follows the figure."""
    return "" if plain(name) else "%"


def span(name: str, interval: Interval | Difference) -> str:
    """The bounds of an interval: `[92.1, 94.0]`."""
    return f"[{figure(name, interval.low)}, {figure(name, interval.high)}]"


def signed_span(name: str, interval: Interval | Difference) -> str:
    """The bounds of a difference, with signs."""
    return f"[{signed(name, interval.low)}, {signed(name, interval.high)}]"


def p_value(p: float) -> str:
    """A p-value as printed: `p = 0.012`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def is_real(difference: Difference) -> bool:
    """Whether a difference is unlikely to be chance: p below 0.05, and an interval without zero."""
    return difference.p < SIGNIFICANT and (difference.low > 0 or difference.high < 0)


def direction(name: str, difference: Difference) -> str:
    """`better`, `worse`, or `even` where the difference may be chance."""
    if not is_real(difference):
        return "even"
    return "better" if (difference.value > 0) == higher_is_better(name) else "worse"


def verdict(name: str, difference: Difference, other: str) -> str:
    """What a paired test says, in one clause.

    Args:
        name: The metric.
        difference: The first figure less the other.
        other: Who is compared with.

    Returns:
        For example "better than tfidf by 4.1 points [3.0, 5.2], p < 0.001".
    """
    said = direction(name, difference)
    measure = "" if plain(name) else "points "
    if said == "even":
        return (
            f"no clear difference from {other}: {signed(name, difference.value)} {measure}"
            f"{signed_span(name, difference)}, {p_value(difference.p)}"
        )
    low, high = difference.low, difference.high
    if difference.value < 0:
        low, high = -high, -low
    size = figure(name, abs(difference.value))
    bounds = f"[{figure(name, low)}, {figure(name, high)}]"
    return f"{said} than {other} by {size} {measure}{bounds}, {p_value(difference.p)}"


def signed(name: str, value: float) -> str:
    """A difference with its sign, a true minus."""
    text = figure(name, abs(value))
    return text if not float(text) else f"{'+' if value > 0 else '−'}{text}"


def calibration(bins: Sequence[Bin], multi_label: bool) -> str:
    """What a reliability diagram says on average, in one sentence.

    Args:
        bins: Bins of confidence.
        multi_label: Whether each label of a row is a decision of its own.

    Returns:
        A sentence.
    """
    total = sum(bin.count for bin in bins)
    said = 100 * sum(bin.count * bin.confidence for bin in bins) / total
    came = 100 * sum(bin.count * bin.accuracy for bin in bins) / total
    if multi_label:
        return f"Labels are given a probability of {said:.1f} % on average, and {came:.1f} % of them apply."
    if abs(said - came) < 1:
        tendency = "neither too sure nor too timid"
    else:
        tendency = f"{'too sure' if said > came else 'too timid'} by {abs(said - came):.1f} points"
    return f"It is {said:.1f} % sure on average and right in {came:.1f} % of the rows: {tendency}."
