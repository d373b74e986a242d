"""What boto3, unmodified, sees of fanout-local's SQS, a function for each thing. ../query/checks_query.py runs them
again with a boto3 that speaks the Query protocol. Endpoint, credentials and region come from the environment."""
import hashlib
import json
import os
import threading
import time

import boto3
from botocore.exceptions import ClientError

import tap

endpoint = os.environ["AWS_ENDPOINT_URL"]  # where boto3 looks itself since 1.28
sqs = boto3.client("sqs", endpoint_url=endpoint)
errors = sqs.exceptions


# ---- what the checks are written with --------------------------------------------------------------------------------

def new_queue(name, **attributes):
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def attributes_of(url, *names):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names) or ["All"])["Attributes"]


def arn_of(url):
    return attributes_of(url, "QueueArn")["QueueArn"]


def counts_of(url):
    """Messages that are visible, in flight, delayed."""
    all_of_it = attributes_of(url)
    return tuple(int(all_of_it["ApproximateNumberOfMessages" + kind]) for kind in ("", "NotVisible", "Delayed"))


def send(url, body, **options):
    return sqs.send_message(QueueUrl=url, MessageBody=body, **options)


def receive(url, **options):
    options = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10, **options}
    return sqs.receive_message(QueueUrl=url, **options).get("Messages", [])


def delete(url, message):
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def bodies(messages):
    return [message["Body"] for message in messages]


def equal(got, expected):
    assert got == expected, f"{got!r}, not {expected!r}"


def refused(as_what, call, **arguments):
    """The call must raise that class of the client's, or a ClientError with that code. Returns what the error says."""
    expected = ClientError if isinstance(as_what, str) else as_what
    try:
        call(**arguments)
    except expected as e:
        if isinstance(as_what, str):
            equal(e.response["Error"]["Code"], as_what)
        return e.response["Error"]["Message"]
    raise AssertionError(f"not refused: {as_what}")


def until(what, seconds=20):
    """The first true value that what() returns."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it never came about")


# ---- queues ----------------------------------------------------------------------------------------------------------

@tap.check
def a_queue_is_made_found_and_deleted():
    url = new_queue("found", VisibilityTimeout="45")
    assert url.endswith("/000000000000/found"), url
    equal(sqs.get_queue_url(QueueName="found")["QueueUrl"], url)
    equal(new_queue("found", VisibilityTimeout="45"), url)
    refused(errors.QueueNameExists, new_queue, name="found", VisibilityTimeout="46")
    sqs.delete_queue(QueueUrl=url)
    refused(errors.QueueDoesNotExist, sqs.get_queue_url, QueueName="found")
    refused(errors.QueueDoesNotExist, send, url=url, body="too late")
    refused(errors.QueueDeletedRecently, new_queue, name="found")


@tap.check
def queue_attributes_are_set_and_read():
    url = new_queue("attributes", DelaySeconds="3")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*"}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={
        "VisibilityTimeout": "45", "MessageRetentionPeriod": "3600", "ReceiveMessageWaitTimeSeconds": "2",
        "Policy": json.dumps(policy)})
    got = attributes_of(url)
    equal({name: got[name] for name in ("DelaySeconds", "VisibilityTimeout", "MessageRetentionPeriod",
                                        "ReceiveMessageWaitTimeSeconds", "QueueArn")},
          {"DelaySeconds": "3", "VisibilityTimeout": "45", "MessageRetentionPeriod": "3600",
           "ReceiveMessageWaitTimeSeconds": "2", "QueueArn": "arn:aws:sqs:us-east-1:000000000000:attributes"})
    equal(json.loads(got["Policy"]), policy)
    assert int(got["CreatedTimestamp"]) <= int(got["LastModifiedTimestamp"]) <= time.time() + 1, got
    equal(attributes_of(url, "VisibilityTimeout"), {"VisibilityTimeout": "45"})


@tap.check
def queues_are_listed_page_by_page():
    urls = [new_queue(f"page-{i}") for i in range(5)]
    pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix="page-", PaginationConfig={"PageSize": 2})
    pages = [page.get("QueueUrls", []) for page in pages]
    equal([len(page) for page in pages], [2, 2, 1])
    equal(sorted(sum(pages, [])), urls)
    equal(sorted(sqs.list_queues(QueueNamePrefix="page-")["QueueUrls"]), urls)
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="no-such-")


@tap.check
def tags_are_kept():
    url = sqs.create_queue(QueueName="tags", tags={"team": "a", "stage": "test"})["QueueUrl"]
    sqs.tag_queue(QueueUrl=url, Tags={"team": "b", "empty": ""})
    sqs.untag_queue(QueueUrl=url, TagKeys=["stage", "no such"])
    equal(sqs.list_queue_tags(QueueUrl=url)["Tags"], {"team": "b", "empty": ""})
    sqs.untag_queue(QueueUrl=url, TagKeys=["team", "empty"])
    assert not sqs.list_queue_tags(QueueUrl=url).get("Tags")


@tap.check
def permissions_become_a_policy():
    url = new_queue("permissions")
    sqs.add_permission(QueueUrl=url, Label="writers", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
    statement, = json.loads(attributes_of(url, "Policy")["Policy"])["Statement"]
    equal((statement["Sid"], statement["Effect"], statement["Resource"]), ("writers", "Allow", arn_of(url)))
    assert "111111111111" in json.dumps(statement["Principal"]), statement
    assert "SendMessage" in json.dumps(statement["Action"]), statement
    refused("InvalidParameterValue", sqs.add_permission, QueueUrl=url, Label="writers",
            AWSAccountIds=["111111111111"], Actions=["SendMessage"])
    sqs.remove_permission(QueueUrl=url, Label="writers")
    assert not attributes_of(url).get("Policy")


# ---- messages --------------------------------------------------------------------------------------------------------

@tap.check
def a_message_is_sent_received_and_deleted():
    url = new_queue("messages")
    body = 'caf\u00e9 "quoted" <&> \t\r\n \U0001f600'
    sent = send(url, body)
    equal(sent["MD5OfMessageBody"], hashlib.md5(body.encode()).hexdigest())
    equal(counts_of(url), (1, 0, 0))
    message, = receive(url)
    equal((message["MessageId"], message["Body"]), (sent["MessageId"], body))
    equal(message["MD5OfBody"], sent["MD5OfMessageBody"])
    equal(message["Attributes"]["ApproximateReceiveCount"], "1")
    assert {"SenderId", "SentTimestamp", "ApproximateFirstReceiveTimestamp"} <= set(message["Attributes"]), message
    equal(counts_of(url), (0, 1, 0))
    equal(receive(url), [])
    delete(url, message)
    delete(url, message)
    equal(counts_of(url), (0, 0, 0))


@tap.check
def message_attributes_come_back_binary_too():
    url = new_queue("message-attributes")
    attributes = {
        "text": {"DataType": "String", "StringValue": "\u00e9 & <b>"},
        "number": {"DataType": "Number", "StringValue": "-12.5"},
        "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
        "app.text": {"DataType": "String.custom", "StringValue": "1"},
        "app.bytes": {"DataType": "Binary.gif", "BinaryValue": b"GIF89a\x00"},
    }
    sent = send(url, "body", MessageAttributes=attributes, MessageSystemAttributes={
        "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}})
    assert "MD5OfMessageSystemAttributes" in sent, sent
    message, = receive(url, VisibilityTimeout=0)
    equal(message["MessageAttributes"], attributes)
    equal(message["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"])
    equal(message["Attributes"]["AWSTraceHeader"], "Root=1-5759e988-bd862e3fe1be46a994272793")
    message, = receive(url, VisibilityTimeout=0, MessageAttributeNames=["app.*", "number"])
    equal(set(message["MessageAttributes"]), {"app.text", "app.bytes", "number"})
    message, = sqs.receive_message(QueueUrl=url)["Messages"]
    assert not {"MessageAttributes", "MD5OfMessageAttributes", "Attributes"} & set(message), message


@tap.check
def a_batch_says_what_was_done_and_what_failed():
    url = new_queue("batches")
    number = [{"n": {"DataType": "Number", "StringValue": str(i)}} for i in range(9)]
    answer = sqs.send_message_batch(QueueUrl=url, Entries=[
        {"Id": str(i), "MessageBody": f"body {i}", "MessageAttributes": number[i]} for i in range(9)
    ] + [{"Id": "late", "MessageBody": "late", "DelaySeconds": 901}])
    equal([entry["Id"] for entry in answer["Successful"]], [str(i) for i in range(9)])
    failed, = answer["Failed"]
    equal((failed["Id"], failed["Code"], failed["SenderFault"]), ("late", "InvalidParameterValue", True))
    messages = until(lambda got=[]: got.extend(receive(url)) or len(got) == 9 and got)
    equal(sorted(bodies(messages)), [f"body {i}" for i in range(9)])
    for message in messages:
        equal(message["Body"], "body " + message["MessageAttributes"]["n"]["StringValue"])
    answer = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[
        {"Id": "a", "ReceiptHandle": messages[0]["ReceiptHandle"], "VisibilityTimeout": 0},
        {"Id": "b", "ReceiptHandle": "no handle", "VisibilityTimeout": 0}])
    equal(([e["Id"] for e in answer["Successful"]], [e["Code"] for e in answer["Failed"]]),
          (["a"], ["ReceiptHandleIsInvalid"]))
    messages[0], = receive(url)
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=[
        {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"]} for i, message in enumerate(messages)])
    equal((len(answer["Successful"]), "Failed" in answer), (9, False))
    equal(counts_of(url), (0, 0, 0))


@tap.check
def visibility_is_changed():
    url = new_queue("visibility", VisibilityTimeout="30")
    send(url, "body")
    first, = receive(url)
    equal(receive(url), [])
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    again, = receive(url)
    equal((again["MessageId"], again["Attributes"]["ApproximateReceiveCount"]), (first["MessageId"], "2"))
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=600)
    delete(url, again)
    refused("InvalidParameterValue", sqs.change_message_visibility, QueueUrl=url,
            ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=0)


@tap.check
def a_long_poll_ends_when_there_is_a_message():
    url = new_queue("long-polls")
    began = time.monotonic()
    equal(receive(url, WaitTimeSeconds=1), [])
    assert time.monotonic() - began > 0.9
    threading.Timer(0.3, send, (url, "sent meanwhile")).start()
    began = time.monotonic()
    message, = receive(url, WaitTimeSeconds=20)
    assert 0.2 < time.monotonic() - began < 10
    equal(message["Body"], "sent meanwhile")
    send(url, "delayed", DelaySeconds=1)
    equal(counts_of(url), (0, 1, 1))
    began = time.monotonic()
    equal(bodies(receive(url, WaitTimeSeconds=20)), ["delayed"])
    assert time.monotonic() - began < 10


@tap.check
def a_purge_empties_a_queue_once_a_minute():
    url = new_queue("purged")
    for _ in range(3):
        send(url, "body")
    receive(url, MaxNumberOfMessages=1)
    sqs.purge_queue(QueueUrl=url)
    equal(counts_of(url), (0, 0, 0))
    equal(refused(errors.PurgeQueueInProgress, sqs.purge_queue, QueueUrl=url),
          "Only one PurgeQueue operation on purged is allowed every 60 seconds.")


# ---- FIFO ------------------------------------------------------------------------------------------------------------

@tap.check
def a_fifo_queue_keeps_its_groups_in_order():
    url = new_queue("order.fifo", FifoQueue="true")
    sent = [send(url, body, MessageGroupId=body[0], MessageDeduplicationId=body) for body in ("a1", "a2", "b1")]
    numbers = [int(one["SequenceNumber"]) for one in sent]
    assert numbers[0] < numbers[1], numbers
    first, = receive(url, MaxNumberOfMessages=1)
    equal((first["Body"], first["Attributes"]["MessageGroupId"], first["Attributes"]["MessageDeduplicationId"],
           first["Attributes"]["SequenceNumber"]), ("a1", "a", "a1", sent[0]["SequenceNumber"]))
    other, = receive(url)
    equal(other["Body"], "b1")
    equal(receive(url), [])
    delete(url, first)
    equal(bodies(receive(url)), ["a2"])


@tap.check
def a_fifo_queue_takes_a_message_once():
    url = new_queue("once.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    send(url, "body", MessageGroupId="g")
    send(url, "body", MessageGroupId="g")
    send(url, "another body", MessageGroupId="g", MessageDeduplicationId=hashlib.sha256(b"body").hexdigest())
    message, = receive(url)
    equal(message["Attributes"]["MessageDeduplicationId"], hashlib.sha256(b"body").hexdigest())
    delete(url, message)
    send(url, "body", MessageGroupId="g")
    equal(counts_of(url), (0, 0, 0))
    answer = sqs.send_message_batch(QueueUrl=url, Entries=[
        {"Id": "a", "MessageBody": "1", "MessageGroupId": "g"}, {"Id": "b", "MessageBody": "2", "MessageGroupId": "g"}])
    assert all(int(entry["SequenceNumber"]) for entry in answer["Successful"]), answer
    equal(bodies(receive(url)), ["1", "2"])
    plain = new_queue("by-id.fifo", FifoQueue="true")
    refused("MissingParameter", send, url=plain, body="no group", MessageDeduplicationId="1")
    refused("InvalidParameterValue", send, url=plain, body="no id", MessageGroupId="g")


@tap.check
def a_receive_of_a_fifo_queue_can_be_tried_again():
    url = new_queue("attempts.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    for body in ("1", "2", "3"):
        send(url, body, MessageGroupId="g")
    lost = receive(url, MaxNumberOfMessages=2, ReceiveRequestAttemptId="attempt")
    again = receive(url, MaxNumberOfMessages=2, ReceiveRequestAttemptId="attempt")
    equal((bodies(again), [m["MessageId"] for m in again]), (["1", "2"], [m["MessageId"] for m in lost]))
    equal(receive(url, ReceiveRequestAttemptId="another"), [])


# ---- dead letters ----------------------------------------------------------------------------------------------------

def with_dead_letters(name, receives, suffix="", **attributes):
    dead = new_queue(name + "-dead" + suffix, **attributes)
    policy = json.dumps({"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": receives})
    return new_queue(name + suffix, RedrivePolicy=policy, **attributes), dead


@tap.check
def a_message_received_too_often_becomes_a_dead_letter():
    url, dead = with_dead_letters("tried", 2)
    sent = send(url, "poison", MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}})
    for count in ("1", "2"):
        message, = receive(url, VisibilityTimeout=0)
        equal(message["Attributes"]["ApproximateReceiveCount"], count)
    equal(receive(url), [])
    letter, = receive(dead)
    equal((letter["Body"], letter["MessageId"]), ("poison", sent["MessageId"]))
    equal(letter["MessageAttributes"], {"n": {"DataType": "Number", "StringValue": "1"}})
    equal(letter["Attributes"]["DeadLetterQueueSourceArn"], arn_of(url))
    assert int(letter["Attributes"]["ApproximateReceiveCount"]) >= 3, letter
    equal(counts_of(url), (0, 0, 0))


@tap.check
def a_fifo_queue_has_dead_letters_too():
    url, dead = with_dead_letters("tried", 1, ".fifo", FifoQueue="true", ContentBasedDeduplication="true")
    send(url, "poison", MessageGroupId="g")
    send(url, "next", MessageGroupId="g")
    message, = receive(url, MaxNumberOfMessages=1, VisibilityTimeout=0)
    equal(message["Body"], "poison")
    equal(bodies(receive(url, MaxNumberOfMessages=1)), ["next"])
    equal(bodies(receive(dead)), ["poison"])


@tap.check
def a_dead_letter_queue_names_its_sources_and_may_refuse_some():
    url, dead = with_dead_letters("sources", 3)
    other = new_queue("sources-other")
    equal(sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"], [url])
    pages = sqs.get_paginator("list_dead_letter_source_queues").paginate(QueueUrl=dead)
    equal([u for page in pages for u in page["queueUrls"]], [url])
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [arn_of(url)]}
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(allow)})
    equal(json.loads(attributes_of(dead, "RedriveAllowPolicy")["RedriveAllowPolicy"]), allow)
    policy = attributes_of(url, "RedrivePolicy")["RedrivePolicy"]
    equal(json.loads(policy)["deadLetterTargetArn"], arn_of(dead))
    refused(ClientError, sqs.set_queue_attributes, QueueUrl=other, Attributes={"RedrivePolicy": policy})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    assert "RedrivePolicy" not in attributes_of(url)


def needs_move_tasks():
    if not hasattr(sqs, "start_message_move_task"):
        raise tap.Skipped(f"boto3 {boto3.__version__} has no message move tasks")


@tap.check
def dead_letters_are_moved_back():
    needs_move_tasks()
    url, dead = with_dead_letters("moved", 1)
    send(url, "poison", MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}})
    receive(url, VisibilityTimeout=0)
    equal(receive(url), [])
    equal(counts_of(dead), (1, 0, 0))
    handle = sqs.start_message_move_task(SourceArn=arn_of(dead))["TaskHandle"]
    assert handle
    message, = receive(url, WaitTimeSeconds=10)
    equal((message["Body"], message["MessageAttributes"]["n"]["StringValue"]), ("poison", "1"))
    task = until(lambda: [t for t in sqs.list_message_move_tasks(SourceArn=arn_of(dead))["Results"]
                          if t["Status"] == "COMPLETED"])[0]
    equal((task["ApproximateNumberOfMessagesMoved"], task["SourceArn"]), (1, arn_of(dead)))
    equal(counts_of(dead), (0, 0, 0))


@tap.check
def a_move_task_has_a_rate_and_is_cancelled():
    needs_move_tasks()
    url, dead = with_dead_letters("cancelled", 1)
    target = new_queue("cancelled-target")
    for i in range(20):
        send(dead, str(i))
    task = {"SourceArn": arn_of(dead), "DestinationArn": arn_of(target), "MaxNumberOfMessagesPerSecond": 1}
    handle = sqs.start_message_move_task(**task)["TaskHandle"]
    refused("InvalidParameterValue", sqs.start_message_move_task, **task)
    running = sqs.list_message_move_tasks(SourceArn=arn_of(dead))["Results"][0]
    equal((running["TaskHandle"], running["Status"], running["DestinationArn"],
           running["MaxNumberOfMessagesPerSecond"]), (handle, "RUNNING", arn_of(target), 1))
    assert sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"] < 20
    until(lambda: sqs.list_message_move_tasks(SourceArn=arn_of(dead))["Results"][0]["Status"] == "CANCELLED")
    moved, left = counts_of(target)[0], counts_of(dead)[0]
    assert moved + left == 20 and left > 0, (moved, left)


@tap.check
def a_move_task_needs_a_dead_letter_queue():
    needs_move_tasks()
    url, dead = with_dead_letters("no-task", 1)
    refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn=arn_of(url))
    refused(errors.ResourceNotFoundException, sqs.start_message_move_task, SourceArn=arn_of(dead) + "-not")
    refused(errors.ResourceNotFoundException, sqs.start_message_move_task, SourceArn=arn_of(dead),
            DestinationArn=arn_of(url) + "-not")
    refused("InvalidParameterValue", sqs.cancel_message_move_task, TaskHandle="no handle")


# ---- errors ----------------------------------------------------------------------------------------------------------

@tap.check
def errors_are_caught_by_their_class():
    url = new_queue("errors")
    two = [{"Id": str(i), "MessageBody": "b"} for i in range(2)]
    refused(errors.QueueDoesNotExist, receive, url=url + "-not")
    refused(errors.ReceiptHandleIsInvalid, sqs.delete_message, QueueUrl=url, ReceiptHandle="no handle")
    refused(errors.InvalidAttributeName, sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["NoSuch"])
    refused(errors.InvalidAttributeName, sqs.set_queue_attributes, QueueUrl=url, Attributes={"NoSuch": "1"})
    refused("InvalidAttributeValue", sqs.set_queue_attributes, QueueUrl=url, Attributes={"VisibilityTimeout": "soon"})
    refused(errors.InvalidMessageContents, send, url=url, body="\x01")
    refused(errors.UnsupportedOperation, send, url=url, body="b", MessageAttributes={
        "list": {"DataType": "String", "StringValue": "a", "StringListValues": ["a"]}})
    refused(errors.BatchRequestTooLong, sqs.send_message_batch, QueueUrl=url,
            Entries=[dict(entry, MessageBody="b" * 600000) for entry in two])
    refused(errors.TooManyEntriesInBatchRequest, sqs.send_message_batch, QueueUrl=url,
            Entries=[{"Id": str(i), "MessageBody": "b"} for i in range(11)])
    refused(errors.EmptyBatchRequest, sqs.send_message_batch, QueueUrl=url, Entries=[])
    refused(errors.BatchEntryIdsNotDistinct, sqs.send_message_batch, QueueUrl=url, Entries=[two[0], two[0]])
    refused(errors.InvalidBatchEntryId, sqs.send_message_batch, QueueUrl=url, Entries=[dict(two[0], Id="a b")])
    refused(errors.OverLimit, sqs.add_permission, QueueUrl=url, Label="l", AWSAccountIds=["111111111111"],
            Actions=["SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueUrl",
                     "GetQueueAttributes", "PurgeQueue", "ListDeadLetterSourceQueues"])
    refused("InvalidParameterValue", receive, url=url, MaxNumberOfMessages=11)
    refused("InvalidParameterValue", send, url=url, body="b" * 1048577)
    refused("MissingParameter", send, url=url, body="")
    equal(counts_of(url), (0, 0, 0))


@tap.check
def a_wrong_secret_is_refused():
    wrong = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="wrong")
    wrong = wrong.client("sqs", endpoint_url=endpoint)
    refused("SignatureDoesNotMatch", wrong.list_queues)


if __name__ == "__main__":
    tap.run()
