// What aws-sdk-go-v2, unmodified, sees of fanout-local's SQS, a function for each thing (checks.go); told in TAP.
// Endpoint, credentials and region come from the environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

var client *sqs.Client
var ctx = context.Background()

// What a check ends with when something is wrong.
type wrong string

func want(ok bool, format string, args ...any) {
	if !ok {
		panic(wrong(fmt.Sprintf(format, args...)))
	}
}

func equal(got, expected any) {
	want(reflect.DeepEqual(got, expected), "%#v, not %#v", got, expected)
}

// must is for calls that must succeed: must(client.SendMessage(...)).MessageId
func must[T any](result T, err error) T {
	want(err == nil, "%v", err)
	return result
}

// refused wants the error of one of the SDK's classes: refused[*types.QueueDoesNotExist](err)
func refused[E error](err error) {
	var expected E
	want(errors.As(err, &expected), "%T expected: %v", expected, err)
}

// refusedAs is for errors that have a code and no class.
func refusedAs(code string, err error) {
	var api smithy.APIError
	want(errors.As(err, &api) && api.ErrorCode() == code, "%s expected: %v", code, err)
}

func second[T any](_ T, err error) error { return err }

func until(what func() bool) {
	for end := time.Now().Add(20 * time.Second); !what(); time.Sleep(20 * time.Millisecond) {
		want(time.Now().Before(end), "it never came about")
	}
}

// ---- short forms of the calls --------------------------------------------------------------------------------------

type settings map[string]string

func newQueue(name string, attributes settings) *string {
	return must(client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})).QueueUrl
}

func attributesOf(queue *string) settings {
	return must(client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})).Attributes
}

func arnOf(queue *string) *string {
	arn := attributesOf(queue)["QueueArn"]
	return &arn
}

// Messages that are visible, in flight, delayed.
func countsOf(queue *string) [3]int {
	all := attributesOf(queue)
	count := func(kind string) int { return must(strconv.Atoi(all["ApproximateNumberOfMessages"+kind])) }
	return [3]int{count(""), count("NotVisible"), count("Delayed")}
}

func send(queue *string, body string) *sqs.SendMessageOutput {
	return must(client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: &body}))
}

func sendTo(queue *string, group, body string) *sqs.SendMessageOutput {
	return must(client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: queue, MessageBody: &body, MessageGroupId: &group, MessageDeduplicationId: &body}))
}

func receive(queue *string, options ...func(*sqs.ReceiveMessageInput)) []types.Message {
	in := &sqs.ReceiveMessageInput{
		QueueUrl: queue, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll}}
	for _, option := range options {
		option(in)
	}
	return must(client.ReceiveMessage(ctx, in)).Messages
}

// Options of receive.
func one(in *sqs.ReceiveMessageInput)     { in.MaxNumberOfMessages = 1 }
func waiting(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = 20 }

func remove(queue *string, message types.Message) {
	must(client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: message.ReceiptHandle}))
}

func release(queue *string, message types.Message) {
	must(client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: queue, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: 0}))
}

func bodies(messages []types.Message) []string {
	all := []string{}
	for _, message := range messages {
		all = append(all, *message.Body)
	}
	return all
}

func withDeadLetters(name string, receives int) (queue, dead *string) {
	dead = newQueue(name+"-dead", nil)
	policy := fmt.Sprintf(`{"deadLetterTargetArn": %q, "maxReceiveCount": %d}`, *arnOf(dead), receives)
	return newQueue(name, settings{"RedrivePolicy": policy}), dead
}

// ---- TAP -----------------------------------------------------------------------------------------------------------

func say(number int, name string, check func()) (ok bool) {
	defer func() {
		if caught := recover(); caught != nil {
			text := strings.ReplaceAll(fmt.Sprint(caught), "\n", "\n# ")
			fmt.Printf("not ok %d - %s\n# %s\n", number, name, text)
		}
	}()
	check()
	fmt.Printf("ok %d - %s\n", number, name)
	return true
}

func main() {
	client = sqs.NewFromConfig(must(config.LoadDefaultConfig(ctx)))
	failed := 0
	fmt.Printf("1..%d\n", len(checks))
	for i, check := range checks {
		if !say(i+1, check.name, check.run) {
			failed = 1
		}
	}
	os.Exit(failed)
}
