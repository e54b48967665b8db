"""Texts from data: meanings, values, slots checked, n-grams counted, templates learned, candidates chosen."""

import json
import math
import random

import numpy as np
import pytest
from nltk.lm import KneserNeyInterpolated
from nltk.util import everygrams

from attune.errors import DataError
from attune.tasks.common.lexicon import Lexicon, learn_lexicon
from attune.tasks.common.slot_check import SlotErrors, check, exact, slot_error_rate
from attune.tasks.common.slots import read_meaning, words_of, written
from attune.tasks.hybrid.chooser import Candidate, choose
from attune.tasks.hybrid.drawing import Drawer
from attune.tasks.hybrid.hybrid_options import HybridOptions
from attune.tasks.hybrid.ngram import BEGIN, END, NGrams, text_of, tokens_of
from attune.tasks.hybrid.templates import Template, Templates, delexicalised, fluency_of, given
from attune.tasks.hybrid.voice import Voice

NAMES, FOODS = ["The Eagle", "Cotto", "Aromi", "The Mill"], ["English", "Chinese", "Indian"]
GRADES, AREAS = ["high", "low", "average"], ["riverside", "city centre"]


def pairs(count=160, seed=0):
    """Meanings with texts in a few turns of phrase; a part of the texts leaves out a slot."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        meaning = {"name": draw.choice(NAMES), "food": draw.choice(FOODS)}
        name, food = meaning.values()
        article = "an" if food[0] in "EI" else "a"
        texts = [f"{name} serves {food} food", f"{name} is {article} {food} place"]
        if draw.random() < 0.7:
            meaning["customer rating"] = grade = draw.choice(GRADES)
            texts = [f"{text} with {'an' if grade == 'average' else 'a'} {grade} customer rating" for text in texts]
        if draw.random() < 0.6:
            meaning["priceRange"] = price = draw.choice(GRADES[:2])
            texts = [f"{text} in the {price} price range" for text in texts]
        text = draw.choice(texts) + "."
        if draw.random() < 0.6:
            meaning["familyFriendly"] = friendly = draw.choice(["yes", "no"])
            word = draw.choice(["family", "kid", "kid"])
            text += f" It is {'not ' * (friendly == 'no')}{word} friendly."
        found.append((meaning, text if number % 8 else f"{name} serves food."))
    return found


@pytest.fixture(scope="module")
def lexicon():
    return learn_lexicon(pairs())


@pytest.fixture(scope="module")
def templates(lexicon):
    return Templates.learn(pairs(), lexicon)


@pytest.fixture(scope="module")
def fluency():
    return fluency_of(NGrams.learn([tokens_of(text) for _, text in pairs()]))


def test_meanings_are_read_and_written():
    text = "name[The Eagle], familyFriendly[Yes], near[Café Brazil]"
    meaning = {"name": "The Eagle", "familyFriendly": "yes", "near": "Café Brazil"}
    assert read_meaning(text) == meaning
    assert read_meaning(written(meaning)) == meaning
    assert words_of("familyFriendly") == ["family", "friendly"] and words_of("customer rating_now") == [
        "customer", "rating", "now"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "where slots"), ("name The Eagle", "where slots"), ("name[]", "no value"), ("a[1], a[2]", "twice"),
     ("a[1] b[2]", "where slots"), ("a[b[c]]", "where slots")],
)  # fmt: skip
def test_other_forms_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_meaning(text)


def test_the_check_finds_what_is_missing_added_and_wrong(lexicon):
    meaning = read_meaning("name[Cotto], food[Indian], customer rating[high], familyFriendly[no]")
    right = "Cotto serves Indian food with a high customer rating. It is not family-friendly."
    assert check(right, meaning.items(), lexicon) == SlotErrors((), (), (), 4)
    assert check("Cotto serves Indian food. It is not family friendly.", meaning.items(), lexicon).missing == (
        "customer rating",
    )
    assert check(right.replace("Indian", "English"), meaning.items(), lexicon).wrong == ("food",)
    assert check(right.replace("Indian", "Indian and English"), meaning.items(), lexicon).wrong == ("food",)
    assert check(right.replace("not ", ""), meaning.items(), lexicon).wrong == ("familyFriendly",)
    assert check(f"{right} It is in the low price range.", meaning.items(), lexicon).added == ("priceRange",)
    assert check("", meaning.items(), lexicon).count == 4
    assert exact("cotto SERVES indian food, HIGH customer rating, non family friendly", meaning, lexicon)


def test_a_value_that_two_slots_share_is_told_by_the_nearest_word_of_their_names(lexicon):
    assert lexicon.cued == {"high", "low"}
    meaning = {"customer rating": "low", "priceRange": "high"}
    assert exact("It has a low customer rating and a high price range.", meaning, lexicon)
    assert exact("Prices are high. Rated low.", meaning, lexicon)
    found = check("It has a high customer rating and a low price range.", meaning.items(), lexicon)
    assert set(found.wrong) == {"customer rating", "priceRange"}
    assert check("High street, low lights", meaning.items(), lexicon).missing == ("customer rating", "priceRange")


def test_phrases_are_learned_where_they_always_stand_for_a_value(lexicon):
    assert "kid friendly" in lexicon.phrases["familyFriendly"]["yes"]
    assert exact("Kid-friendly: The Mill, Chinese.", read_meaning("name[The Mill], food[Chinese], familyFriendly[yes]"),
                 lexicon)  # fmt: skip
    assert exact("It isn't really kid friendly", {"familyFriendly": "no"}, lexicon)
    assert exact("It is not cheap. It is kid friendly", {"familyFriendly": "yes"}, lexicon), "a full stop parts them"
    told = learn_lexicon(pairs(), {"food": {"Indian": ["curry"]}, "familyFriendly": {"yes": ["welcomes children"]}})
    meaning = read_meaning("name[Cotto], food[Indian], familyFriendly[yes]")
    assert exact("Cotto has curry and welcomes children.", meaning, told)


def test_phrases_of_yes_are_learned_in_the_same_order_whatever_order_a_set_has():
    texts = [f"Cotto is {word} friendly." for word in ("zoo", "kid", "child", "mum", "baby") for _ in range(6)]
    told = learn_lexicon([({"familyFriendly": "yes"}, text) for text in texts])
    learned = told.phrases["familyFriendly"]["yes"][1:]
    assert len(learned) > 5 and list(learned) == sorted(learned)


def test_a_dash_in_a_value_is_found():
    told = learn_lexicon([({"price": "£20–25"}, "It costs £20–25.")])
    for text in ("It costs £20–25.", "It costs £20-25.", "It costs £20 25."):
        assert exact(text, {"price": "£20–25"}, told)
    assert exact("It costs £20–25.", {"price": "£20-25"}, told)


def test_a_denial_ends_where_something_else_is_said(lexicon):
    for word in ("and", "but", "yet"):
        text = f"It is not expensive {word} family friendly."
        assert exact(text, {"familyFriendly": "yes"}, lexicon) and not exact(text, {"familyFriendly": "no"}, lexicon)
    for text in ("It is not very family friendly.", "It is not cheap or family friendly."):
        assert exact(text, {"familyFriendly": "no"}, lexicon)


def test_texts_that_deny_a_value_do_not_leave(templates, lexicon, fluency):
    meaning = read_meaning("name[Cotto], food[French], familyFriendly[no]")
    denying = "Cotto does not serve French food. It is not family friendly."
    assert exact(denying, meaning, lexicon) and lexicon.knowing(meaning.items()).denied(denying) == {("food", "French")}
    for text in (denying, "Cotto, without French food, is not family friendly."):
        assert choose(meaning, [Candidate("neural", text)], templates, fluency, lexicon).source == "template"
        assert not delexicalised(text, meaning, lexicon), "no template is learned of it"
    for text in ("Cotto is a not family friendly French place.", "Not just French: Cotto. Not family friendly."):
        assert choose(meaning, [Candidate("neural", text)], templates, fluency, lexicon).text == text


def test_phrases_are_given_of_values_that_no_row_has_but_not_of_slots():
    golds = [{"texts": ["Cotto serves Indian food."], "slots": [("name", "Cotto"), ("food", "Indian")]}]
    phrases = {"food": {"French": ["brasserie"]}, "name": {"Cotto": ["the Cotto"]}}
    voice = Voice.learn(golds, HybridOptions(phrases=phrases))
    assert exact("The Cotto is a brasserie.", {"name": "Cotto", "food": "French"}, voice.lexicon)
    told = learn_lexicon([({"open": "no"}, "It is not open.")], {"open": {"Yes": ["serves now"]}})
    assert exact("It serves now.", {"open": "yes"}, told)
    with pytest.raises(DataError, match="phrases are given for 'foods', a slot that no training row has"):
        Voice.learn(golds, HybridOptions(phrases={"foods": {"French": ["brasserie"]}}))


def test_a_slot_may_have_yes_and_no_among_other_values(fluency):
    said = {"yes": "{} has parking.", "no": "{} has no parking.", "street": "{} has street parking."}
    learned = [({"name": name, "parking": value}, text.format(name)) for name in NAMES for value, text in said.items()]
    lexicon = learn_lexicon(learned)
    own = Templates.learn(learned, lexicon)
    for meaning, text in learned:
        for value in said:
            assert exact(text, {**meaning, "parking": value}, lexicon) == (value == meaning["parking"])
        told = own.say(meaning, fluency)
        assert exact(told, meaning, lexicon) and "parking parking" not in told, told
    assert not check("There is no smoking, yes.", [], lexicon).count
    assert exact("Its parking is street.", {"parking": "street"}, lexicon)


def test_values_never_seen_are_found_by_themselves(lexicon):
    meaning = read_meaning("name[Zizzi], food[French], area[riverside], open[yes]")
    assert exact("Zizzi serves French food by the riverside and is open.", meaning, lexicon)
    assert check("Zizzi serves French food and is not open.", meaning.items(), lexicon).missing == ("area",)
    assert check("Zizzi serves English food by the riverside and is open.", meaning.items(), lexicon).wrong == ("food",)


def test_slot_error_rate_is_over_the_slots_of_all_meanings():
    assert slot_error_rate([SlotErrors(("a",), (), ("b",), 3), SlotErrors((), (), (), 5)]) == pytest.approx(0.25)
    assert slot_error_rate([]) == 0.0


@pytest.mark.parametrize("order", [2, 3, 4])
def test_probabilities_are_those_of_nltk(order):
    texts = [tokens_of(text.lower()) for _, text in pairs(30)]
    padded = [[BEGIN] * (order - 1) + text + [END] for text in texts]
    theirs = KneserNeyInterpolated(order, discount=0.75)
    theirs.fit([everygrams(words, max_len=order) for words in padded], [word for words in padded for word in words])
    ours = NGrams.learn(texts, order, 0.75)
    for text in [*texts[:6], ["food", "serves", "the", "."]]:
        words = [*text, END]
        for at in range(order - 1, len(words)):  # nltk counts the marks before a text as words that follow each other
            context = words[at - order + 1 : at]
            assert ours.probability(words[at], context) == pytest.approx(theirs.score(words[at], context), abs=1e-12)


def test_probabilities_of_all_words_sum_to_one_and_unknown_ones_are_small():
    model = NGrams.learn([tokens_of("a red parcel was late"), tokens_of("a blue card was late too")], 3)
    words = {word for after in model.levels[0].values() for word in after}
    for context in ([], ["a"], [BEGIN, BEGIN], ["was", "late"], ["never", "seen"], ["seen", "was"]):
        assert sum(model.probability(word, context) for word in words) == pytest.approx(1.0)
    assert 0 < model.probability("zebra", ["a"]) < min(model.probability(word, ["a"]) for word in words)
    assert model.fluency(tokens_of("a red card was late")) > model.fluency(tokens_of("late was card red a"))
    assert math.isfinite(model.fluency([]))


def test_what_is_kept_is_json_and_gives_the_same_back(templates, lexicon, fluency):
    model = NGrams.learn([tokens_of(text) for _, text in pairs(20)])
    again = NGrams.of(json.loads(json.dumps(model.plain())))
    tokens = tokens_of("The Eagle serves Chinese food.")
    assert again.fluency(tokens) == model.fluency(tokens)
    words = Lexicon.of(json.loads(json.dumps(lexicon.plain())))
    assert (words.phrases, words.cued) == (lexicon.phrases, lexicon.cued)
    kept = Templates.of(json.loads(json.dumps(templates.plain())), words)
    for meaning, _ in pairs(12, seed=4):
        assert kept.say(meaning, fluency) == templates.say(meaning, fluency)
        assert Drawer(kept).draw(meaning, 3, 1) == Drawer(templates).draw(meaning, 3, 1)


def test_tokens_and_texts():
    text = "Cotto’s, a (cheap) place for £20-25. {customer rating} isn't high!"
    assert tokens_of("{customer rating} is £20-25.") == ["{customer\u00a0rating}", "is", "£20-25", "."]
    assert text_of(tokens_of(text)) == text
    assert text_of([]) == ""


def test_draws_follow_what_was_seen_and_obey():
    model = NGrams.learn([["a", "b", "c"], ["a", "b", "d"]], 3)
    seen = set()
    for seed in range(20):
        drawn = []
        model.draw(np.random.default_rng(seed), into=drawn)
        seen.add(" ".join(drawn))
    assert seen == {"a b c", "a b d"}
    drawn = []
    model.draw(np.random.default_rng(0), into=drawn, allowed=lambda token: token != "c")
    assert drawn == ["a", "b", "d"]
    drawn = []
    NGrams.learn([["a"] * 50], 2).draw(np.random.default_rng(0), into=drawn, most=5)
    assert len(drawn) <= 5


def test_texts_without_error_become_templates(lexicon):
    meaning = read_meaning("name[The Eagle], food[English], customer rating[high], familyFriendly[no]")
    text = "The Eagle is an  English place with a high customer rating. It is not kid friendly."
    bare = delexicalised(text, meaning, lexicon)
    assert bare == "{name} is an {food} place with a {customer rating} customer rating. It is {familyFriendly}."
    other = read_meaning("name[Cotto], food[Chinese], customer rating[average], familyFriendly[yes]")
    assert Template(bare).filled(other, lexicon) == (
        "Cotto is a Chinese place with an average customer rating. It is family friendly."
    )
    assert not delexicalised("The Eagle is cheap.", meaning, lexicon), "it leaves out a slot"
    assert not delexicalised(f"{text} The Eagle!", meaning, lexicon), "it says a slot twice"
    assert (
        Template("Good. {familyFriendly} and {food}").filled(meaning, lexicon)
        == "Good. Not family friendly and English"
    )


def test_every_meaning_can_be_said_without_error(templates, lexicon, fluency):
    draw = random.Random(1)
    slots = {"name": NAMES, "food": FOODS, "customer rating": GRADES, "priceRange": GRADES, "area": AREAS,
             "familyFriendly": ["yes", "no"], "near": ["Burger King"], "open late": ["yes", "no"]}  # fmt: skip
    for _ in range(150):
        chosen = draw.sample(sorted(slots), draw.randint(1, len(slots)))
        meaning = {slot: draw.choice(slots[slot]) for slot in sorted(chosen, key=list(slots).index)}
        text = templates.say(meaning, fluency)
        assert exact(text, meaning, lexicon), f"{meaning}: {text}: {check(text, meaning.items(), lexicon)}"


def test_the_best_template_says_all_and_several_say_what_none_does(templates, lexicon, fluency):
    meaning = read_meaning("name[Cotto], food[Indian], priceRange[low]")
    assert templates.say(meaning, fluency) in (
        "Cotto serves Indian food in the low price range.", "Cotto is an Indian place in the low price range."
    )  # fmt: skip
    more = {**meaning, "area": "riverside", "open": "no"}
    assert templates.say(more, fluency).endswith("low price range. Its area is riverside. It is not open.")
    own = Templates(given(["Eat {food} at {name}!", "{name} is {familyFriendly}."]), lexicon)
    both = read_meaning("name[Cotto], food[Indian], familyFriendly[no]")
    assert own.say(both, fluency) == "Eat Indian at Cotto! Cotto is not family friendly."


@pytest.mark.parametrize("text", ["no place", "{name} and {name}"])
def test_bad_templates_are_refused(text):
    with pytest.raises(ValueError, match="the template"):
        given([text])


def test_the_chooser_takes_the_most_natural_right_text_and_else_the_template(templates, lexicon, fluency):
    meaning = read_meaning("name[Cotto], food[Indian]")
    wrong = Candidate("neural", "Cotto serves English food.")
    clumsy, right = Candidate("neural", "food Indian Cotto"), Candidate("ngram", "Cotto serves Indian food.")
    found = choose(meaning, [wrong, clumsy, right], templates, fluency, lexicon)
    assert (found.source, found.text, found.right) == ("ngram", right.text, 2)
    fallen = choose(meaning, [wrong], templates, fluency, lexicon)
    assert (fallen.source, fallen.right, fallen.errors.count) == ("template", 0, 0)
    assert choose(meaning, [], templates, fluency, lexicon) == fallen


def test_no_slot_error_leaves_whatever_the_candidates_are(templates, lexicon, fluency):
    drawer = Drawer(templates)
    wrong = 0
    for number, (meaning, _) in enumerate(pairs(60, seed=9)):
        texts = drawer.draw(meaning, 5, number)
        wrong += not exact(texts[0], meaning, lexicon)
        found = choose(meaning, [Candidate("ngram", text) for text in texts], templates, fluency, lexicon)
        assert not found.errors.count and exact(found.text, meaning, lexicon)
    assert wrong, "n-grams alone make errors, else nothing is tried here"


@pytest.mark.slow
def test_public_meanings_are_said_without_slot_error(public_data):
    lines = (public_data / "e2e_nlg" / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    held = sorted({row["source"] for row in rows})[::25]
    learned = [(read_meaning(row["source"]), row["target"]) for row in rows if row["source"] not in held]
    lexicon = learn_lexicon(learned)
    templates = Templates.learn(learned, lexicon)
    fluency = fluency_of(NGrams.learn([tokens_of(text) for _, text in learned]))
    for meaning in map(read_meaning, held):
        assert exact(templates.say(meaning, fluency), meaning, lexicon)


def test_a_hyphen_beside_a_digit_is_a_space_too():
    lexicon = Lexicon({"rating": {"3 out of 5": ["3 out of 5"], "5 star": ["5 star"]}}, frozenset())
    assert [found.says for found in lexicon.mentions("rated 3-out-of-5")] == [(("rating", "3 out of 5"),)]
    assert [found.says for found in lexicon.mentions("a 5-star place")] == [(("rating", "5 star"),)]
