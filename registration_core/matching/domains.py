"""What a website or e-mail domain says: whose it is, and whether many share it."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList

#: Mail, hosting and social domains that many organisations share; they identify nobody.
SHARED_DOMAINS = frozenset(
    "163.com 126.com aol.com att.net bigpond.com bluewin.ch btinternet.com comcast.net cox.net "
    "earthlink.net free.fr freenet.de gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net googlemail.com "
    "hinet.net hotmail.co.uk hotmail.com icloud.com laposte.net libero.it live.co.uk live.com "
    "mac.com mail.com mail.ru me.com msn.com naver.com orange.fr outlook.com proton.me "
    "protonmail.com qq.com rediffmail.com sina.com t-online.de tiscali.it verizon.net wanadoo.fr "
    "web.de yahoo.co.jp yahoo.co.uk yahoo.com yandex.com yandex.ru zoho.com azurewebsites.net "
    "blogspot.com github.io herokuapp.com onmicrosoft.com wixsite.com wordpress.com facebook.com "
    "instagram.com linkedin.com twitter.com x.com xing.com".split()
)

_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_PUBLIC_BODY = re.compile(
    r"\.(edu|gov|mil|int)(\.[a-z]{2})?$|\.(ac|gob|gouv|gv|go|govt|nhs)\.[a-z]{2}$"
)
_SUFFIXES = PublicSuffixList()


class DomainClass(StrEnum):
    """How many organisations stand behind one domain."""

    CORPORATE = "corporate"
    #: Universities and public bodies, where many units and guests share a domain.
    PUBLIC_BODY = "public_body"
    #: Free mail, hosting, social networks.
    SHARED = "shared"


@lru_cache(maxsize=65536)
def domain_of(website_or_email: str) -> str:
    """Return the host of a website or e-mail address without `www.`; '' if shared or none.

    International names are given in the form that DNS uses, `xn--…`.
    """
    text = website_or_email.strip().casefold()
    try:
        # An e-mail address is a host with a user in front, as far as a URL is concerned.
        host = urlsplit(text if re.match("([a-z]+:)?//", text) else f"//{text}").hostname or ""
        host = re.sub(r"^(www\.)+", "", host.rstrip(".").encode("idna").decode())
    except ValueError:  # a website field is free text, for example an open bracket
        return ""
    return host if _HOST.fullmatch(host) and host not in SHARED_DOMAINS else ""


@lru_cache(maxsize=65536)
def owned_domain(website_or_email: str) -> str:
    """Return the part of a domain that somebody registered (`eu.acme.co.uk` → `acme.co.uk`)."""
    host = domain_of(website_or_email[:300])
    owned = _SUFFIXES.privatesuffix(host) if host else None
    return "" if owned is None or owned in SHARED_DOMAINS else owned


def domain_class(domain: str) -> DomainClass:
    """Return how many organisations stand behind a domain."""
    if domain in SHARED_DOMAINS:
        return DomainClass.SHARED
    return DomainClass.PUBLIC_BODY if _PUBLIC_BODY.search(domain) else DomainClass.CORPORATE


def label_of(domain: str) -> str:
    """Return the name-like part of an owned domain: `acme` of `acme.co.uk`."""
    return domain.partition(".")[0].replace("-", "")
