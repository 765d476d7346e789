"""Which database the environment names, and how it is connected to."""

from __future__ import annotations

import pytest

from hookrunner.config import passwords
from hookrunner.journal.where import database, shown
from hookrunner.model import Trouble

FAR = "postgres://u:p@ec2-1.example.com:5432/d"


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, ""),
        ({"JOURNAL_URL": "", "DATABASE_URL": " "}, ""),
        ({"DATABASE_URL": "mysql://u@localhost/d"}, ""),
        ({"DATABASE_URL": "postgres://u@localhost/d"}, "postgresql://u@localhost/d"),
        ({"DATABASE_URL": "postgresql://u@[::1]:5432/d"}, "postgresql://u@[::1]:5432/d"),
        ({"DATABASE_URL": "postgres:///d?host=/run/pg"}, "postgresql:///d?host=/run/pg"),
        ({"DATABASE_URL": FAR}, f"{FAR.replace('postgres', 'postgresql', 1)}?sslmode=require"),
        (
            {"DATABASE_URL": f"{FAR}?application_name=x"},
            f"{FAR.replace('postgres', 'postgresql', 1)}?application_name=x&sslmode=require",
        ),
        (
            {"DATABASE_URL": f"{FAR}?sslmode=verify-full"},
            f"{FAR.replace('postgres', 'postgresql', 1)}?sslmode=verify-full",
        ),
        (
            {"DATABASE_URL": FAR, "PGSSLMODE": "prefer"},
            FAR.replace("postgres", "postgresql", 1),
        ),
        (
            {"JOURNAL_URL": "postgres://j@127.0.0.1/j", "DATABASE_URL": FAR},
            "postgresql://j@127.0.0.1/j",
        ),
        (
            {"DATABASE_URL": "postgres://u:p@ss@h1:5432,h2:5433/d?target_session_attrs=any"},
            "postgresql://u:p%40ss@h1:5432,h2:5433/d?target_session_attrs=any&sslmode=require",
        ),
        (
            {"DATABASE_URL": "postgres://u@localhost:5432,h2/d"},
            "postgresql://u@localhost:5432,h2/d?sslmode=require",
        ),
        (
            {"DATABASE_URL": "postgres:///d?host=localhost,127.0.0.1"},
            "postgresql:///d?host=localhost,127.0.0.1",
        ),
        ({"DATABASE_URL": "postgres:///d?host=far"}, "postgresql:///d?host=far&sslmode=require"),
    ],
)
def test_the_environment_names_a_database(environ: dict[str, str], url: str) -> None:
    assert database(environ) == url


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u@h/d",
        "runs.sqlite",
        "postgres://u:secret@h:port/d",
        "postgres://u:secret@h1:5432,h2:port/d",
        "postgres://u:[secret]@h/d",
        "postgres://u:sec]ret@h/d",
        "host=h password=secret",
    ],
)
def test_a_url_that_is_none_is_told_without_what_may_be_secret(url: str) -> None:
    with pytest.raises(Trouble) as raised:
        database({"JOURNAL_URL": url})

    assert str(raised.value) == (
        "JOURNAL_URL names no PostgreSQL database; "
        "it should look like postgres://USER:PASSWORD@HOST:5432/DATABASE"
    )


def test_a_database_on_several_hosts_is_shown_with_all_of_them() -> None:
    assert shown("postgresql://u:p@h1:5432,h2:5433/d") == "d at h1, h2"


def test_a_password_is_known_wherever_the_url_has_it() -> None:
    assert passwords({"JOURNAL_URL": "postgres://u@h/d?password=s3%2Fcret"}) == {"s3/cret"}
