"""Whether two records are the same organisation, one of its family, or another one.

`score_names` compares two names; `Matcher(accounts).match(customer)` finds the accounts of a
customer. Both take plain values and need no database.
"""

from registration_core.matching.domains import SHARED_DOMAINS, domain_of
from registration_core.matching.evidence import Evidence, score_names
from registration_core.matching.keys import (
    MATCHER_VERSION,
    Match,
    MatchKey,
    account_keys,
    compare,
    customer_keys,
    fold_id,
    fold_name,
    match_keys,
)
from registration_core.matching.matcher import (
    MatchBand,
    Matcher,
    OrganisationMatch,
    Relation,
    judge,
)
from registration_core.matching.organisation import Organisation

__all__ = [
    "MATCHER_VERSION",
    "SHARED_DOMAINS",
    "Evidence",
    "Match",
    "MatchBand",
    "MatchKey",
    "Matcher",
    "Organisation",
    "OrganisationMatch",
    "Relation",
    "account_keys",
    "compare",
    "customer_keys",
    "domain_of",
    "fold_id",
    "fold_name",
    "judge",
    "match_keys",
    "score_names",
]
