"""What a client that speaks the Query protocol sees: Debian's boto3 makes all of ../boto3/checks.py, and then what is
the protocol's own."""
import pathlib
import sys
import urllib.error
import urllib.request
import xml.etree.ElementTree as xml

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "boto3"))

import tap
from checks import equal, errors, new_queue, receive, refused, sqs

NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


def fetched(url):
    """The status and the root element of what GET answers."""
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, xml.fromstring(answer.read())
    except urllib.error.HTTPError as e:
        return e.code, xml.fromstring(e.read())


@tap.check
def this_client_speaks_query():
    equal(sqs.meta.service_model.metadata["protocol"], "query")


@tap.check
def a_missing_queue_has_the_older_protocol_s_words():
    equal(refused(errors.QueueDoesNotExist, sqs.get_queue_url, QueueName="no-such-queue"),
          "The specified queue does not exist for this wsdl version.")
    try:
        sqs.get_queue_url(QueueName="no-such-queue")
    except errors.QueueDoesNotExist as e:
        equal((e.response["Error"]["Type"], e.response["ResponseMetadata"]["HTTPStatusCode"]), ("Sender", 400))
        assert e.response["ResponseMetadata"]["RequestId"], e.response


@tap.check
def a_presigned_url_is_a_call_for_anybody():
    url = new_queue("presigned")
    call = sqs.generate_presigned_url("send_message", HttpMethod="GET", Params={
        "QueueUrl": url, "MessageBody": "a <b> & \u00e9+%"})
    status, answer = fetched(call)
    equal((status, answer.tag), (200, NAMESPACE + "SendMessageResponse"))
    message, = receive(url)
    equal((message["Body"], message["MessageId"]), ("a <b> & \u00e9+%", answer.find(f".//{NAMESPACE}MessageId").text))
    assert answer.find(f"{NAMESPACE}ResponseMetadata/{NAMESPACE}RequestId").text
    status, answer = fetched(call.replace("MessageBody=a", "MessageBody=b"))
    equal((status, answer.tag), (403, NAMESPACE + "ErrorResponse"))
    equal(answer.find(f".//{NAMESPACE}Code").text, "SignatureDoesNotMatch")


if __name__ == "__main__":
    tap.run()
