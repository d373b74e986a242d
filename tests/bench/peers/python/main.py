"""boto3 as its users write it: one loop that receives up to ten messages and deletes them."""
import sys

import boto3
from botocore.config import Config

queue_url = sys.argv[1]
sqs = boto3.client("sqs", endpoint_url=queue_url.rsplit("/", 2)[0], region_name="us-east-1",
                   config=Config(retries={"mode": "standard"}))
while True:
    messages = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1,
                                   MessageSystemAttributeNames=["All"],
                                   MessageAttributeNames=["All"]).get("Messages", [])
    if messages:
        sqs.delete_message_batch(QueueUrl=queue_url, Entries=[
            {"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)])
