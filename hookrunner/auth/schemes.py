"""What `auth:` says, made into schemes: the senders of the table, and schemes of nobody's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hookrunner import pointer
from hookrunner.auth import credential, publickey
from hookrunner.auth.allowed import Allowed
from hookrunner.auth.contents import PAYLOAD
from hookrunner.auth.publickey import NoKey
from hookrunner.auth.scheme import Known
from hookrunner.auth.senders import SENDERS, InHeader, Sender
from hookrunner.auth.settings import (
    header_name,
    mapping,
    networks,
    raw,
    refuse_leftovers,
    words,
)
from hookrunner.auth.signature import ALGORITHMS, ITEM, Recipe, Signature, read_secret
from hookrunner.model import Json, Names, Place, Scheme
from hookrunner.sections import (
    VARIABLE,
    Value,
    Wrong,
    duration,
    flag,
    hint,
    kind_of,
    list_of,
    one_of,
    secrets,
    show,
    text,
)

if TYPE_CHECKING:
    from hookrunner.auth.graph import ClientState
    from hookrunner.auth.sns import Sns
    from hookrunner.auth.twilio import Twilio

    Made = (
        Signature
        | credential.Bearer
        | credential.Token
        | credential.Basic
        | Twilio
        | Sns
        | ClientState
        | Allowed
    )


def read_auth(value: Value) -> tuple[Scheme, ...] | None:
    """The schemes of a hook's `auth:`; empty for `none`, None after a complaint."""
    found = value.plain
    if found == "none":
        return ()
    if isinstance(found, list) and found:
        read = [read_scheme(item) for item in value.items()]
    else:
        read = [read_scheme(value)]
    if not all(read):
        return None
    return tuple(scheme for schemes in read for scheme in schemes)


def read_scheme(value: Value) -> tuple[Scheme, ...]:
    """One scheme, `{name: its settings}`, or one for each of its sender's ways; none after a
    complaint."""
    found = value.plain
    if not isinstance(found, dict) or len(found) != 1:
        value.complain(_no_scheme(found))
        return ()
    [(key, settings)] = value.section().pairs()
    name, colon, _ = key.title.partition(":")
    if settings.plain is None and colon and name in SENDERS:
        key.complain(f"write a space after the colon: {{{name}: $MY_SECRET}}")
        return ()
    if key.title not in SENDERS:
        known = hint(key.title, SENDERS) or (
            f"; known are {', '.join(SENDERS)}; `python runner.py senders` tells of each"
        )
        # Without a value it may be the secret itself: `{hunter2}` is a mapping to YAML.
        name = "" if settings.plain is None else f" {show(key.title)}"
        key.complain(f"unknown scheme{name} in auth{known}")
        return ()
    sender = SENDERS[key.title]
    build = BUILDERS.get(key.title, _preset)
    made = build(key.title, sender, settings)
    schemes = [replace(s, manners=sender.manners, handshake=sender.handshake) for s in made]
    if key.title != "ip" and isinstance(settings.plain, dict):
        allowed = settings.section().take("ip", networks) or ()
        schemes = [replace(scheme, networks=allowed) for scheme in schemes]
    return tuple(schemes)


def _no_scheme(found: Json) -> str:
    """Why it is not one scheme. A secret may stand where a scheme should: it is not quoted."""
    if found == "none":
        return "auth: none stands alone; in a list it would let everybody in"
    if isinstance(found, dict) and len(found.keys() & SENDERS.keys()) > 1:
        return "auth names several schemes; write a list, one '- {scheme: $SECRET}' per line"
    return (
        "auth must be none, or a scheme and its secret such as "
        f"{{github: $GITHUB_SECRET}}, not {kind_of(found)}"
    )


def _preset(name: str, sender: Sender, value: Value) -> tuple[Made, ...]:
    """The schemes of a sender of the table: one for each of its ways."""
    tolerance: float | None = None
    further: dict[str, tuple[bytes, ...]] = {}
    flags: frozenset[str] = frozenset()
    if isinstance(value.plain, dict) or sender.words:
        section = mapping(value, sender.example)
        if section is None:
            return ()
        found = words(section, "secret")
        _note_shown(name, sender, section.find("secret"))
        if any(isinstance(way, Recipe) and way.timestamp for way in sender.ways):
            tolerance = section.take("tolerance", duration)
        further = {
            word: raw(words(section, word, f"${name.upper()}_{word.upper()}"))
            for word in sender.words
        }
        flags = frozenset(each for each in sender.flags if section.take(each, flag, default=False))
        refuse_leftovers(section)
    else:
        found = secrets(value)
        _note_shown(name, sender, value)
    schemes: list[Made] = []
    before: set[str] = set()
    for way, mine in _by_way(sender, value, found):
        made = _way(name, way, tolerance, value, mine)
        if made is None:
            return ()
        made = replace(made, known=Known(words=further, flags=flags))
        if isinstance(made, Signature):
            made = replace(made, yields_to=frozenset(before - {made.recipe.signature}))
            before.add(made.recipe.signature)
        schemes.append(made)
    return tuple(schemes)


def _note_shown(name: str, sender: Sender, value: Value | None) -> None:
    """Note of config vars that nobody can make up for whom they are."""
    if value is not None and sender.shown:
        listed = value.plain if isinstance(value.plain, list) else [value.plain]
        for each in listed:
            if isinstance(each, str) and (named := VARIABLE.fullmatch(each)):
                value.source.shown_by[named[1]] = name


def _by_way(
    sender: Sender, value: Value, found: Collection[str]
) -> list[tuple[Recipe | InHeader, tuple[str, ...]]]:
    """Each way that there is a secret for; what a secret begins with says for which."""
    prefixes = {way.secret_prefix for way in sender.ways}

    def fitting(secret: str) -> str | None:
        return max((p for p in prefixes if secret.startswith(p)), key=len, default=None)

    if unfit := [each for each in found if fitting(each) is None]:
        value.source.spoil(unfit, f"begins with none of {', '.join(sorted(prefixes))}")
    shares = [
        (way, tuple(each for each in found if fitting(each) == way.secret_prefix))
        for way in sender.ways
    ]
    used = [(way, mine) for way, mine in shares if mine]
    return used or [(sender.ways[0], ())]  # it is switched off, and has its name


def _way(
    name: str, way: Recipe | InHeader, tolerance: float | None, value: Value, mine: tuple[str, ...]
) -> Signature | credential.Token | None:
    if isinstance(way, InHeader):
        return credential.Token(raw(mine), header=way.header, name=name, names=way.names)
    if way.timestamp and tolerance is not None:
        way = replace(way, tolerance=tolerance)
    return _signature(name, way, value, mine)


def _signature(name: str, recipe: Recipe, value: Value, found: tuple[str, ...]) -> Signature | None:
    """The scheme; with a secret that cannot be used its hook is switched off."""
    keys = []
    for word in found:
        try:
            keys.append(read_secret(recipe, word))
        except ImportError:
            value.complain(f"{name} {publickey.LACKING}")
            return None
        except NoKey:
            told = f"no public key of {KINDS[recipe.algorithm]}"
            value.source.spoil([word], f"is {told}; copy it again as the sender shows it")
        except ValueError:
            told = f"not {SPELT[recipe.secret_encoding]}"
            value.source.spoil([word], f"is {told}; copy it again as the sender shows it")
    return Signature(name, recipe, tuple(keys), of=_variables(value))


def _variables(value: Value) -> str:
    """The config vars of the secrets, for the log."""
    plain = value.plain.get("secret") if isinstance(value.plain, dict) else value.plain
    named = plain if isinstance(plain, list) else [plain]
    return " or ".join(each for each in named if isinstance(each, str) and VARIABLE.fullmatch(each))


SPELT = {
    "hex": "hexadecimal",
    "base64": "base64",
    "whsec": "whsec_ and base64",
    "whpk": "whpk_ and base64",
    "text": "text",
}
KINDS = {"ed25519": "Ed25519", "ecdsa-p256": "ECDSA on P-256"}


def _hmac(name: str, sender: Sender, value: Value) -> tuple[Made, ...]:
    section = mapping(value, sender.example)
    if section is None:
        return ()
    found = words(section, "secret")
    given: dict[str, Any] = {
        "signature": section.require("header", header_name, "name the header of the signature")
        or "x",
        "prefix": section.take("prefix", text, default=""),
        "separator": section.take("separator", text, default=""),
        "encoding": section.take("encoding", one_of("hex", "base64", "base64url"), default="hex"),
        "algorithm": section.take("algorithm", one_of(*ALGORITHMS), default="sha256"),
        "secret_encoding": section.take(
            "secret_encoding", one_of("text", "hex", "base64", "whsec"), default="text"
        ),
        "message": section.take("message", text, default="{body}"),
        "timestamp": section.take("timestamp", _place_or_item, default=""),
        "unit": {"s": 1, "ms": 1000}[section.take("unit", one_of("s", "ms"), default="s")],
        "tolerance": section.take("tolerance", duration, default=300.0),
        "id": section.take("id", _spots) or (),
        "event": section.take("event", _spots) or (),
    }
    refuse_leftovers(section)
    recipe = Recipe(**given)
    _check_message(recipe, value, given_tolerance="tolerance" in section.entries)
    scheme = _signature(name, recipe, value, found)
    return (scheme,) if scheme else ()


def _place(value: Value) -> Place:
    """A header's name, or `payload:/pointer`."""
    found = value.plain
    if not isinstance(found, str) or not found.startswith(PAYLOAD):
        return header_name(value)
    if not pointer.FORM.fullmatch(found.removeprefix(PAYLOAD)) or found == PAYLOAD:
        raise Wrong("a header's name, or a place such as payload:/created/at")
    return found


def _place_or_item(value: Value) -> Place:
    found = value.plain
    if isinstance(found, str) and found.startswith(ITEM) and found != ITEM:
        return found
    return _place(value)


def _spots(value: Value) -> tuple[Place, ...]:
    return (_place(value),)


def _check_message(recipe: Recipe, value: Value, *, given_tolerance: bool) -> None:
    """A message that leaves out what it should cover would be believed for nothing."""
    for name in re.findall(r"\{([^}]*)\}", recipe.message):
        if name not in ("body", "timestamp", "id"):
            value.complain(f"message may hold {{body}}, {{timestamp}} and {{id}}, not {{{name}}}")
    if "{body}" not in recipe.message:
        value.complain("message must hold {body}, or anything could be posted with it")
    for name, place in (("timestamp", recipe.timestamp), ("id", recipe.id)):
        if f"{{{name}}}" in recipe.message and not place:
            value.complain(f"message holds {{{name}}}, so {name!r} must name its header")
    if given_tolerance and not recipe.timestamp:
        value.complain("tolerance needs a timestamp, to say how far away it may be")
    if recipe.separator and recipe.separator in recipe.prefix:
        value.complain(f"prefix holds {show(recipe.separator)}, at which the header is parted")
    if recipe.timestamp.startswith(ITEM) and not recipe.separator:
        value.complain("timestamp is an item of the header, so separator must say what parts them")
    in_body = recipe.timestamp.startswith(PAYLOAD)
    if recipe.timestamp and "{timestamp}" not in recipe.message and not in_body:
        value.complain(
            "timestamp is not part of what is signed, so it proves nothing; "
            "add {timestamp} to message as your sender does, or leave timestamp out"
        )
    if recipe.id and recipe.timestamp and not recipe.names.id:
        value.complain(
            "id is not part of what is signed, so whoever replays a delivery could change it; "
            "add {id} to message as your sender does, name a place of the payload such as "
            "payload:/id, or leave id out"
        )


def _bearer(name: str, sender: Sender, value: Value) -> tuple[Made, ...]:
    return (credential.Bearer(raw(_secrets_alone(value, "value"))),)


def _secrets_alone(value: Value, name: str) -> tuple[str, ...]:
    """The secrets of a scheme that has no other setting: as its value, or by that name."""
    if not isinstance(value.plain, dict):
        return secrets(value)
    section = value.section()
    found = words(section, name)
    refuse_leftovers(section)
    return found


def _token(name: str, sender: Sender, value: Value) -> tuple[Made, ...]:
    section = mapping(value, "{token: {header: X-Token, value: $MY_TOKEN}}")
    if section is None:
        return ()
    found = words(section, "value")
    header = section.take("header", header_name, default="")
    query = section.take("query", text, default="")
    refuse_leftovers(section)
    if bool(header) == bool(query):
        value.complain("token needs either header: X-Token or query: token, to say where it is")
        return ()
    return (credential.Token(raw(found), header=header, query=query),)


def _basic(name: str, sender: Sender, value: Value) -> tuple[Made, ...]:
    section = mapping(value, "{basic: {user: me, password: $MY_PASSWORD}}")
    if section is None:
        return ()
    found = words(section, "password")
    user = section.require("user", _user) or ""
    refuse_leftovers(section)
    return (credential.Basic(raw(found), user=user),)


def _twilio(name: str, sender: Sender, value: Value) -> tuple[Made, ...]:
    from hookrunner.auth.twilio import Twilio  # few hooks need it, and all must start

    section = mapping(value, sender.example)
    if section is None:
        return ()
    found = words(section, "secret")
    _note_shown(name, sender, section.find("secret"))
    url = section.require("url", _url, 'write url: "https://YOUR-APP.herokuapp.com"')
    refuse_leftovers(section)
    names = Names(
        ("i-twilio-idempotency-token",), ("payload:/MessageStatus", "payload:/CallStatus")
    )
    return (Twilio(raw(found), url or "", names=names),)


def _url(value: Value) -> str:
    found = text(value)
    if "YOUR-APP" in found:
        raise Wrong("the address of your own app")
    if not _is_url(found):
        raise Wrong("an address such as https://example.com/sms, without a query")
    return found


def _is_url(found: str) -> bool:
    try:
        parts = urlsplit(found)
        whole = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(whole) and not parts.query and not parts.fragment


def _sns(name: str, sender: Sender, value: Value) -> tuple[Made, ...]:
    from hookrunner.auth.sns import TOLERANCE, Sns  # few hooks need it, and all must start

    section = mapping(value, sender.example)
    if section is None:
        return ()
    topics = section.require(
        "topics",
        list_of(_arn, "a list of topics' ARNs"),
        'write topics: ["arn:aws:sns:REGION:ACCOUNT:NAME"]',
    )
    tolerance = section.take("tolerance", duration, default=TOLERANCE)
    refuse_leftovers(section)
    if topics == () and section.entries["topics"][1].plain == []:
        value.complain("aws-sns believes only the topics that it names; name one")
    if not publickey.installed():
        value.complain(f"{name} {publickey.LACKING}")
    names = Names(("payload:/MessageId",), ("payload:/Subject",))
    scheme = Sns(topics=topics or (), tolerance=tolerance, names=names)
    return (scheme,)


def _arn(value: Value) -> str:
    from hookrunner.auth.sns import ARN  # few hooks need it, and all must start

    found = text(value)
    if named := VARIABLE.fullmatch(found):
        found = value.source.variable(named[1])
        if not found:
            return ""  # the hook is switched off
    if not ARN.fullmatch(found):
        raise Wrong("a topic's ARN such as arn:aws:sns:eu-central-1:123456789012:orders")
    return found


def _graph(name: str, sender: Sender, value: Value) -> tuple[Made, ...]:
    from hookrunner.auth.graph import ClientState  # few hooks need it, and all must start

    names = Names((), ("payload:/value/0/changeType",))
    return (ClientState(raw(_secrets_alone(value, "secret")), names=names),)


def _ip(name: str, sender: Sender, value: Value) -> tuple[Made, ...]:
    found = value.read(networks)
    return (Allowed(networks=found),) if found else ()


BUILDERS: Mapping[str, Callable[[str, Sender, Value], tuple[Made, ...]]] = {
    "hmac": _hmac,
    "bearer": _bearer,
    "token": _token,
    "basic": _basic,
    "twilio": _twilio,
    "aws-sns": _sns,
    "microsoft-graph": _graph,
    "ip": _ip,
}
"""How the schemes are made whose entry in the table has no ways."""


def _user(value: Value) -> str:
    found = text(value)
    if ":" in found:
        raise Wrong("text without ':'")
    return found
