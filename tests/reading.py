"""A page as a browser would read it, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"br", "hr", "img", "input", "link", "meta"}
CONTROLS = {"input", "select", "textarea"}
REFERENCES = ("for", "aria-describedby", "aria-labelledby")


@dataclass
class Element:
    """An element with its attributes and the text in it."""

    name: str
    given: dict[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """An HTML document, read strictly: what is not closed in its order is a fault."""

    html: str
    elements: list[Element] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[Element] = []
        self.text = ""
        self.feed(self.html)
        self.close()
        self.faults += [f"<{element.name}> is not closed" for element in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        twice = [name for name, count in Counter(name for name, _ in attrs).items() if count > 1]
        self.faults += [f"<{tag}> has {name} twice" for name in twice]
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1].name != tag:
            self.faults.append(f"</{tag}> closes nothing")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data
        for element in self.open:
            element.text += data

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"a comment: {data}")

    def all(self, kind: str, /, **given: str) -> list[Element]:
        """Elements of that name whose attributes are as given; `class_` is class."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in given.items()}
        return [
            element
            for element in self.elements
            if element.name == kind
            and all(element.given.get(key) == value for key, value in wanted.items())
        ]

    def one(self, kind: str, /, **given: str) -> Element:
        [found] = self.all(kind, **given)
        return found


def faults(html: str) -> list[str]:
    """Everything that is wrong with a page: its form, its labels, what our policy forbids."""
    page = Page(html)
    ids = Counter(element.given["id"] for element in page.elements if "id" in element.given)
    found = [*page.faults, *(f"id {name} twice" for name, count in ids.items() if count > 1)]
    labelled = {element.given.get("for") for element in page.all("label")}
    for element in page.elements:
        name, given = element.name, element.given
        found += [f"<{name}> has {key}" for key in given if key == "style" or key[:2] == "on"]
        if name == "style" or (name == "script" and (element.text or "src" not in given)):
            found.append(f"<{name}> in the page")
        for key in REFERENCES:
            found += [f"{key} names {to}" for to in given.get(key, "").split() if to not in ids]
        if name == "a" and not given.get("href", "").startswith(("/-/", "#")):
            found.append(f"a link to {given.get('href')}")
        if name == "a" and not element.text.strip():
            found.append(f"a link without words to {given.get('href')}")
        if name in CONTROLS and given.get("type") != "hidden" and given.get("id") not in labelled:
            found.append(f"<{name} name={given.get('name')}> has no label")
        if name == "form" and given.get("method") == "post":
            found += [] if given["action"].startswith("/-/") else ["a form that posts elsewhere"]
    forms = page.all("form", method="post")
    posts = [form for form in forms if not form.given["action"].startswith("/-/login?")]
    if len(page.all("input", name="csrf")) != len(posts):
        found.append("a form without csrf")
    found += [] if len(page.all("h1")) == 1 else ["not one h1"]
    found += [] if len(page.all("main")) == 1 else ["not one main"]
    return found
