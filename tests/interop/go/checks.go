package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

var checks = []struct {
	name string
	run  func()
}{
	{"a_queue_is_made_found_and_deleted", func() {
		url := newQueue("found", settings{"VisibilityTimeout": "45"})
		want(strings.HasSuffix(*url, "/000000000000/found"), "%s", *url)
		equal(*must(client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("found")})).QueueUrl, *url)
		refused[*types.QueueNameExists](second(client.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName: aws.String("found"), Attributes: settings{"VisibilityTimeout": "46"}})))
		must(client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url}))
		refused[*types.QueueDoesNotExist](second(client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{
			QueueName: aws.String("found")})))
		refused[*types.QueueDeletedRecently](second(client.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName: aws.String("found")})))
	}},

	{"queue_attributes_are_set_and_read", func() {
		url := newQueue("attributes", settings{"DelaySeconds": "3"})
		must(client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{
			QueueUrl: url, Attributes: settings{"VisibilityTimeout": "45"}}))
		all := attributesOf(url)
		equal([]string{all["DelaySeconds"], all["VisibilityTimeout"], all["QueueArn"]},
			[]string{"3", "45", "arn:aws:sqs:us-east-1:000000000000:attributes"})
	}},

	{"queues_are_listed_page_by_page", func() {
		var made, listed []string
		var pages []int
		for i := 0; i < 5; i++ {
			made = append(made, *newQueue(fmt.Sprintf("page-%d", i), nil))
		}
		all := sqs.NewListQueuesPaginator(client, &sqs.ListQueuesInput{
			QueueNamePrefix: aws.String("page-"), MaxResults: aws.Int32(2)})
		for all.HasMorePages() {
			urls := must(all.NextPage(ctx)).QueueUrls
			pages, listed = append(pages, len(urls)), append(listed, urls...)
		}
		sort.Strings(listed)
		equal(pages, []int{2, 2, 1})
		equal(listed, made)
	}},

	{"tags_are_kept", func() {
		url := must(client.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName: aws.String("tags"), Tags: settings{"team": "a", "stage": "test"}})).QueueUrl
		must(client.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: url, Tags: settings{"team": "b"}}))
		must(client.UntagQueue(ctx, &sqs.UntagQueueInput{QueueUrl: url, TagKeys: []string{"stage"}}))
		equal(must(client.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: url})).Tags, map[string]string{"team": "b"})
	}},

	{"permissions_become_a_policy", func() {
		url := newQueue("permissions", nil)
		must(client.AddPermission(ctx, &sqs.AddPermissionInput{QueueUrl: url, Label: aws.String("writers"),
			AWSAccountIds: []string{"111111111111"}, Actions: []string{"SendMessage"}}))
		want(strings.Contains(attributesOf(url)["Policy"], `"writers"`), "%s", attributesOf(url)["Policy"])
		must(client.RemovePermission(ctx, &sqs.RemovePermissionInput{QueueUrl: url, Label: aws.String("writers")}))
		equal(attributesOf(url)["Policy"], "")
	}},

	{"a_message_is_sent_received_and_deleted", func() {
		url, body := newQueue("messages", nil), "caf\u00e9 \"quoted\" <&> \t\r\n \U0001f600"
		sent := send(url, body) // the SDK itself compares the MD5s
		got := receive(url)
		equal(bodies(got), []string{body})
		equal(*got[0].MessageId, *sent.MessageId)
		equal(got[0].Attributes["ApproximateReceiveCount"], "1")
		equal(countsOf(url), [3]int{0, 1, 0})
		remove(url, got[0])
		equal(countsOf(url), [3]int{0, 0, 0})
	}},

	{"message_attributes_come_back_binary_too", func() {
		url := newQueue("message-attributes", nil)
		attributes := map[string]types.MessageAttributeValue{
			"text":    {DataType: aws.String("String"), StringValue: aws.String("\u00e9 & <b>")},
			"number":  {DataType: aws.String("Number.int"), StringValue: aws.String("-12")},
			"app.gif": {DataType: aws.String("Binary.gif"), BinaryValue: []byte{0, 255, 1}},
		}
		sent := must(client.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String("body"), MessageAttributes: attributes}))
		got := receive(url)
		equal(got[0].MessageAttributes, attributes)
		equal(*got[0].MD5OfMessageAttributes, *sent.MD5OfMessageAttributes)
		release(url, got[0])
		got = receive(url, func(in *sqs.ReceiveMessageInput) { in.MessageAttributeNames = []string{"app.*"} })
		equal(len(got[0].MessageAttributes), 1)
	}},

	{"a_batch_says_what_was_done_and_what_failed", func() {
		url := newQueue("batches", nil)
		var entries []types.SendMessageBatchRequestEntry
		for i := 0; i < 9; i++ {
			entries = append(entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(fmt.Sprint("body ", i))})
		}
		entries = append(entries, types.SendMessageBatchRequestEntry{
			Id: aws.String("late"), MessageBody: aws.String("late"), DelaySeconds: 901})
		sent := must(client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries}))
		equal([]int{len(sent.Successful), len(sent.Failed)}, []int{9, 1})
		failed := sent.Failed[0]
		equal([]any{*failed.Id, *failed.Code, failed.SenderFault}, []any{"late", "InvalidParameterValue", true})
		deletes := []types.DeleteMessageBatchRequestEntry{{Id: aws.String("bad"), ReceiptHandle: aws.String("no handle")}}
		for i, message := range receive(url) {
			deletes = append(deletes, types.DeleteMessageBatchRequestEntry{
				Id: aws.String(fmt.Sprint(i)), ReceiptHandle: message.ReceiptHandle})
		}
		deleted := must(client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: deletes}))
		equal(len(deleted.Successful), 9)
		equal(*deleted.Failed[0].Code, "ReceiptHandleIsInvalid")
		equal(countsOf(url), [3]int{0, 0, 0})
	}},

	{"visibility_is_changed", func() {
		url := newQueue("visibility", nil)
		send(url, "body")
		first := receive(url)
		equal(len(receive(url)), 0)
		release(url, first[0])
		equal(receive(url)[0].Attributes["ApproximateReceiveCount"], "2")
	}},

	{"a_long_poll_ends_when_there_is_a_message", func() {
		url, began := newQueue("long-polls", nil), time.Now()
		time.AfterFunc(300*time.Millisecond, func() { send(url, "sent meanwhile") })
		equal(bodies(receive(url, waiting)), []string{"sent meanwhile"})
		took := time.Since(began)
		want(took > 250*time.Millisecond && took < 10*time.Second, "%v", took)
	}},

	{"a_purge_empties_a_queue_once_a_minute", func() {
		url := newQueue("purged", nil)
		send(url, "body")
		must(client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: url}))
		equal(countsOf(url), [3]int{0, 0, 0})
		refused[*types.PurgeQueueInProgress](second(client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: url})))
	}},

	{"a_fifo_queue_keeps_its_groups_in_order", func() {
		url := newQueue("order.fifo", settings{"FifoQueue": "true"})
		sent := []*sqs.SendMessageOutput{sendTo(url, "a", "a1"), sendTo(url, "a", "a2"), sendTo(url, "b", "b1")}
		want(*sent[0].SequenceNumber < *sent[1].SequenceNumber, "%s, %s", *sent[0].SequenceNumber, *sent[1].SequenceNumber)
		first := receive(url, one)
		equal(bodies(first), []string{"a1"})
		equal([]string{first[0].Attributes["MessageGroupId"], first[0].Attributes["SequenceNumber"]},
			[]string{"a", *sent[0].SequenceNumber})
		equal(bodies(receive(url)), []string{"b1"})
		equal(len(receive(url)), 0)
		remove(url, first[0])
		equal(bodies(receive(url)), []string{"a2"})
	}},

	{"a_fifo_queue_takes_a_message_once", func() {
		url := newQueue("once.fifo", settings{"FifoQueue": "true", "ContentBasedDeduplication": "true"})
		in := &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("body"), MessageGroupId: aws.String("g")}
		must(client.SendMessage(ctx, in))
		must(client.SendMessage(ctx, in))
		got, hash := receive(url), sha256.Sum256([]byte("body"))
		equal(bodies(got), []string{"body"})
		equal(got[0].Attributes["MessageDeduplicationId"], hex.EncodeToString(hash[:]))
		refusedAs("MissingParameter", second(client.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String("no group")})))
	}},

	{"a_message_received_too_often_becomes_a_dead_letter", func() {
		url, dead := withDeadLetters("tried", 2)
		sent := send(url, "poison")
		for range 2 {
			release(url, receive(url)[0])
		}
		equal(len(receive(url)), 0)
		letter := receive(dead)[0]
		equal([]string{*letter.MessageId, letter.Attributes["DeadLetterQueueSourceArn"]},
			[]string{*sent.MessageId, *arnOf(url)})
		equal(must(client.ListDeadLetterSourceQueues(ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead})).QueueUrls,
			[]string{*url})
	}},

	{"dead_letters_are_moved_back", func() {
		url, dead := withDeadLetters("moved", 1)
		send(url, "poison")
		release(url, receive(url)[0])
		equal(len(receive(url)), 0)
		must(client.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: arnOf(dead)}))
		equal(bodies(receive(url, waiting)), []string{"poison"})
		until(func() bool {
			tasks := must(client.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: arnOf(dead)})).Results
			return len(tasks) == 1 && *tasks[0].Status == "COMPLETED" && tasks[0].ApproximateNumberOfMessagesMoved == 1
		})
	}},

	{"a_move_task_is_cancelled", func() {
		_, dead := withDeadLetters("cancelled", 1)
		for i := 0; i < 10; i++ {
			send(dead, fmt.Sprint(i))
		}
		task := must(client.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: arnOf(dead),
			DestinationArn: arnOf(newQueue("cancelled-target", nil)), MaxNumberOfMessagesPerSecond: aws.Int32(1)}))
		must(client.CancelMessageMoveTask(ctx, &sqs.CancelMessageMoveTaskInput{TaskHandle: task.TaskHandle}))
		until(func() bool {
			return *must(client.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{
				SourceArn: arnOf(dead)})).Results[0].Status == "CANCELLED"
		})
		refused[*types.ResourceNotFoundException](second(client.StartMessageMoveTask(ctx,
			&sqs.StartMessageMoveTaskInput{SourceArn: aws.String(*arnOf(dead) + "-not")})))
	}},

	{"errors_are_of_their_type", func() {
		url := newQueue("errors", nil)
		batch := func(entries ...types.SendMessageBatchRequestEntry) error {
			return second(client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries}))
		}
		named := func(id, body string) types.SendMessageBatchRequestEntry {
			return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body}
		}
		refused[*types.QueueDoesNotExist](second(client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(*url + "-not")})))
		refused[*types.ReceiptHandleIsInvalid](second(client.DeleteMessage(ctx, &sqs.DeleteMessageInput{
			QueueUrl: url, ReceiptHandle: aws.String("no handle")})))
		refused[*types.InvalidAttributeName](second(client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: url, AttributeNames: []types.QueueAttributeName{"NoSuch"}})))
		refused[*types.InvalidAttributeValue](second(client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{
			QueueUrl: url, Attributes: settings{"VisibilityTimeout": "soon"}})))
		refused[*types.InvalidMessageContents](second(client.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String("\x01")})))
		refused[*types.UnsupportedOperation](second(client.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String("b"), MessageAttributes: map[string]types.MessageAttributeValue{
				"list": {DataType: aws.String("String"), StringValue: aws.String("a"), StringListValues: []string{"a"}}}})))
		large := strings.Repeat("b", 600000)
		refused[*types.BatchRequestTooLong](batch(named("a", large), named("b", large)))
		eleven := []types.SendMessageBatchRequestEntry{}
		for i := 0; i < 11; i++ {
			eleven = append(eleven, named(fmt.Sprint(i), "b"))
		}
		refused[*types.TooManyEntriesInBatchRequest](batch(eleven...))
		refused[*types.EmptyBatchRequest](batch([]types.SendMessageBatchRequestEntry{}...))
		refused[*types.BatchEntryIdsNotDistinct](batch(named("a", "b"), named("a", "b")))
		refused[*types.InvalidBatchEntryId](batch(named("a b", "b")))
		refused[*types.OverLimit](second(client.AddPermission(ctx, &sqs.AddPermissionInput{
			QueueUrl: url, Label: aws.String("l"), AWSAccountIds: []string{"111111111111"},
			Actions: []string{"SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueUrl",
				"GetQueueAttributes", "PurgeQueue", "ListDeadLetterSourceQueues"}})))
		refusedAs("InvalidParameterValue", second(client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: url, MaxNumberOfMessages: 11})))
	}},
}
