/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/agent.h"

#include "cli/session.h"
#include "client/agent.h"
#include "util/clock.h"
#include "util/macro.h"

#define DELIVER_US (2 * US_PER_SEC)  /* whoever looks is not kept longer */
#define ROUSE_US   (10 * US_PER_SEC) /* for a daemon that must be started first */

int agent_connect(Client **ret, unsigned flags, Error *error) {
        session_occupy_descriptors();
        return client_connect_agent(ret, flags, error);
}

int agent_ask_status(Client *agent, uint64_t until_boot_us, Reply *reply) {
        const Call call = { .type = CALL_AGENT_STATUS };

        if (client_send(agent, &call, -1, NULL) != 0)
                return SESSION_E_CLOSED;
        return session_receive(agent, until_boot_us, reply, NULL);
}

/* Starts one if need be, and waits until it has said to the daemon all that it knows. Return: true if it has. */
static bool start_and_hear(uint64_t until_boot_us) {
        /* Twice: one that has just nothing more to do may end before it has answered. */
        for (int i = 0; i < 2; i++) {
                _cleanup_(client_freep) Client *agent = NULL;
                bool connected;
                Reply reply;
                Error error;
                int r;

                if (agent_connect(&agent, CLIENT_START | CLIENT_QUIET, &error) != 0)
                        return false;
                r = agent_ask_status(agent, until_boot_us, &reply);
                if (r == SESSION_E_CLOSED)
                        continue;
                if (r != 0)
                        return false;
                connected = reply.error == ERROR_NONE && reply.agent_status.connected;
                reply_done(&reply);
                return connected;
        }
        return false;
}

void agent_deliver(void) {
        _cleanup_(client_freep) Client *agent = NULL;
        Error error;

        if (!client_agent_has_work())
                return;
        /* One that runs delivers by itself, and at once. */
        if (agent_connect(&agent, 0, &error) == 0 || client_agent_is_stopped())
                return;
        (void)start_and_hear(clock_boottime_us() + DELIVER_US);
}

bool agent_rouse(void) {
        return client_agent_has_work() && start_and_hear(clock_boottime_us() + ROUSE_US);
}
