/* The AWS SDKs that are quick to run, unmodified, against fanout-local's SQS: what each sees is in the folder of its
 * name. `make test-interop` runs those that take longer (more/). */
#include "lib/client.h"

#define CLIENT_MS 120000 /* each takes seconds, on a busy machine some more */

int
main(void)
{
    static const struct client clients[] = {
        {.name = "boto3",
         .needs = "build/interop/python/bin/python",
         .argv = {"build/interop/python/bin/python", "tests/interop/boto3/checks.py"},
         .instead = "FANOUT_PYTHON",
         .timeout_ms = CLIENT_MS},
        {.name = "boto3 1.26 (Query)",
         .needs = "/usr/lib/python3/dist-packages/boto3",
         .argv = {"/usr/bin/python3", "tests/interop/query/checks_query.py"},
         .timeout_ms = CLIENT_MS},
        {.name = "JavaScript",
         .needs = "build/interop/node/node_modules/sqs-consumer",
         .argv = {"node", "--input-type=module", "-"},
         .input = "tests/interop/node/checks.mjs",
         .cwd = "build/interop/node",
         .timeout_ms = CLIENT_MS},
    };
    return clients_run(clients, sizeof clients / sizeof *clients);
}
