"""What a boto3 user does first, against the endpoint in AWS_ENDPOINT_URL. Any failed assertion ends it with a trace."""
import hashlib
import json
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BUS, QUEUE, BUCKET = "durable-event-bus", "durable-fanout-queue", "durable-event-buffer-000000000000-us-east-1"


def put_the_example_event(detail):
    answer = boto3.client("events").put_events(
        Entries=[{"Source": "buffer.source", "DetailType": "BufferedEvent", "Detail": detail, "EventBusName": BUS}]
    )
    assert answer["FailedEntryCount"] == 0, answer
    return answer["Entries"][0]["EventId"]


def check_the_object(event_id, detail):
    s3 = boto3.client("s3")
    keys = [o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="raw-events/")
            for o in page.get("Contents", [])]
    (key,) = [k for k in keys if event_id in k]
    head = s3.head_object(Bucket=BUCKET, Key=key)
    body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert head["ContentLength"] == len(body)
    assert head["ETag"] == '"%s"' % hashlib.md5(body).hexdigest()
    assert ('"detail":' + detail).encode() in body, body
    assert json.loads(body)["id"] == event_id
    s3.put_object(Bucket=BUCKET, Key="mine/a b+c.txt", Body=b"hello", Metadata={"who": "me"})
    got = s3.get_object(Bucket=BUCKET, Key="mine/a b+c.txt", Range="bytes=1-3")
    assert got["Body"].read() == b"ell" and got["Metadata"] == {"who": "me"}
    s3.delete_object(Bucket=BUCKET, Key="mine/a b+c.txt")
    try:
        s3.get_object(Bucket=BUCKET, Key="mine/a b+c.txt")
        raise AssertionError("a deleted object is still there")
    except s3.exceptions.NoSuchKey:
        pass


def receive(sqs, url, want):
    for _ in range(20):
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1,
                                     MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
        for message in answer.get("Messages", []):
            if want(message):
                return message
    raise AssertionError("the message did not come")


def check_the_queue(event_id):
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    message = receive(sqs, url, lambda m: event_id in m["Body"])
    assert json.loads(message["Body"])["detail"] == {"user_id": 123, "action": "signup"}
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    mine = sqs.create_queue(QueueName="boto3-queue", Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
    sent = sqs.send_message(QueueUrl=mine, MessageBody="caf\u00e9 \U0001f600",
                            MessageAttributes={"n": {"DataType": "Number", "StringValue": "1.50"},
                                               "b": {"DataType": "Binary", "BinaryValue": b"\0\xff"}})
    message = receive(sqs, mine, lambda m: m["MessageId"] == sent["MessageId"])
    assert message["Body"] == "caf\u00e9 \U0001f600" and message["MessageAttributes"]["b"]["BinaryValue"] == b"\0\xff"
    sqs.change_message_visibility(QueueUrl=mine, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    again = receive(sqs, mine, lambda m: m["MessageId"] == sent["MessageId"])
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    entries = [{"Id": "a", "ReceiptHandle": again["ReceiptHandle"]}, {"Id": "b", "ReceiptHandle": "no handle"}]
    answer = sqs.delete_message_batch(QueueUrl=mine, Entries=entries)
    assert [e["Id"] for e in answer["Successful"]] == ["a"], answer
    assert answer["Failed"][0]["Code"] == "ReceiptHandleIsInvalid", answer
    sqs.delete_queue(QueueUrl=mine)
    try:
        sqs.get_queue_url(QueueName="boto3-queue")
        raise AssertionError("a deleted queue is still there")
    except sqs.exceptions.QueueDoesNotExist as e:
        assert e.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue", e.response


def check_a_wrong_secret():
    wrong = {"aws_access_key_id": "test", "aws_secret_access_key": "wrong", "config": Config(retries={"max_attempts": 1})}
    calls = {
        "sqs": (lambda c: c.list_queues(), "SignatureDoesNotMatch|InvalidSignatureException"),
        "events": (lambda c: c.put_events(Entries=[{"Source": "s", "DetailType": "t", "Detail": "{}"}]),
                   "InvalidSignatureException"),
        "s3": (lambda c: c.list_buckets(), "SignatureDoesNotMatch"),
    }
    for service, (call, codes) in calls.items():
        try:
            call(boto3.client(service, **wrong))
            raise AssertionError(f"{service} took a wrong secret")
        except ClientError as e:
            assert e.response["Error"]["Code"] in codes.split("|"), e.response
            assert e.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403), e.response


DETAIL = '{"user_id": 123, "action": "signup"}'
EVENT_ID = put_the_example_event(DETAIL)
check_the_object(EVENT_ID, DETAIL)
check_the_queue(EVENT_ID)
check_a_wrong_secret()
print("boto3", boto3.__version__, "ok")
