"""Signs again with botocore what test_signatures.c signed: one JSON object a line. Prints what differs."""
import json
import sys

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def authorization(r):
    kind = S3SigV4Auth if r["service"] == "s3" else SigV4Auth
    signer = kind(Credentials(r["id"], r["secret"], r["token"] or None), r["service"], r["region"])
    url = "http://host" + r["path"] + ("?" + r["query"] if r["query"] else "")
    request = AWSRequest(method=r["method"], url=url, data=r["body"].encode())
    for name, value in r["headers"]:
        request.headers.add_header(name, value)
    request.context["timestamp"] = r["date"]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    names = signer.signed_headers(signer.headers_to_sign(request))
    return "AWS4-HMAC-SHA256 Credential=%s, SignedHeaders=%s, Signature=%s" % (
        signer.scope(request),
        names,
        signer.signature(text, request),
    )


compared = different = 0
with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        r = json.loads(line)
        theirs = authorization(r)
        compared += 1
        if theirs != r["authorization"]:
            different += 1
            print(line.strip(), "\nbotocore:", theirs, file=sys.stderr)
print(compared, "compared,", different, "different")
