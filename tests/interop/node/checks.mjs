// What @aws-sdk/client-sqs, unmodified, sees of fanout-local's SQS, a function for each thing; then sqs-consumer, which
// empties a queue. Endpoint, credentials and region come from the environment.
import * as SQS from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

const sqs = new SQS.SQS();

// ---- what the checks are written with ------------------------------------------------------------------------------

const newQueue = async (QueueName, Attributes) => (await sqs.createQueue({ QueueName, Attributes })).QueueUrl;
const attributesOf = async (QueueUrl, ...names) =>
    (await sqs.getQueueAttributes({ QueueUrl, AttributeNames: names.length ? names : ["All"] })).Attributes;
const arnOf = async (url) => (await attributesOf(url, "QueueArn")).QueueArn;
const countsOf = async (url) => {
    const all = await attributesOf(url);
    return ["", "NotVisible", "Delayed"].map((kind) => Number(all["ApproximateNumberOfMessages" + kind]));
};
const send = (QueueUrl, MessageBody, options) => sqs.sendMessage({ QueueUrl, MessageBody, ...options });
const receive = async (QueueUrl, options) => (await sqs.receiveMessage({
    QueueUrl, MaxNumberOfMessages: 10, MessageSystemAttributeNames: ["All"], MessageAttributeNames: ["All"], ...options,
})).Messages ?? [];
const remove = (QueueUrl, { ReceiptHandle }) => sqs.deleteMessage({ QueueUrl, ReceiptHandle });
const bodies = (messages) => messages.map((message) => message.Body);
const withDeadLetters = async (name, maxReceiveCount) => {
    const dead = await newQueue(name + "-dead");
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: await arnOf(dead), maxReceiveCount });
    return [await newQueue(name, { RedrivePolicy }), dead];
};

// The call must be refused with that class of the SDK's, or, where it has none, with that name.
const refused = (as, call) => assert.rejects(call, (error) => {
    assert.ok(typeof as === "string" ? error.name === as : error instanceof as, `${error.name}: ${error.message}`);
    assert.ok(error instanceof SQS.SQSServiceException);
    return true;
});

const until = async (what) => {
    for (const end = Date.now() + 20000; Date.now() < end; await pause(20)) {
        const value = await what();
        if (value) return value;
    }
    throw new Error("it never came about");
};

const checks = {
    // ---- queues ----------------------------------------------------------------------------------------------------

    async a_queue_is_made_found_and_deleted() {
        const url = await newQueue("found", { VisibilityTimeout: "45" });
        assert.ok(url.endsWith("/000000000000/found"), url);
        assert.equal((await sqs.getQueueUrl({ QueueName: "found" })).QueueUrl, url);
        assert.equal(await newQueue("found", { VisibilityTimeout: "45" }), url);
        await refused(SQS.QueueNameExists, newQueue("found", { VisibilityTimeout: "46" }));
        await sqs.deleteQueue({ QueueUrl: url });
        await refused(SQS.QueueDoesNotExist, sqs.getQueueUrl({ QueueName: "found" }));
        await refused(SQS.QueueDeletedRecently, newQueue("found"));
    },

    async queue_attributes_are_set_and_read() {
        const url = await newQueue("attributes", { DelaySeconds: "3" });
        await sqs.setQueueAttributes({ QueueUrl: url, Attributes: { VisibilityTimeout: "45" } });
        assert.deepEqual(await attributesOf(url, "DelaySeconds", "VisibilityTimeout", "QueueArn"), {
            DelaySeconds: "3", VisibilityTimeout: "45",
            QueueArn: "arn:aws:sqs:us-east-1:000000000000:attributes",
        });
    },

    async queues_are_listed_page_by_page() {
        const urls = [], pages = [];
        for (let i = 0; i < 5; i++) urls.push(await newQueue(`page-${i}`));
        for await (const page of SQS.paginateListQueues({ client: sqs, pageSize: 2 }, { QueueNamePrefix: "page-" }))
            pages.push(page.QueueUrls);
        assert.deepEqual(pages.map((page) => page.length), [2, 2, 1]);
        assert.deepEqual(pages.flat().sort(), urls);
    },

    async tags_are_kept() {
        const { QueueUrl } = await sqs.createQueue({ QueueName: "tags", tags: { team: "a", stage: "test" } });
        await sqs.tagQueue({ QueueUrl, Tags: { team: "b" } });
        await sqs.untagQueue({ QueueUrl, TagKeys: ["stage"] });
        assert.deepEqual((await sqs.listQueueTags({ QueueUrl })).Tags, { team: "b" });
    },

    async permissions_become_a_policy() {
        const url = await newQueue("permissions"), AWSAccountIds = ["111111111111"];
        await sqs.addPermission({ QueueUrl: url, Label: "writers", AWSAccountIds, Actions: ["SendMessage"] });
        const [statement] = JSON.parse((await attributesOf(url, "Policy")).Policy).Statement;
        assert.deepEqual([statement.Sid, statement.Effect, statement.Resource], ["writers", "Allow", await arnOf(url)]);
        await sqs.removePermission({ QueueUrl: url, Label: "writers" });
        assert.ok(!(await attributesOf(url)).Policy);
    },

    // ---- messages --------------------------------------------------------------------------------------------------

    async a_message_is_sent_received_and_deleted() {
        const url = await newQueue("messages"), body = 'caf\u00e9 "quoted" <&> \t\r\n \u{1f600}';
        const sent = await send(url, body); // the SDK itself compares the MD5s
        const [message] = await receive(url);
        assert.deepEqual([message.MessageId, message.Body], [sent.MessageId, body]);
        assert.equal(message.Attributes.ApproximateReceiveCount, "1");
        assert.deepEqual(await countsOf(url), [0, 1, 0]);
        await remove(url, message);
        assert.deepEqual(await countsOf(url), [0, 0, 0]);
    },

    async message_attributes_come_back_binary_too() {
        const url = await newQueue("message-attributes"), bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
        const MessageAttributes = {
            text: { DataType: "String", StringValue: "\u00e9 & <b>" },
            number: { DataType: "Number", StringValue: "-12.5" },
            bytes: { DataType: "Binary", BinaryValue: bytes },
            "app.gif": { DataType: "Binary.gif", BinaryValue: bytes.slice(1, 3) },
        };
        const sent = await send(url, "body", { MessageAttributes });
        const [message] = await receive(url, { VisibilityTimeout: 0 });
        assert.equal(message.MD5OfMessageAttributes, sent.MD5OfMessageAttributes);
        for (const [name, { DataType, StringValue, BinaryValue }] of Object.entries(MessageAttributes)) {
            const got = message.MessageAttributes[name];
            assert.deepEqual([got.DataType, got.StringValue, got.BinaryValue && [...got.BinaryValue]],
                [DataType, StringValue, BinaryValue && [...BinaryValue]]);
        }
        const [some] = await receive(url, { MessageAttributeNames: ["app.*"] });
        assert.deepEqual(Object.keys(some.MessageAttributes), ["app.gif"]);
    },

    async a_batch_says_what_was_done_and_what_failed() {
        const QueueUrl = await newQueue("batches");
        const sent = await sqs.sendMessageBatch({ QueueUrl, Entries: [
            ...Array.from({ length: 9 }, (_, i) => ({ Id: `${i}`, MessageBody: `body ${i}` })),
            { Id: "late", MessageBody: "late", DelaySeconds: 901 }] });
        assert.equal(sent.Successful.length, 9);
        assert.deepEqual(sent.Failed.map(({ Id, Code, SenderFault }) => [Id, Code, SenderFault]),
            [["late", "InvalidParameterValue", true]]);
        const messages = await receive(QueueUrl);
        assert.equal(messages.length, 9);
        const [a, ...others] = messages.map(({ ReceiptHandle }, i) => ({ Id: `${i}`, ReceiptHandle }));
        await sqs.changeMessageVisibilityBatch({ QueueUrl, Entries: [{ ...a, VisibilityTimeout: 0 }] });
        assert.deepEqual(bodies(await receive(QueueUrl, { VisibilityTimeout: 0 })), [messages[0].Body]);
        const bad = { Id: "bad", ReceiptHandle: "no handle" };
        const deleted = await sqs.deleteMessageBatch({ QueueUrl, Entries: [...others, bad] });
        assert.equal(deleted.Successful.length, 8);
        assert.deepEqual(deleted.Failed.map(({ Id, Code }) => [Id, Code]), [["bad", "ReceiptHandleIsInvalid"]]);
    },

    async visibility_is_changed() {
        const QueueUrl = await newQueue("visibility");
        await send(QueueUrl, "body");
        const [{ ReceiptHandle }] = await receive(QueueUrl);
        assert.deepEqual(await receive(QueueUrl), []);
        await sqs.changeMessageVisibility({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 });
        assert.equal((await receive(QueueUrl))[0].Attributes.ApproximateReceiveCount, "2");
    },

    async a_long_poll_ends_when_there_is_a_message() {
        const url = await newQueue("long-polls"), began = Date.now();
        const later = pause(300).then(() => send(url, "sent meanwhile"));
        assert.deepEqual(bodies(await receive(url, { WaitTimeSeconds: 20 })), ["sent meanwhile"]);
        assert.ok(Date.now() - began > 250 && Date.now() - began < 10000);
        await later;
    },

    async a_purge_empties_a_queue_once_a_minute() {
        const QueueUrl = await newQueue("purged");
        await send(QueueUrl, "body");
        await sqs.purgeQueue({ QueueUrl });
        assert.deepEqual(await countsOf(QueueUrl), [0, 0, 0]);
        await refused(SQS.PurgeQueueInProgress, sqs.purgeQueue({ QueueUrl }));
    },

    // ---- FIFO ------------------------------------------------------------------------------------------------------

    async a_fifo_queue_keeps_its_groups_in_order() {
        const url = await newQueue("order.fifo", { FifoQueue: "true" });
        for (const body of ["a1", "a2", "b1"])
            await send(url, body, { MessageGroupId: body[0], MessageDeduplicationId: body });
        const [first] = await receive(url, { MaxNumberOfMessages: 1 });
        const { MessageGroupId, MessageDeduplicationId, SequenceNumber } = first.Attributes;
        assert.deepEqual([first.Body, MessageGroupId, MessageDeduplicationId], ["a1", "a", "a1"]);
        assert.match(SequenceNumber, /^\d+$/);
        assert.deepEqual(bodies(await receive(url)), ["b1"]);
        assert.deepEqual(await receive(url), []);
        await remove(url, first);
        assert.deepEqual(bodies(await receive(url)), ["a2"]);
    },

    async a_fifo_queue_takes_a_message_once() {
        const url = await newQueue("once.fifo", { FifoQueue: "true", ContentBasedDeduplication: "true" });
        for (let i = 0; i < 2; i++) await send(url, "body", { MessageGroupId: "g" });
        const [message] = await receive(url);
        assert.equal(message.Attributes.MessageDeduplicationId, createHash("sha256").update("body").digest("hex"));
        await remove(url, message);
        assert.deepEqual(await countsOf(url), [0, 0, 0]);
        await refused("MissingParameter", send(url, "no group"));
    },

    // ---- dead letters ----------------------------------------------------------------------------------------------

    async a_message_received_too_often_becomes_a_dead_letter() {
        const [url, dead] = await withDeadLetters("tried", 2);
        const { MessageId } = await send(url, "poison");
        for (const count of ["1", "2"])
            assert.equal((await receive(url, { VisibilityTimeout: 0 }))[0].Attributes.ApproximateReceiveCount, count);
        assert.deepEqual(await receive(url), []);
        const [letter] = await receive(dead);
        assert.deepEqual([letter.MessageId, letter.Attributes.DeadLetterQueueSourceArn], [MessageId, await arnOf(url)]);
        assert.deepEqual((await sqs.listDeadLetterSourceQueues({ QueueUrl: dead })).queueUrls, [url]);
    },

    async dead_letters_are_moved_back() {
        const [url, dead] = await withDeadLetters("moved", 1);
        await send(url, "poison");
        await receive(url, { VisibilityTimeout: 0 });
        await receive(url);
        const SourceArn = await arnOf(dead);
        assert.ok((await sqs.startMessageMoveTask({ SourceArn })).TaskHandle);
        assert.deepEqual(bodies(await receive(url, { WaitTimeSeconds: 10 })), ["poison"]);
        const task = await until(async () => (await sqs.listMessageMoveTasks({ SourceArn })).Results
            .find(({ Status }) => Status === "COMPLETED"));
        assert.equal(task.ApproximateNumberOfMessagesMoved, 1);
        assert.ok(Math.abs(task.StartedTimestamp - Date.now()) < 600000, `${task.StartedTimestamp}`);
    },

    async a_move_task_is_cancelled() {
        const [, dead] = await withDeadLetters("cancelled", 1), SourceArn = await arnOf(dead);
        for (let i = 0; i < 10; i++) await send(dead, `${i}`);
        const DestinationArn = await arnOf(await newQueue("cancelled-target"));
        const task = { SourceArn, DestinationArn, MaxNumberOfMessagesPerSecond: 1 };
        const { TaskHandle } = await sqs.startMessageMoveTask(task);
        await sqs.cancelMessageMoveTask({ TaskHandle });
        await until(async () => (await sqs.listMessageMoveTasks({ SourceArn })).Results[0].Status === "CANCELLED");
        await refused(SQS.ResourceNotFoundException, sqs.startMessageMoveTask({ SourceArn: SourceArn + "-not" }));
    },

    // ---- errors ----------------------------------------------------------------------------------------------------

    async errors_are_instances_of_their_class() {
        const QueueUrl = await newQueue("errors"), entry = { Id: "a", MessageBody: "b" };
        const batch = (...Entries) => sqs.sendMessageBatch({ QueueUrl, Entries });
        const set = (Attributes) => sqs.setQueueAttributes({ QueueUrl, Attributes });
        const many = (n, MessageBody) => Array.from({ length: n }, (_, i) => ({ Id: `${i}`, MessageBody }));
        await refused(SQS.QueueDoesNotExist, receive(QueueUrl + "-not"));
        await refused(SQS.ReceiptHandleIsInvalid, remove(QueueUrl, { ReceiptHandle: "no handle" }));
        await refused(SQS.InvalidAttributeName, attributesOf(QueueUrl, "NoSuch"));
        await refused(SQS.InvalidAttributeValue, set({ VisibilityTimeout: "soon" }));
        await refused(SQS.InvalidMessageContents, send(QueueUrl, "\u0001"));
        await refused(SQS.UnsupportedOperation, send(QueueUrl, "b", {
            MessageAttributes: { list: { DataType: "String", StringValue: "a", StringListValues: ["a"] } } }));
        await refused(SQS.BatchRequestTooLong, batch(...many(2, "b".repeat(600000))));
        await refused(SQS.TooManyEntriesInBatchRequest, batch(...many(11, "b")));
        await refused(SQS.EmptyBatchRequest, batch());
        await refused(SQS.BatchEntryIdsNotDistinct, batch(entry, entry));
        await refused(SQS.InvalidBatchEntryId, batch({ ...entry, Id: "a b" }));
        await refused(SQS.OverLimit, sqs.addPermission({
            QueueUrl, Label: "l", AWSAccountIds: ["111111111111"], Actions: [
                "SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueUrl",
                "GetQueueAttributes", "PurgeQueue", "ListDeadLetterSourceQueues"],
        }));
        await refused("InvalidParameterValue", receive(QueueUrl, { MaxNumberOfMessages: 11 }));
    },

    // ---- sqs-consumer ----------------------------------------------------------------------------------------------

    async sqs_consumers_empty_a_queue_of_thousands() {
        const queueUrl = await newQueue("consumed"), n = 3000, seen = new Map();
        const ten = (from) => Array.from({ length: 10 }, (_, i) => ({ Id: `${i}`, MessageBody: `${from + i}` }));
        const sendAll = async (sender) => {
            for (let from = sender * 10; from < n; from += 100)
                await sqs.sendMessageBatch({ QueueUrl: queueUrl, Entries: ten(from) });
        };
        await Promise.all(Array.from({ length: 10 }, (_, sender) => sendAll(sender)));
        assert.deepEqual(await countsOf(queueUrl), [n, 0, 0]);
        const errors = [], consumers = Array.from({ length: 4 }, () => Consumer.create({
            queueUrl, sqs, batchSize: 10, waitTimeSeconds: 1,
            handleMessageBatch: async (messages) => {
                for (const { Body } of messages) seen.set(Body, (seen.get(Body) ?? 0) + 1);
                return messages;
            },
        }));
        for (const consumer of consumers) {
            for (const event of ["error", "processing_error", "timeout_error"])
                consumer.on(event, (error) => errors.push(error));
            consumer.start();
        }
        await until(async () =>
            errors.length || (seen.size === n && (await countsOf(queueUrl)).every((count) => count === 0)));
        for (const consumer of consumers) consumer.stop({ abort: true });
        assert.deepEqual(errors, []);
        assert.deepEqual([...seen.values()].filter((times) => times !== 1), []);
    },
};

let number = 0, failed = 0;
console.log(`1..${Object.keys(checks).length}`);
for (const [name, check] of Object.entries(checks)) {
    number++;
    try {
        await check();
        console.log(`ok ${number} - ${name}`);
    } catch (error) {
        failed++;
        const stack = `${error.stack}`.split("\n").filter((line) => !line.includes("node_modules"));
        console.log([`not ok ${number} - ${name}`, ...stack].join("\n# "));
    }
}
process.exit(failed > 0 ? 1 : 0);
