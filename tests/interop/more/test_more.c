/* The clients that take longer than `make test` has time for, against fanout-local's SQS: aws-cli, whose every call is
 * a program's start, Go's SDK, which is compiled first, and moto's own tests of SQS. `make test-interop` runs them. */
#include "lib/client.h"

#define CLIENT_MS 240000

int
main(void)
{
    static const struct client clients[] = {
        {.name = "aws-cli",
         .needs = "build/interop/python/bin/aws",
         .instead = "FANOUT_AWS",
         .argv = {"tests/interop/awscli/checks", "build/interop/python/bin/aws"},
         .timeout_ms = CLIENT_MS},
        {.name = "Go",
         .needs = "build/interop/go/checks",
         .argv = {"build/interop/go/checks"},
         .timeout_ms = CLIENT_MS},
        /* Its tests expect their account, and ask with keys and regions of their own. */
        {.name = "moto",
         .needs = "build/interop/moto/bin/pytest",
         .argv = {"build/interop/moto/bin/python", "tests/interop/moto/suite.py", "build/interop/moto/suite"},
         .server = {"--account", "123456789012", "--no-auth"},
         .timeout_ms = CLIENT_MS},
    };
    return clients_run(clients, sizeof clients / sizeof *clients);
}
