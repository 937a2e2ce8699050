/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/methods.h"

#include <stdio.h>

#include "core/ref.h"
#include "daemon/audit.h"
#include "daemon/records.h"

#include "config.h"

#define OF_DENIED .of_denied = true

const Method methods[] = {
        { CALL_SUBMIT, ACCESS_ANYONE, method_submit },
        { CALL_DRY_RUN, ACCESS_ANYONE, method_dry_run },
        { CALL_LEARNED, ACCESS_ANYONE, method_learned },
        { CALL_ATTACH, ACCESS_ANYONE, method_attach,
          OF_DENIED }, /* proves by key and uid that the task is its own */
        { CALL_ACCEPT, ACCESS_RUNNER, method_accept, OF_DENIED },
        { CALL_DECLINE, ACCESS_RUNNER, method_decline, OF_DENIED },
        { CALL_STARTED, ACCESS_RUNNER, method_started, OF_DENIED },
        { CALL_USED, ACCESS_RUNNER, method_used, OF_DENIED },
        { CALL_ENDED, ACCESS_RUNNER_LATE, method_ended, OF_DENIED },
        { CALL_AWAY, ACCESS_RUNNER, method_away, OF_DENIED },
        { CALL_WITHDRAW, ACCESS_RUNNER, method_withdraw, OF_DENIED },
        { CALL_LIST, ACCESS_ANYONE, method_list },
        { CALL_SHOW, ACCESS_ANYONE, method_show },
        { CALL_WHY, ACCESS_ANYONE, method_why },
        { CALL_STATUS, ACCESS_ANYONE, method_status },
        { CALL_CANCEL, ACCESS_ANYONE, method_cancel, OF_DENIED }, /* each id is checked */
        { CALL_HOLD, ACCESS_ANYONE, method_hold },                /* likewise */
        { CALL_RELEASE, ACCESS_ANYONE, method_release },          /* likewise */
        { CALL_UPDATE, ACCESS_OWNER, method_update },
        { CALL_DRAIN, ACCESS_ADMIN, method_drain },
        { CALL_UNDRAIN, ACCESS_ADMIN, method_undrain },
        { CALL_WAIT, ACCESS_ANYONE, method_wait },
        { CALL_GET_INFO, ACCESS_ANYONE, method_get_info, OF_DENIED },
        { CALL_SUBMIT_MANY, ACCESS_ANYONE, method_submit_many },
        { CALL_AGENT, ACCESS_ANYONE, method_agent,
          OF_DENIED }, /* of the user that the kernel names */
        { CALL_RESUME, ACCESS_RUNNER_LATE, method_resume, OF_DENIED },
};

const size_t n_methods = ELEMENTSOF(methods);

bool methods_may_act(const Peer *peer, uid_t owner) {
        return peer->uid == owner || peer->is_admin;
}

/* The one task that a method of ACCESS_OWNER or ACCESS_RUNNER is about. */
static uint64_t call_task_id(const Call *call) {
        switch (call->type) {
        case CALL_ACCEPT:
        case CALL_DECLINE:
                return call->accept.id;
        case CALL_STARTED:
                return call->started.id;
        case CALL_USED:
                return call->used.id;
        case CALL_ENDED:
                return call->ended.id;
        case CALL_AWAY:
                return call->away.id;
        case CALL_WITHDRAW:
                return call->withdraw.id;
        case CALL_UPDATE:
                return call->update.id;
        case CALL_RESUME:
                return call->resume.id;
        case CALL_SUBMIT:
        case CALL_DRY_RUN:
        case CALL_LEARNED:
        case CALL_ATTACH:
        case CALL_LIST:
        case CALL_SHOW:
        case CALL_WHY:
        case CALL_STATUS:
        case CALL_CANCEL:
        case CALL_HOLD:
        case CALL_RELEASE:
        case CALL_DRAIN:
        case CALL_UNDRAIN:
        case CALL_WAIT:
        case CALL_GET_INFO:
        case CALL_OFFER:
        case CALL_END:
        case CALL_WITHDRAWN:
        case CALL_LOOK:
        case CALL_SUBMIT_MANY:
        case CALL_AGENT:
        case CALL_QUEUE:
        case CALL_AGENT_STATUS:
        case CALL_AGENT_STOP:
                break;
        }
        return 0;
}

static void refuse(Peer *peer, const Call *call, ErrorName name, const char *text) {
        if (!call->oneway)
                peer_refuse(peer, call->type, name, "%s", text);
}

/* Whether the settings let this user in, or at least do this; refuses otherwise. */
static bool is_let_in(Peer *peer, const Call *call, const Method *method) {
        if (peer->is_allowed || method->of_denied)
                return true;
        audit_kept_out(peer, call->type);
        refuse(peer, call, ERROR_NOT_PERMITTED,
               "the settings of this machine's taskflow keep you out (allow_users, deny_users)");
        return false;
}

/* Whether the call may be served; refuses it otherwise. */
static bool is_permitted(Peer *peer, const Call *call, Access access) {
        Daemon *daemon = peer_daemon(peer);
        uint64_t id = call_task_id(call);
        const Record *record;
        const Task *task;
        char text[128], ref[TASK_REF_FORMAT_MAX];

        if (access == ACCESS_ANYONE || (access == ACCESS_ADMIN && peer->is_admin))
                return true;
        if (access == ACCESS_ADMIN) {
                audit_kept_out(peer, call->type);
                refuse(peer, call, ERROR_NOT_PERMITTED,
                       "only an admin may do that: 'admins' in taskflow.conf names them");
                return false;
        }
        task = core_find(daemon->core, id);
        if (access == ACCESS_OWNER) {
                if (task && methods_may_act(peer, task->uid))
                        return true;
                method_update_refuse(peer, id);
                return false;
        }
        if (access == ACCESS_RUNNER_LATE && peer->is_agent &&
            (!task || task_state_is_final(task->state)))
                return true;
        if (!task) {
                (void)snprintf(text, sizeof(text), "there is no waiting or running task %s",
                               task_ref_format(ref, sizeof(ref), id));
                refuse(peer, call, ERROR_NO_SUCH_TASK, text);
                return false;
        }
        record = record_find(daemon, id);
        if (record && record->owner == peer)
                return true;
        if (peer->uid != task->uid)
                audit_refused(peer, call->type, id, task->uid);
        (void)snprintf(text, sizeof(text), "task %s is not this connection's",
                       task_ref_format(ref, sizeof(ref), id));
        refuse(peer, call, ERROR_NOT_PERMITTED, text);
        return false;
}

/* Its runner has spoken: offers that it did not answer are forgiven (decisions.md 4). */
static void note_spoken(Peer *peer) {
        for (Record *record = peer->records; record && peer->n_silent > 0;
             record = record->owner_next) {
                Event event;

                if (!record->silent)
                        continue;
                record_set_silent(record, false);
                event = daemon_event(EVENT_RUNNER_BACK, record->task_id);
                (void)core_apply(record->daemon->core, &event);
                daemon_want_turn(record->daemon);
        }
}

void methods_serve(Peer *peer, Call *call, bool resumed) {
        note_spoken(peer);
        for (size_t i = 0; i < n_methods; i++) {
                if (methods[i].type != call->type)
                        continue;
                if (is_let_in(peer, call, &methods[i]) &&
                    is_permitted(peer, call, methods[i].access))
                        methods[i].serve(peer, call, resumed);
                return;
        }
        /* a call that only the daemon makes */
        refuse(peer, call, ERROR_METHOD_NOT_FOUND,
               "this is a method of runners, not of the daemon");
}

void method_get_info(Peer *peer, Call *call, bool resumed) {
        Reply reply = { .to = CALL_GET_INFO };

        (void)snprintf(reply.get_info.version, sizeof(reply.get_info.version), "%s",
                       TASKFLOW_VERSION);
        peer_reply(peer, &reply);
}
