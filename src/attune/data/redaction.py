"""Personal data in text: where it is, and the text without it."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import phonenumbers
from stdnum import iban, luhn
from stdnum.cn import ric
from stdnum.us import ssn


@dataclass(frozen=True, slots=True)
class Found:
    """One piece of personal data: its kind, and where it starts and ends in the text."""

    kind: str
    start: int
    end: int


REGIONS = ("CN", "US", "GB")
"""Countries whose phone numbers are recognised without their `+` code, even as one run of digits."""

WRITTEN_REGIONS = (*REGIONS, "AU", "BE", "CH", "CY", "DE", "ES", "FR", "IT", "NL", "SE")
"""Countries whose numbers are recognised where spaces, dots, hyphens or brackets show that it is a phone number."""

PLAUSIBLE = re.compile(r"@|\d\D{0,3}\d\D{0,3}\d\D{0,3}\d|[0-9a-fA-F]:[0-9a-fA-F:]*:|::|://[^\s/]*@")
"""What any of the patterns below needs; most texts have none of it and are done."""

DATE = re.compile(
    r"(?<!\d)(?:19|20)\d\d[-/. ][01]?\d[-/. ][0-3]?\d(?!\d)|(?<!\d)[0-3]?\d[-/.][0-3]?\d[-/.](?:19|20)\d\d(?!\d)"
)


def _email(text: str) -> bool:
    return ".." not in text and not text.startswith(".")


def _card(text: str) -> bool:
    digits = _digits(text)
    known = digits.startswith(("1800", "2", "3", "4", "5", "6"))
    return 12 <= len(digits) <= 19 and known and len(set(digits)) > 1 and luhn.is_valid(digits)


def _iban(text: str) -> bool:
    return bool(iban.is_valid(text.upper(), check_country=False))


def _address(text: str) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return found.version == 4 or text.count(":") > 2


def _identity(text: str) -> bool:
    return bool(ric.is_valid(unicodedata.normalize("NFKC", text).upper()))


def _social(text: str) -> bool:
    return bool(ssn.is_valid(text.replace(" ", "-")))


def _phone(text: str) -> bool:
    text = unicodedata.normalize("NFKC", text).split("x")[0]
    digits = _digits(text)
    if not 8 <= len(digits) <= 15 or DATE.search(text):
        return False
    if text.lstrip().startswith(("+", "00")):
        return _number("+" + (digits[2:] if text.lstrip().startswith("00") else digits), None)
    written = bool(re.search(r"\d[ ().\-/]+\d", text))
    return any(_number(text, region) for region in (WRITTEN_REGIONS if written else REGIONS))


def _number(text: str, region: str | None) -> bool:
    """Valid in the region's plan; with a country code it need only be possible, for plans change."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number) if region else phonenumbers.is_possible_number(number)


def _digits(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text) if c.isdigit())


Pattern = tuple[str, re.Pattern[str], Callable[[str], bool]]

PATTERNS: tuple[Pattern, ...] = (
    (
        "URL_WITH_PASSWORD",
        re.compile(
            r"[a-zA-Z][a-zA-Z0-9+.-]{1,15}://[^\s/@:<>]{1,200}(?::[^\s/@<>]{0,200})?@"
            r"[^\s<>\"'，。；：！？、（）]*[^\s<>\"'，。；：！？、（）.,;:!?)\]}]"
        ),
        bool,
    ),
    (
        "EMAIL",
        re.compile(
            r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])"
        ),
        _email,
    ),
    (
        "IBAN",
        re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])"),
        _iban,
    ),
    ("CN_IDENTITY", re.compile(r"(?<!\d)\d{17}[\dXx](?![\dA-Za-z])"), _identity),
    ("CARD", re.compile(r"(?<![\d-])\d(?:[ -]?\d){11,18}(?![\d-])"), _card),
    ("US_SSN", re.compile(r"(?<![\d-])\d{3}[- ]\d{2}[- ]\d{4}(?![\d-])"), _social),
    ("IP", re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)"), _address),
    ("IP", re.compile(r"(?<![0-9A-Fa-f:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![0-9A-Fa-f:])"), _address),
    (
        "PHONE",
        re.compile(
            r"(?<![\d+#A-Za-z_-])(?:\+|00)?\(?\d(?:[ ().\-/]{0,2}\d){6,14}(?:x\d{1,6})?(?![\d]|[A-WYZa-wyz_-]\d)"
        ),
        _phone,
    ),
)
"""Kind, where it may be, and whether it is one: checksums and numbering plans from stdnum and phonenumbers. What
comes first takes its characters."""

HIDDEN = "<"
"""Stands for what was found while the rest is searched; no pattern reads across it."""

KINDS = tuple(dict.fromkeys(kind for kind, _, _ in PATTERNS))


def find(text: str) -> list[Found]:
    """Finds personal data.

    Args:
        text: Any text.

    Returns:
        What was found, in order and without overlap.
    """
    found: list[Found] = []
    while PLAUSIBLE.search(text):
        before = len(found)
        for kind, pattern, valid in PATTERNS:
            taken = [_taken(kind, match) for match in pattern.finditer(text) if valid(match.group())]
            for one in taken:
                text = f"{text[: one.start]}{HIDDEN * (one.end - one.start)}{text[one.end :]}"
            found += taken
        if len(found) == before:
            break
    return sorted(found, key=lambda one: one.start)


def _taken(kind: str, match: re.Match[str]) -> Found:
    """What a pattern found, without a bracket that is opened and not closed in it."""
    alone = match.group().startswith("(") and ")" not in match.group()
    return Found(kind, match.start() + alone, match.end())


def redact(text: str) -> str:
    """The text with personal data replaced by its kind, as in `<EMAIL>`.

    Args:
        text: Any text.

    Returns:
        The text; the same where nothing was found. Redacting again changes nothing.
    """
    for one in reversed(find(text)):
        text = f"{text[: one.start]}<{one.kind}>{text[one.end :]}"
    return text
