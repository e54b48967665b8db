"""Every task and preset: one row a recipe, beside what answers without tuning, and the published figure.

On real data; where no set of the catalogue is of any use to a small network, on a generated one whose best figure is
known (`examples/generated`).

Runs that are in benchmarks/results/tasks.json are not repeated, so a script that was stopped goes on where it was. Each
run is on one thread, so that it comes out the same on every machine of a kind, and reads its test file once.
`--only RECIPE` takes one recipe, `--write` writes the table of what is there and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crf
from runs import EXAMPLES, ONE_THREAD, RESULTS, machine, once, test_data

from attune.evaluation.words import BASELINES, PLAIN, TITLES

KEPT = RESULTS / "tasks.json"


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        task: In words.
        recipe: Below examples/, without its ending.
        data: The set's folder; empty for a set that its script writes.
        metric: The figure that counts.
        baseline: The one it stands beside; empty where none has the metric.
        published: What others reached, and who.
        goal: What was asked for; empty where nothing was.
        seeds: Three where a run takes less than three minutes.
        prepared: The script beside the recipe that makes its rows, where there is one.
        parts: Overrides of each part of a run; more than one where folds are averaged.
        beside_crf: Whether sklearn-crfsuite learns from the same rows.
    """

    task: str
    recipe: str
    data: str
    metric: str
    baseline: str
    published: str
    goal: str = ""
    seeds: int = 1
    prepared: str = ""
    parts: tuple[tuple[str, ...], ...] = ((),)
    beside_crf: bool = False


FOLDS = tuple((f"data.train=fold-{fold}.train.jsonl", f"data.test=fold-{fold}.test.jsonl") for fold in range(5))
CASES = (
    Case("classification", "trec6/full", "trec6", "accuracy", "tfidf", "93.6 (Kim 2014)", "96"),
    Case(
        "classification, several labels", "go_emotions/full", "go_emotions", "macro_f1", "tfidf",
        "46 BERT-base (Demszky et al. 2020)", "43",
    ),
    Case(
        "classification, ordinal", "sst5/ordinal", "sst5", "accuracy", "tfidf", "47.4 (Kim 2014)",
    ),
    Case("classification, hierarchical", "bitext/hierarchical", "bitext_support_intents", "accuracy", "tfidf", "–",
         prepared="prepare.py"),
    Case(
        "pair, inference", "sick/cross", "sick", "accuracy", "majority", "84.6 (Marelli et al. 2014, the best)", "84",
    ),
    Case(
        "regression, similarity", "stsb/similarity", "stsb", "spearman", "cosine",
        "85.35 SBERT-NLI-STSb (Reimers & Gurevych 2019)", "84", seeds=3,
    ),
    Case("ranking", "covid_faq/ranking", "covid_faq", "mrr", "cosine", "–", prepared="prepare.py"),
    Case(
        "tagging", "atis/tagging", "atis", "entity_f1", "crfsuite", "95.2 (Goo et al. 2018)", "above crfsuite",
        beside_crf=True,
    ),
    Case(
        "tagging", "wnut17/tagging", "wnut17", "entity_f1", "crfsuite", "41.9 (Derczynski et al. 2017)",
        "above crfsuite", beside_crf=True,
    ),
    Case(
        "tagging, offsets", "bitext/entities", "bitext_support_intents", "entity_f1", "lookup", "–",
    ),
    Case(
        "tagging, offsets", "pii_presidio_synth/tagging", "pii_presidio_synth", "entity_f1", "lookup", "–",
        prepared="prepare.py",
    ),
    Case("tagging, Chinese", "resume_ner/tagging", "resume_ner", "entity_f1", "lookup", "94.46 (Zhang & Yang 2018)"),
    Case(
        "relation", "semeval2010_task8/full", "semeval2010_task8", "directed_macro_f1", "tfidf",
        "89.25 BERT-base (Wu & He 2019)", "84", prepared="prepare.py",
    ),
    Case(
        "question answering", "policyqa/full", "policyqa", "answer_f1", "span search",
        "55.3 BERT, on the full train (Ahmad et al. 2020)", "twice span search",
    ),
    Case(
        "question answering, five folds", "xquad_en/full", "xquad_en", "answer_f1", "span search",
        "83.5 mBERT trained on SQuAD", "twice span search", prepared="prepare.py", parts=FOLDS,
    ),
    Case(
        "question answering, some without answer", "xquad_en/swapped", "xquad_en", "answer_f1", "span search", "–",
        prepared="prepare.py",
    ),
    Case("several tasks", "atis/together", "atis", "all_right", "majority", "–"),
    Case(
        "embedding", "medquad_text/embedding", "medquad_text", "mrr", "cosine", "–", prepared="pairs.py",
    ),
    Case("embedding by labels", "banking77/label_embedding", "banking77", "found_1", "cosine", "–"),
    Case(
        "summarisation, extractive", "dialogsum/extractive", "dialogsum", "rouge_l", "lead",
        "38.7 BART-large, abstractive, on the full train (Chen et al. 2021)", "above lead-3", seeds=3,
    ),
    Case(
        "translation, from scratch", "multi30k_en_de/translation", "multi30k_en_de", "bleu", "nearest",
        "38 Transformer (Helcl et al. 2018)", "27",
    ),
    Case(
        "data to text, from scratch, hybrid", "e2e_nlg/hybrid", "e2e_nlg", "bleu", "neural",
        "65.9 TGen, on the full train (Dušek et al. 2020)", "no slot error", prepared="prepare.py",
    ),
    Case(
        "dialogue, from scratch", "sgd_sample/dialogue", "sgd_sample", "perplexity", "", "–",
        prepared="prepare.py",
    ),
    Case(
        "causal language model, from scratch", "tiny_shakespeare/scratch", "tiny_shakespeare", "nats_per_character",
        "majority", "1.47 nanoGPT, 10.7 M parameters on a GPU", "at most 1.70", prepared="prepare.py",
    ),
    Case(
        "masked language model", "wikitext2/masked_lm", "wikitext2", "masked_perplexity", "majority", "–",
        prepared="prepare.py",
    ),
    Case(
        "replaced tokens", "wikitext2/replaced_token", "wikitext2", "replaced_f1", "majority", "–",
        prepared="prepare.py",
    ),
    Case(
        "sentence order", "wikitext2/sentence_order", "wikitext2", "pair_accuracy", "majority", "–", seeds=3,
        prepared="prepare.py",
    ),
    Case(
        "next sentence", "wikitext2/next_sentence", "wikitext2", "pair_accuracy", "cosine", "–", seeds=3,
        prepared="prepare.py",
    ),
    Case(
        "denoising, from scratch", "wikitext2/denoising", "wikitext2", "masked_perplexity", "majority", "–",
        prepared="prepare.py",
    ),
    Case(
        "plain texts, generated set", "generated/dates", "", "chrf", "nearest", "–", "100 is right", seeds=3,
        prepared="prepare.py",
    ),
    Case(
        "summarisation, generated set", "generated/notes", "", "rouge_l", "lead", "–", "100 is right", seeds=3,
        prepared="prepare.py",
    ),
    Case(
        "code, generated set", "generated/programs", "", "pass_1", "nearest", "–", "100 is right", seeds=3,
        prepared="prepare.py",
    ),
)  # fmt: skip


def run(case: Case, seed: int, overrides: Sequence[str]) -> dict[str, Any]:
    """One run of one recipe; its rows are prepared first where they have to be."""
    with tempfile.TemporaryDirectory() as scratch:
        data, recipe = test_data() / case.data, EXAMPLES / f"{case.recipe}.toml"
        if case.prepared:
            read = [str(data)] if case.data else []
            subprocess.run([sys.executable, str(recipe.parent / case.prepared), *read, scratch], check=True)
            data = Path(scratch)
        if case.beside_crf:
            return crf.once(recipe, data, seed, (ONE_THREAD, *overrides))
        return once(recipe, data, seed, (ONE_THREAD, *overrides))


def kept() -> list[dict[str, Any]]:
    """The runs so far, with those that another process made meanwhile."""
    return json.loads(KEPT.read_text()) if KEPT.is_file() else []


def missing(case: Case, results: Sequence[dict[str, Any]]) -> list[tuple[int, tuple[str, ...]]]:
    """The runs of a case that were not made."""
    done = {(found["case"], found["seed"], tuple(found["overrides"])) for found in results}
    asked = [(seed, part) for seed in range(case.seeds) for part in case.parts]
    return [(seed, part) for seed, part in asked if (case.recipe, seed, part) not in done]


def figure(name: str, value: float) -> str:
    """In per cent, or as it is where it is no share."""
    return f"{value:.3f}" if name in PLAIN else f"{100 * value:.2f}"


def line(case: Case, results: Sequence[dict[str, Any]]) -> str:
    """One row of the table; empty where nothing was run."""
    own = [found for found in results if found["case"] == case.recipe]
    if not own:
        return ""
    values = [found["metrics"][case.metric]["value"] for found in own]
    others = [other for found in own for other in found["baselines"] if other["name"] == case.baseline]
    gap, shown = others[0].get("difference") if others else None, [figure(case.metric, value) for value in values]
    value = figure(case.metric, statistics.mean(values))
    if len(own) > 1:
        value += f" ({min(shown)} to {max(shown)}, {len(own)} {'folds' if len(case.parts) > 1 else 'seeds'})"
    else:
        found = own[0]["metrics"][case.metric]
        value += f" [{figure(case.metric, found['low'])}, {figure(case.metric, found['high'])}]"
    beside = "–"
    if others:
        mean = statistics.mean(other["metrics"][case.metric]["value"] for other in others)
        beside = f"{BASELINES.get(case.baseline, case.baseline)} {figure(case.metric, mean)}"
    scale = 1 if case.metric in PLAIN else 100
    told = (
        "" if gap is None else "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(scale * gap[k] for k in ("value", "low", "high")))
    )
    seconds = [found.get("processor_seconds", found["facts"]["seconds"]) for found in own]
    cells = (
        case.task, f"`{case.recipe}`", TITLES[case.metric], value, case.goal or "–",
        beside, told or "–", case.published, f"{statistics.median(seconds):.0f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def by_source(results: Sequence[dict[str, Any]]) -> list[str]:
    """Lines on what each source of a hybrid says alone; none where no hybrid was run."""
    lines: list[str] = []
    for found in results:
        named = {"hybrid": found["metrics"], **{each["name"]: each["metrics"] for each in found["baselines"]}}
        if "template" not in named:
            continue
        lines += [
            "",
            f"## `{found['case']}`, by what says the texts",
            "",
            "| source | BLEU | slot errors |",
            "|---|---|---|",
        ]
        for name, metrics in named.items():
            cells = [
                "{value:.2f} [{low:.2f}, {high:.2f}]".format(**{key: 100 * metrics[each][key] for key in metrics[each]})
                for each in ("bleu", "slot_error_rate")
            ]
            lines.append(f"| {BASELINES.get(name, name)} | {' | '.join(cells)} |")
    return lines


def page(results: Sequence[dict[str, Any]]) -> str:
    """The table as Markdown."""
    left = [case.recipe for case in CASES if missing(case, results)]
    machines = sorted({found["machine"] for found in results})
    lines = [
        "# Every task and preset, embedded MiniLM", "", *(machines or [machine()]), "",
        "Real data, or where the row says so a generated set whose right answers follow from the text. "
        "Test files, read once a run. One run: with its 95 % interval; several: their mean, lowest and highest. The "
        "difference is that of seed 0 (or of the first fold) to the baseline on the same rows, paired, by the task's "
        "first metric, in points with its 95 % interval. Seconds are the processor's, of a whole run on one "
        "thread (of `stsb`, `sick` and `bitext/hierarchical` the clock's, with other work beside: an upper bound).", "",
        "| task | recipe | metric | attune | goal | beside it | difference | published | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
        *filter(None, (line(case, results) for case in CASES)),
        *by_source(results),
        *(["", f"Not run yet, or not wholly: {', '.join(f'`{name}`' for name in left)}."] if left else []),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what is missing and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="a recipe below examples/; several times")
    parser.add_argument("--write", action="store_true", help="write the table, run nothing")
    options = parser.parse_args()
    results = kept()
    wanted = [case for case in CASES if not options.only or case.recipe in options.only]
    left = [(seed, part, case) for case in wanted for seed, part in missing(case, results)]
    for seed, part, case in sorted(left if not options.write else [], key=lambda each: each[0]):
        found = {"case": case.recipe, "overrides": list(part), **run(case, seed, part)}
        results = [*kept(), found]
        KEPT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "tasks.md").write_text(page(results), encoding="utf-8")
    (RESULTS / "tasks.md").write_text(page(results), encoding="utf-8")
    print(page(results))


if __name__ == "__main__":
    main()
