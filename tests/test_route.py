"""Paths of hooks.yaml: which may stand there, and which request belongs to which."""

from __future__ import annotations

from itertools import permutations

import pytest

from hookrunner import route

OWN = "paths below /-/ are the runner's own; take another"
TWICE = "a name stands twice in the path"


def odd(segment: str) -> str:
    return (
        f"the segment {segment!r} is neither plain (letters, digits, - . _ ~) "
        "nor a name such as <env>"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/hello",
        "/a/b/c",
        "/.well-known/x",
        "/v1.2/a-b_c~d",
        "/-x",
        "/--",
        "/deploy/<env>",
        "/<a>/<b_2>",
        "/<a>/-",
        "/user@host;x=1,2",
        "/...",
    ],
)
def test_a_plain_path_or_one_with_names_is_taken(path: str) -> None:
    assert route.problem(path) == ""


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/-", OWN),
        ("/-/", OWN),
        ("/-/runs", OWN),
        ("/a/", "a path does not end with '/'; write /a"),
        ("/a/<b>/", "a path does not end with '/'; write /a/<b>"),
        ("//", "a path does not end with '/'; write /"),
        ("/ä/", odd("ä")),
        ("/a//b", odd("")),
        ("//a", odd("")),
        ("/a b", odd("a b")),
        ("/a/../b", odd("..")),
        ("/.", odd(".")),
        ("/ä", odd("ä")),
        ("/a%20b", odd("a%20b")),
        ("/a?b", odd("a?b")),
        ("/a#b", odd("a#b")),
        ("/a\\b", odd("a\\b")),
        ("/a\n", odd("a\n")),
        ("/a\0", odd("a\0")),
        ("/<Env>", odd("<Env>")),
        ("/<1a>", odd("<1a>")),
        ("/<>", odd("<>")),
        ("/x-<env>", odd("x-<env>")),
        ("/<env", odd("<env")),
        ("/<path:rest>", odd("<path:rest>")),
        ("/<a>/<a>", TWICE),
    ],
)
def test_any_other_path_is_refused_with_the_reason(path: str, told: str) -> None:
    assert route.problem(path) == told


@pytest.mark.parametrize(
    ("path", "names"),
    [("/", ()), ("/a/b", ()), ("/a/<env>", ("env",)), ("/<a>/x/<b>", ("a", "b"))],
)
def test_the_names_of_a_path_are_known_in_order(path: str, names: tuple[str, ...]) -> None:
    assert route.params(path) == names


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a", "/a", True),
        ("/a", "/b", False),
        ("/a/<x>", "/a/<y>", True),
        ("/<x>/<y>", "/<y>/<x>", True),
        ("/a/<x>", "/a/b", False),
        ("/a/<x>", "/<x>/a", False),
        ("/<x>", "/<x>/<y>", False),
    ],
)
def test_two_paths_are_the_same_whatever_their_names_are_called(
    one: str, other: str, same: bool
) -> None:
    assert (route.shape(one) == route.shape(other)) is same


PATHS = ("/", "/a", "/a/b", "/a/<x>", "/<y>/b", "/<y>/<x>", "/a/<x>/c")


@pytest.mark.parametrize(
    ("path", "hook", "names"),
    [
        ("/", "/", {}),
        ("/a", "/a", {}),
        ("/a/b", "/a/b", {}),
        ("/a/z", "/a/<x>", {"x": "z"}),
        ("/z/b", "/<y>/b", {"y": "z"}),
        ("/y/z", "/<y>/<x>", {"y": "y", "x": "z"}),
        ("/a/b/c", "/a/<x>/c", {"x": "b"}),
        ("/a/ü b", "/a/<x>", {"x": "ü b"}),
        ("/a/<x>", "/a/<x>", {"x": "<x>"}),
        ("/a/...", "/a/<x>", {"x": "..."}),
        ("/a/a\n", "/a/<x>", {"x": "a\n"}),
    ],
)
def test_a_request_belongs_to_the_hook_with_the_leftmost_literal_segment(
    path: str, hook: str, names: dict[str, str]
) -> None:
    assert route.find(path, {known: known for known in PATHS}) == (hook, names)


@pytest.mark.parametrize("order", list(permutations(("/a/<x>", "/<y>/b", "/<y>/<x>"))))
def test_the_order_of_the_file_does_not_matter(order: tuple[str, ...]) -> None:
    hooks = {path: path for path in order}

    assert route.find("/a/b", hooks) == ("/a/<x>", {"x": "b"})
    assert route.find("/c/b", hooks) == ("/<y>/b", {"y": "c"})


@pytest.mark.parametrize(
    "path",
    ["", "/", "a", "/A", "/b", "/a/", "/x/", "/x//", "/x/.", "/x/..", "//y", "/x/y/z", "/x/y/"],
)
def test_a_request_that_no_path_matches_belongs_to_no_hook(path: str) -> None:
    assert route.find(path, {"/a": 1, "/x/<name>": 2}) is None


def test_a_path_of_ten_thousand_segments_belongs_to_no_hook() -> None:
    assert route.find("/a" * 10_000, {"/a": 1, "/<x>": 2}) is None
