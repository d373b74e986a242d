//! aws-sdk-sqs: four tasks that receive up to ten messages and delete them.
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use aws_sdk_sqs::{Client, Error};

async fn consume(client: Client, queue: String) -> Result<(), Error> {
    loop {
        let got = client.receive_message().queue_url(&queue).max_number_of_messages(10).wait_time_seconds(1)
            .message_system_attribute_names(MessageSystemAttributeName::All).message_attribute_names("All")
            .send().await?;
        let entries: Vec<_> = got.messages().iter().enumerate().map(|(i, m)| {
            DeleteMessageBatchRequestEntry::builder().id(i.to_string())
                .receipt_handle(m.receipt_handle().unwrap_or_default()).build().expect("id is set")
        }).collect();
        if !entries.is_empty() {
            client.delete_message_batch().queue_url(&queue).set_entries(Some(entries)).send().await?;
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let queue = std::env::args().nth(1).expect("usage: run QUEUE_URL");
    let endpoint = queue.rsplitn(3, '/').nth(2).expect("a queue's URL").to_string();
    let settings = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .region("us-east-1").endpoint_url(endpoint).load().await;
    let client = Client::new(&settings);
    for _ in 0..3 {
        tokio::spawn(consume(client.clone(), queue.clone()));
    }
    consume(client, queue).await
}
