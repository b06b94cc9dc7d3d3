"""Whether two records are the same organisation, one of its family, or another one.

`score_names` compares two names; `Matcher(accounts).match(customer)` finds the accounts of a
customer. Both take plain values and need no database.
"""

from registration_core.matching.domains import SHARED_DOMAINS, domain_of
from registration_core.matching.evidence import Evidence, score_names
from registration_core.matching.folding import fold_id, fold_name
from registration_core.matching.keys import (
    MATCHER_VERSION,
    Match,
    account_keys,
    compare,
    customer_keys,
    match_account,
    match_keys,
    match_organisation,
    relation_by_parent,
)
from registration_core.matching.matcher import (
    FAMILY_MAX,
    MatchBand,
    Matcher,
    OrganisationMatch,
    Relation,
    judge,
)
from registration_core.matching.organisation import (
    Organisation,
    account_of_customer,
    of_account,
    of_customer,
)
from registration_core.model import MatchKey

__all__ = [
    "FAMILY_MAX",
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
    "account_of_customer",
    "compare",
    "customer_keys",
    "domain_of",
    "fold_id",
    "fold_name",
    "judge",
    "match_account",
    "match_keys",
    "match_organisation",
    "of_account",
    "of_customer",
    "relation_by_parent",
    "score_names",
]
