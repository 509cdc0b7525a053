# SPDX-License-Identifier: EUPL-1.2
"""What people read has no dead letter: every text of the catalogue stands on some page, and every rule of the style
sheet is for something that is there. (That no text is missing, the build sees.)"""

import re

from test_docs import ROOT, table, text

CATALOGUE = "proxy/pages/messages.def"
TEMPLATES = {path.name: path.read_text() for path in (ROOT / "proxy/pages").glob("*.html")}
HTML = "".join(re.sub(r"<!--.*?-->", "", page, flags=re.S) for page in TEMPLATES.values())
SOURCES = "".join(path.read_text() for path in sorted((ROOT / "proxy").glob("*.c")))


def test_every_label_stands_on_a_page():
    names = [name for name, *_ in table(CATALOGUE, "LABEL")]
    assert len(names) > 50 and len(set(names)) == len(names)
    assert [name for name in names if not re.search(rf"\bLABEL_{name}\b", SOURCES) and
            "{{label_%s}}" % name.lower() not in HTML] == []


def test_every_text_of_a_reason_is_some_reasons_own():
    said = [row[0] for row in table(CATALOGUE, "MESSAGE")]
    same = [row for row in table(CATALOGUE, "SAME")]
    assert len(said) > 40 and {other for _, other in same} <= set(said)
    assert not {name for name, _ in same} & set(said)


def test_the_words_for_what_is_missing_are_each_for_some_fact():
    facts = [f"{root}.{name}" for root, name, *_ in table("policy/fact.def", "FACT")]
    facts += [f"{root}.x" for _, root, *_ in table("policy/fact.def", "NAMED_FACT")]
    words = [fact for fact, *_ in table(CATALOGUE, "WORDS")]
    first = {fact: next((word for word in words if fact.startswith(word)), None) for fact in facts}
    assert [word for word in words if word not in first.values()] == [], "none begins so, or an earlier line takes them all"
    assert [fact for fact, word in first.items() if not word and not fact.startswith("app.")] == []


def test_every_value_that_is_printed_stands_in_a_template():
    given = set(re.findall(r'^ +\{"(\w+)",', SOURCES, re.M))
    assert len(given) > 20
    assert [name for name in sorted(given) if not re.search(r"\{\{\??%s\}\}" % name, HTML)] == []


def test_every_rule_of_the_style_sheet_is_for_something():
    sheet = re.sub(r"/\*.*?\*/", "", text("proxy/pages/page.css"), flags=re.S)
    names = set(re.findall(r"\.([a-z][\w-]*)(?=[^{}]*\{)", sheet))
    classes = {name for words in re.findall(r'class="([^"]*)"', HTML) for name in words.split()}
    assert len(names) > 10 and names <= classes
