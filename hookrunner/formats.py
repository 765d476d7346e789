"""What JSON Schema's `format` keyword means here: thirteen names, a check for each.

    fits(name, value) -> CHECKS[name](text) -> True or False

The formats are those of JSON Schema 2020-12, Validation, section 7.3; each check names
the RFC it follows. The texts come from strangers, so a check never raises and takes time
linear in the text. Two habits below keep it so: a repetition that could be tried in many
ways is possessive (`*+`), and every pattern must match the whole text (fullmatch, for `$`
would let a newline through). Digits are written [0-9], because `\\d` takes Bengali ones.

Only the standard library is used, and nothing here knows of jsonschema.
"""

import re
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from ipaddress import IPv6Address
from threading import Lock


def fits(name: str, value: object) -> bool:
    """Say whether `value` may stand where `format: name` is asked for.

    A format speaks of strings only, and one we do not know forbids nothing.
    """
    check = CHECKS.get(name)
    return check is None or not isinstance(value, str) or check(value)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile on first use: most hooks use no format, and none should wait for all."""
    return re.compile(pattern)


# --- dates and times: RFC 3339

DATE = r"([0-9]{4})-(0[1-9]|1[0-2])-([0-9]{2})"
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

HOUR, MINUTE = r"([01][0-9]|2[0-3])", r"([0-5][0-9])"
TIME = (
    rf"{HOUR}:{MINUTE}:([0-5][0-9]|60)(?:\.[0-9]++)?"  # the clock
    rf"(?:[Zz]|([+-]){HOUR}:{MINUTE})"  # how far it is from UTC
)
LAST_MINUTE = 23 * 60 + 59


def is_date(text: str) -> bool:
    """RFC 3339 full-date. Its years begin at 0000, where datetime.date begins at 0001."""
    match = compiled(DATE).fullmatch(text)
    if not match:
        return False
    year, month, day = map(int, match.groups())
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= day <= DAYS[month - 1] + leap


def is_time(text: str) -> bool:
    """RFC 3339 full-time. A second 60 is one added at the end of a day, in UTC."""
    match = compiled(TIME).fullmatch(text)
    if not match:
        return False
    hour, minute, second, sign, ahead_hours, ahead_minutes = match.groups("0")
    if second != "60":
        return True
    local = int(hour) * 60 + int(minute)
    ahead = int(ahead_hours) * 60 + int(ahead_minutes)
    utc = local + ahead if sign == "-" else local - ahead
    return utc % (24 * 60) == LAST_MINUTE


def is_date_time(text: str) -> bool:
    """RFC 3339 date-time. Which days had a leap second is not looked up."""
    return is_date(text[:10]) and text[10:11] in ("T", "t") and is_time(text[11:])


# --- durations: RFC 3339, appendix A, rule by rule
#
# The RFC lets no unit be skipped between two others, as ISO 8601 does: P1Y2D and PT1H2S
# are refused, P1Y0M2D and PT1H0M2S are how to say it.

DUR_SECOND = r"[0-9]++S"
DUR_MINUTE = rf"[0-9]++M(?:{DUR_SECOND})?"
DUR_HOUR = rf"[0-9]++H(?:{DUR_MINUTE})?"
DUR_TIME = rf"T(?:{DUR_HOUR}|{DUR_MINUTE}|{DUR_SECOND})"
DUR_DAY = r"[0-9]++D"
DUR_WEEK = r"[0-9]++W"
DUR_MONTH = rf"[0-9]++M(?:{DUR_DAY})?"
DUR_YEAR = rf"[0-9]++Y(?:{DUR_MONTH})?"
DUR_DATE = rf"(?:{DUR_DAY}|{DUR_MONTH}|{DUR_YEAR})(?:{DUR_TIME})?"
DURATION = rf"P(?:{DUR_DATE}|{DUR_TIME}|{DUR_WEEK})"


def is_duration(text: str) -> bool:
    """RFC 3339 appendix A `duration`, in capitals as ISO 8601 writes it."""
    return compiled(DURATION).fullmatch(text) is not None


# --- hosts and addresses

LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOSTNAME = rf"{LABEL}(?:\.{LABEL})*"
LONGEST_HOSTNAME = 253  # RFC 1035 allows 255 octets on the wire, two of them not text

OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = rf"{OCTET}(?:\.{OCTET}){{3}}"


def is_hostname(text: str) -> bool:
    """RFC 1123 section 2.1: letters, digits and inner hyphens; no dot at the end."""
    return len(text) <= LONGEST_HOSTNAME and compiled(HOSTNAME).fullmatch(text) is not None


def is_ipv4(text: str) -> bool:
    """RFC 2673 section 3.2 dotted-quad. A leading zero is refused: some read it as octal."""
    return compiled(IPV4).fullmatch(text) is not None


def is_ipv6(text: str) -> bool:
    """RFC 4291 section 2.2. A zone id (`%eth0`) is RFC 4007's, and means us, not them."""
    if "%" in text:
        return False
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


# --- mail: RFC 5321, section 4.1.2

ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]++"
QUOTED = r"[ !#-\[\]-~]*+"
# Loops of single characters with rare turns in between, so that a long text fills no stack.
LOCAL_PART = rf'(?:{ATOM}(?:\.{ATOM})*|"{QUOTED}(?:\\[ -~]{QUOTED})*")'


def is_email(text: str) -> bool:
    """RFC 5321 Mailbox, in ASCII.

    The local part may exceed the RFC's 64 octets, for return paths in use do.
    """
    local, _, domain = text.rpartition("@")
    return compiled(LOCAL_PART).fullmatch(local) is not None and is_mail_domain(domain)


def is_mail_domain(text: str) -> bool:
    """A host name, or an address in brackets; no other tag than IPv6 is registered."""
    if not (text.startswith("[") and text.endswith("]")):
        return is_hostname(text)
    address = text[1:-1]
    if address[:5].lower() == "ipv6:":
        return is_ipv6(address[5:])
    return is_ipv4(address)


# --- URIs: RFC 3986, appendix A
#
# The pattern cuts where appendix B does, and lets into each part only what may stand there.
# No two neighbouring parts can share a character, so there is one way to cut, tried once.

PLAIN = r"A-Za-z0-9\-._~!$&'()*+,;="  # unreserved and sub-delims
NAME = PLAIN + "%"  # reg-name
PCHAR = NAME + ":@"
URI = (
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*+):)?"
    rf"(?://(?P<authority>[{PCHAR}\[\]]*+))?"
    rf"(?P<path>[{PCHAR}/]*+)"
    rf"(?:\?[{PCHAR}/?]*+)?"
    rf"(?:#[{PCHAR}/?]*+)?"
)
AUTHORITY = rf"(?:[{NAME}:]*+@)?(?:\[(?P<address>[^\]]*+)\]|[{NAME}]*+)(?::[0-9]*+)?"
IPVFUTURE = rf"[Vv][0-9A-Fa-f]++\.[{PLAIN}:]++"
BROKEN_PERCENT = r"%(?![0-9A-Fa-f]{2})"


def is_uri(text: str) -> bool:
    """RFC 3986 URI: it has a scheme."""
    match = match_uri(text)
    return match is not None and match["scheme"] is not None


def is_uri_reference(text: str) -> bool:
    """RFC 3986 URI-reference: a URI, or what is resolved against one."""
    return match_uri(text) is not None


def match_uri(text: str) -> re.Match[str] | None:
    """Cut a URI-reference into its parts; None if it is none."""
    match = compiled(URI).fullmatch(text)
    if not match or compiled(BROKEN_PERCENT).search(text):
        return None
    scheme, authority, path = match.group("scheme", "authority", "path")
    if authority is not None:
        return match if is_authority(authority) else None
    # Without a scheme, a colon in the first segment would be read as the end of one.
    return match if scheme is not None or ":" not in path.partition("/")[0] else None


def is_authority(text: str) -> bool:
    """RFC 3986 section 3.2: who, where (a name or a bracketed address), which port."""
    match = compiled(AUTHORITY).fullmatch(text)
    if not match:
        return False
    address = match["address"]
    return address is None or is_ipv6(address) or bool(compiled(IPVFUTURE).fullmatch(address))


# --- the rest

UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
BROKEN_TILDE = r"~(?![01])"

# What Python's re would take and ECMA 262 does not: \Z, \a, and flags such as (?i). Flags
# are also dear: under (?i) re spends 4 ms on each [!-\uffff], so the 2,000 of them that fit
# below would hold a worker for 8 seconds. Sets are read whole, for in [(?a] no flag is set.
ESCAPE = r"\\[^Za]"
FLAG = r"\?[aiLmsux-]"
PORTABLE = rf"(?:[^\\(\[]|{ESCAPE}|\((?!{FLAG})|\[\^?+\]?+(?:[^\\\]]|{ESCAPE})*\])*"
# Room for the longest in use (a full RFC 5322 address has 6,400), at most 0.1 seconds of
# compiling; and re keeps the last 512 it compiled, which strangers should not fill at will.
LONGEST_REGEX = 10_000
# Two threads inside catch_warnings would each put back what the other had set.
QUIET = Lock()


def is_uuid(text: str) -> bool:
    """RFC 4122 section 3, any version; uuid.UUID would take braces and forget hyphens."""
    return compiled(UUID).fullmatch(text) is not None


def is_json_pointer(text: str) -> bool:
    """RFC 6901 section 3: any character may occur, newline and NUL too, but no lone `~`."""
    return text[:1] in ("", "/") and compiled(BROKEN_TILDE).search(text) is None


def is_regex(text: str) -> bool:
    """ECMA 262 as far as Python's re goes, up to LONGEST_REGEX characters."""
    if len(text) > LONGEST_REGEX or not compiled(PORTABLE).fullmatch(text):
        return False
    try:
        # re warns of sets such as [[a], which Python may read otherwise one day.
        with QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, ValueError, OverflowError, RecursionError):
        return False  # not only re.error: a{9...9} overflows, and a thousand ( recurse
    return True


CHECKS: Mapping[str, Callable[[str], bool]] = {
    "date": is_date,
    "date-time": is_date_time,
    "duration": is_duration,
    "email": is_email,
    "hostname": is_hostname,
    "ipv4": is_ipv4,
    "ipv6": is_ipv6,
    "json-pointer": is_json_pointer,
    "regex": is_regex,
    "time": is_time,
    "uri": is_uri,
    "uri-reference": is_uri_reference,
    "uuid": is_uuid,
}
