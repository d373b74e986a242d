// aws-sdk-go-v2: four goroutines that receive up to ten messages and delete them.
package main

import (
	"context"
	"log"
	"net/url"
	"os"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func consume(client *sqs.Client, queue string) {
	for {
		got, err := client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{
			QueueUrl: &queue, MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
			MessageAttributeNames:       []string{"All"},
		})
		if err != nil {
			log.Fatal(err)
		}
		if len(got.Messages) == 0 {
			continue
		}
		entries := make([]types.DeleteMessageBatchRequestEntry, len(got.Messages))
		for i, m := range got.Messages {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
		}
		if _, err = client.DeleteMessageBatch(context.Background(),
			&sqs.DeleteMessageBatchInput{QueueUrl: &queue, Entries: entries}); err != nil {
			log.Fatal(err)
		}
	}
}

func main() {
	queue := os.Args[1]
	at, err := url.Parse(queue)
	if err != nil {
		log.Fatal(err)
	}
	settings, err := config.LoadDefaultConfig(context.Background(), config.WithRegion("us-east-1"))
	if err != nil {
		log.Fatal(err)
	}
	client := sqs.NewFromConfig(settings, func(o *sqs.Options) { o.BaseEndpoint = aws.String("http://" + at.Host) })
	for i := 0; i < 3; i++ {
		go consume(client, queue)
	}
	consume(client, queue)
}
