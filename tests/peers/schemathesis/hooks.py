"""What callers of the API know of their idempotency keys, and a generator of requests does not."""

import hashlib
import json
import re

import schemathesis

KEY = re.compile("[!-~]{1,255}")
# The call that each key was first used for.
OWNERS = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Leaves a key to the call that had it first.

    The same key for another call is refused (422, as draft-ietf-httpapi-idempotency-key-header has it, and tests/api.rs checks it), but
    no schema of a single request can say so: for Schemathesis it would be valid data that is not accepted. The same call with the same
    key goes out as it is, so that answers are replayed, and so do keys that are none.
    """
    key = (case.headers or {}).get("Idempotency-Key")
    if not isinstance(key, str) or not KEY.fullmatch(key):
        return
    call = f"{case.method} {case.path} {json.dumps(case.body, default=repr)}"
    if OWNERS.setdefault(key, call) == call:
        return
    digest = hashlib.sha256(f"{key} {call}".encode()).hexdigest()
    # As long as it was, where that leaves room for the digest.
    other = (digest + key)[: max(len(key), len(digest))]
    OWNERS[other] = call
    case.headers["Idempotency-Key"] = other
