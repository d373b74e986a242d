// sqs-consumer over @aws-sdk/client-sqs: four consumers in one process, batches of ten, deleted when handled.
import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const queueUrl = process.argv[2];
const sqs = new SQSClient({ region: "us-east-1", endpoint: new URL(queueUrl).origin });
for (let i = 0; i < 4; i++) {
    const consumer = Consumer.create({
        queueUrl, sqs, batchSize: 10, waitTimeSeconds: 1,
        messageSystemAttributeNames: ["All"], messageAttributeNames: ["All"],
        handleMessageBatch: async (messages) => messages,
    });
    consumer.on("error", (e) => console.error(e.message));
    consumer.start();
}
