"""`announcements.yaml`: who is told, how, and nothing secret written out."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.announcements import Announcements, load_announcements
from config.settings import SHIPPED_CONFIG_DIR
from registration_core.errors import ConfigurationError

GOOD = """\
expiring_days: [3, 30]
channels:
  partners: {kind: email, audience: partner, url: "${MAIL}", sender: deals@vendor.example}
  staff: {kind: webhook, audience: staff, url: "${HOOK}", secret: "${KEY}", body: teams}
"""
VARIABLES = {"MAIL": "smtp://mail.example", "HOOK": "https://hook.example", "KEY": "hunter2"}


def load(folder: Path, text: str, variables: dict[str, str] | None = None) -> Announcements:
    (folder / "announcements.yaml").write_text(text)
    return load_announcements(folder, VARIABLES if variables is None else variables)


def problems(folder: Path, text: str, variables: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(folder, text, variables)
    assert "hunter2" not in str(raised.value)
    return [str(problem) for problem in raised.value.problems]


def test_channels_are_read_and_their_secrets_stay_out_of_sight(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD)
    assert found.expiring_days == (3, 30)
    mail, hook = found.channels
    assert (mail.name, mail.url, hook.secret) == ("partners", "smtp://mail.example", "hunter2")
    assert "hunter2" not in repr(found)
    assert "mail.example" not in repr(mail)


def test_without_the_file_and_as_shipped_nobody_is_told(tmp_path: Path) -> None:
    assert load_announcements(tmp_path, {}) == Announcements()
    assert load_announcements(SHIPPED_CONFIG_DIR, {}).channels == ()


def test_a_secret_that_is_written_out_is_refused_with_its_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD.replace("${KEY}", "hunter2"))
    assert problem.startswith("announcements.yaml:4: channels.staff.secret:")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    text = GOOD.replace(", sender: deals@vendor.example", "").replace(', secret: "${KEY}"', "")
    assert [p.split(": ")[1] for p in problems(tmp_path, text)] == [
        "channels.partners.sender", "channels.staff.secret",
    ]  # fmt: skip
    assert "url: it is no such address" in problems(tmp_path, GOOD, {**VARIABLES, "MAIL": "x"})[0]
    unset = problems(tmp_path, GOOD, {"HOOK": "x", "KEY": "y"})
    assert "variable MAIL is not set" in unset[0]


@pytest.mark.parametrize("wrong", ["deals", "deals@[vendor.example", "a@x.example, b@x.example"])
def test_an_address_that_no_mail_can_carry_is_refused(tmp_path: Path, wrong: str) -> None:
    text = GOOD.replace("sender: deals@vendor.example", f"sender: '{wrong}', to: '{wrong}'")
    assert [p.split(": ", 1)[1] for p in problems(tmp_path, text)] == [
        "channels.partners.sender: it is no single, plain e-mail address (say whom it is from)",
        "channels.partners.to: it is no single, plain e-mail address (say whom it goes to)",
    ]
