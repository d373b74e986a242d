"""What boto3, unmodified, does against fanout-local. test_clients.c runs it: boto.py NAME, one function below each.

The endpoint, the credentials and the region come from the environment, as in anybody's program.
"""
import hashlib
import io
import json
import sys
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BUS = "durable-event-bus"
BUCKET = "durable-event-buffer-000000000000-us-east-1"
QUEUE = "durable-fanout-queue"
README_EVENT = {
    "Source": "buffer.source",
    "DetailType": "BufferedEvent",
    "Detail": json.dumps({"user_id": 123, "action": "signup"}),
    "EventBusName": BUS,
}


def refused(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e.response
        return e.response
    raise AssertionError(f"not refused with {code}")


def the_readme_s_event():
    answer = boto3.client("events").put_events(Entries=[README_EVENT])
    assert answer["FailedEntryCount"] == 0, answer
    event_id = answer["Entries"][0]["EventId"]
    s3 = boto3.client("s3")
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET, Prefix="raw-events/")["Contents"]]
    mine = [k for k in keys if k.endswith(f"-{event_id}.json")]
    assert len(mine) == 1, keys
    text = s3.get_object(Bucket=BUCKET, Key=mine[0])["Body"].read()
    event = json.loads(text)
    assert event["id"] == event_id and event["detail"] == {"user_id": 123, "action": "signup"}, event
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    message = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"][0]
    assert message["Body"].encode() == text, message
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def put_events_names_what_fails():
    answer = boto3.client("events").put_events(
        Entries=[{"DetailType": "d", "Detail": "{}"}, dict(README_EVENT, Detail="[]"), dict(README_EVENT, Source="other")])
    assert answer["FailedEntryCount"] == 2, answer
    assert [e.get("ErrorCode") for e in answer["Entries"]] == ["InvalidArgument", "MalformedDetail", None], answer
    refused("ValidationException", boto3.client("events").put_events, Entries=[README_EVENT] * 11)


def rules_are_put_used_and_deleted():
    events, sqs = boto3.client("events"), boto3.client("sqs")
    url = sqs.create_queue(QueueName="boto-rules")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = json.dumps({"source": ["boto"], "detail": {"state": ["paid"]}})
    on_bus = {"EventBusName": BUS}
    rule_arn = events.put_rule(Name="boto", EventPattern=pattern, Description="d", **on_bus)["RuleArn"]
    answer = events.put_targets(Rule="boto", Targets=[{
        "Id": "t", "Arn": arn, "DeadLetterConfig": {"Arn": arn}, "RetryPolicy": {"MaximumRetryAttempts": 3},
        "InputTransformer": {"InputPathsMap": {"d": "$.detail"}, "InputTemplate": '{"got": <d>}'}}], **on_bus)
    assert answer["FailedEntryCount"] == 0, answer
    event = {"Source": "boto", "DetailType": "d", "Detail": '{"state": "paid"}', "EventBusName": BUS}
    events.put_events(Entries=[event, dict(event, Detail='{"state": "open"}')])
    message = sqs.receive_message(QueueUrl=url)["Messages"][0]
    assert message["Body"] == '{"got": {"state": "paid"}}', message
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    events.disable_rule(Name="boto", **on_bus)
    described = events.describe_rule(Name="boto", **on_bus)
    assert described["State"] == "DISABLED" and described["Arn"] == rule_arn, described
    assert json.loads(described["EventPattern"]) == json.loads(pattern), described
    events.put_events(Entries=[event])
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    events.enable_rule(Name="boto", **on_bus)
    names = [r["Name"] for page in events.get_paginator("list_rules").paginate(
        PaginationConfig={"PageSize": 1}, **on_bus) for r in page["Rules"]]
    assert names == ["boto", "durable-capture-rule", "durable-fanout-rule"], names
    targets = events.list_targets_by_rule(Rule="boto", **on_bus)["Targets"]
    assert targets[0]["InputTransformer"]["InputPathsMap"] == {"d": "$.detail"}, targets
    whole = json.dumps({"id": "1", "account": "2", "source": "boto", "time": "t", "region": "r", "resources": [],
                        "detail-type": "d", "detail": {"state": "paid"}})
    assert events.test_event_pattern(EventPattern=pattern, Event=whole)["Result"] is True
    refused("ValidationException", events.delete_rule, Name="boto", **on_bus)
    assert events.remove_targets(Rule="boto", Ids=["t"], **on_bus)["FailedEntryCount"] == 0
    events.delete_rule(Name="boto", **on_bus)
    try:
        events.describe_rule(Name="boto", **on_bus)
        raise AssertionError("the rule is still there")
    except events.exceptions.ResourceNotFoundException:
        pass
    try:
        events.put_rule(Name="boto", EventPattern='{"source": "boto"}')
        raise AssertionError("that is no pattern")
    except events.exceptions.InvalidEventPatternException as e:
        assert "must be an object or an array" in str(e), e


def a_message_is_sent_received_and_deleted():
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="boto", Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
    assert url in sqs.list_queues(QueueNamePrefix="bo")["QueueUrls"]
    body = 'caf\u00e9 "quoted" \U0001f600'
    sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes={
        "n": {"DataType": "Number", "StringValue": "7"}, "b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}})
    message = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], AttributeNames=["All"])["Messages"][0]
    assert message["Body"] == body, message
    assert message["MessageAttributes"]["b"]["BinaryValue"] == b"\x00\xff", message
    assert message["Attributes"]["ApproximateReceiveCount"] == "1", message
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    again = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["All"])["Messages"][0]
    assert again["MessageId"] == message["MessageId"] and again["Attributes"]["ApproximateReceiveCount"] == "2", again
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=[
        {"Id": "a", "ReceiptHandle": again["ReceiptHandle"]}, {"Id": "b", "ReceiptHandle": "no handle"}])
    assert [e["Id"] for e in answer["Successful"]] == ["a"], answer
    assert [e["Code"] for e in answer["Failed"]] == ["ReceiptHandleIsInvalid"], answer
    batch = sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(i), "MessageBody": str(i)} for i in range(10)])
    assert len(batch["Successful"]) == 10 and "Failed" not in batch, batch
    sqs.delete_queue(QueueUrl=url)
    refused("AWS.SimpleQueueService.NonExistentQueue", sqs.receive_message, QueueUrl=url)
    try:
        sqs.get_queue_url(QueueName="boto")
        raise AssertionError("the queue is still there")
    except sqs.exceptions.QueueDoesNotExist:
        pass


def objects_go_both_ways():
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="boto-objects")
    data = bytes(range(256)) * 4096
    s3.upload_fileobj(io.BytesIO(data), "boto-objects", "dir/a b+\u00e9",
                      ExtraArgs={"Metadata": {"colour": "green"}, "ContentType": "application/x-test"})
    back = io.BytesIO()
    s3.download_fileobj("boto-objects", "dir/a b+\u00e9", back)
    assert back.getvalue() == data
    head = s3.head_object(Bucket="boto-objects", Key="dir/a b+\u00e9", ChecksumMode="ENABLED")
    assert head["Metadata"] == {"colour": "green"} and head["ContentType"] == "application/x-test", head
    assert head["ContentLength"] == len(data) and head["ChecksumCRC32"], head
    assert head["ETag"] == f'"{hashlib.md5(data).hexdigest()}"', head
    part = s3.get_object(Bucket="boto-objects", Key="dir/a b+\u00e9", Range="bytes=5-9")
    assert part["Body"].read() == data[5:10] and part["ContentRange"] == f"bytes 5-9/{len(data)}", part
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        s3.put_object(Bucket="boto-objects", Key=algorithm, Body=b"hello", ChecksumAlgorithm=algorithm)
        assert s3.get_object(Bucket="boto-objects", Key=algorithm)["Body"].read() == b"hello"
    refused("BadDigest", s3.put_object, Bucket="boto-objects", Key="bad", Body=b"hello", ChecksumCRC32="AAAAAA==")
    refused("NoSuchKey", s3.get_object, Bucket="boto-objects", Key="bad")
    refused("404", s3.head_object, Bucket="boto-objects", Key="bad")
    s3.delete_object(Bucket="boto-objects", Key="SHA1")
    try:
        s3.get_object(Bucket="boto-objects", Key="SHA1")
        raise AssertionError("a deleted object is still there")
    except s3.exceptions.NoSuchKey:
        pass
    refused("NoSuchBucket", s3.list_objects_v2, Bucket="no-such-bucket")
    refused("BucketNotEmpty", s3.delete_bucket, Bucket="boto-objects")
    s3.put_object(Bucket="boto-objects", Key="once", Body=b"1", IfNoneMatch="*")
    refused("PreconditionFailed", s3.put_object, Bucket="boto-objects", Key="once", Body=b"2", IfNoneMatch="*")
    unsigned = boto3.client("s3", config=Config(s3={"payload_signing_enabled": False}))
    unsigned.put_object(Bucket="boto-objects", Key="unsigned", Body=b"hello")
    assert s3.get_object(Bucket="boto-objects", Key="unsigned")["Body"].read() == b"hello"


def a_paginator_sees_every_key_once():
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="boto-pages")
    keys = sorted(f"raw-events/{d:02d}/{i:02d} &<{i}>" for d in range(12) for i in range(5))
    for key in keys:
        s3.put_object(Bucket="boto-pages", Key=key, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="boto-pages", PaginationConfig={"PageSize": 7})
    assert [o["Key"] for page in pages for o in page["Contents"]] == keys
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="boto-pages", Prefix="raw-events/", Delimiter="/", PaginationConfig={"PageSize": 5})
    prefixes = [p["Prefix"] for page in pages for p in page["CommonPrefixes"]]
    assert prefixes == [f"raw-events/{d:02d}/" for d in range(12)], prefixes
    after = s3.list_objects_v2(Bucket="boto-pages", StartAfter=keys[57])
    assert [o["Key"] for o in after["Contents"]] == keys[58:], after


def a_presigned_url_needs_no_credentials():
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
    s3.create_bucket(Bucket="boto-presigned")
    key = "a b/c"
    put = s3.generate_presigned_url("put_object", Params={"Bucket": "boto-presigned", "Key": key}, ExpiresIn=60)
    with urllib.request.urlopen(urllib.request.Request(put, data=b"hello", method="PUT")) as answer:
        assert answer.status == 200
    get = s3.generate_presigned_url("get_object", Params={"Bucket": "boto-presigned", "Key": key}, ExpiresIn=60)
    with urllib.request.urlopen(get) as answer:
        assert answer.read() == b"hello"
    try:
        urllib.request.urlopen(get.replace("a%20b", "other"))
        raise AssertionError("a changed URL is still good")
    except urllib.error.HTTPError as e:
        assert e.code == 403, e


def a_wrong_secret_is_refused():
    wrong = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="wrong")
    refused("SignatureDoesNotMatch", wrong.client("s3").list_buckets)
    refused("InvalidSignatureException", wrong.client("events").put_events, Entries=[README_EVENT])
    answer = refused("SignatureDoesNotMatch", wrong.client("sqs").list_queues)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403, answer
    unknown = boto3.session.Session(aws_access_key_id="nobody", aws_secret_access_key="test")
    refused("InvalidAccessKeyId", unknown.client("s3").list_buckets)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
