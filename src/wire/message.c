/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A message is the envelope, which is here, and the parameters, which the tables know (fields.h, tables.h).
 *
 * Before jansson sees a message its brackets and commas are counted: a tree of values takes much more memory than its text,
 * and how deep it goes is how deep we recurse.
 */

#include "wire/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <jansson.h>

#include "util/cleanup.h"
#include "util/text.h"
#include "wire/fields.h"
#include "wire/frame.h"
#include "wire/tables.h"

enum {
        /*
         * WIRE_TASKS_MAX tasks with 128 values each, and therefore more than any other call needs. A bound for each method
         * would keep nobody out, who may say that his is the one with many tasks. Measured: a hostile message takes 22 MiB
         * at most, for the 15 ms in which it is read, and only one is read at a time.
         */
        CALL_VALUES_MAX = 128 * 1024,
        REPLY_VALUES_MAX =
                512 *
                1024, /* from a daemon that the user chose: what fits FRAME_MESSAGE_MAX, about */
};

static const char *const call_type_table[] = {
        [CALL_SUBMIT] = "Submit",
        [CALL_DRY_RUN] = "DryRun",
        [CALL_LEARNED] = "Learned",
        [CALL_ATTACH] = "Attach",
        [CALL_ACCEPT] = "Accept",
        [CALL_DECLINE] = "Decline",
        [CALL_STARTED] = "Started",
        [CALL_USED] = "Used",
        [CALL_ENDED] = "Ended",
        [CALL_AWAY] = "Away",
        [CALL_WITHDRAW] = "Withdraw",
        [CALL_LIST] = "List",
        [CALL_SHOW] = "Show",
        [CALL_WHY] = "Why",
        [CALL_STATUS] = "Status",
        [CALL_CANCEL] = "Cancel",
        [CALL_HOLD] = "Hold",
        [CALL_RELEASE] = "Release",
        [CALL_UPDATE] = "Update",
        [CALL_DRAIN] = "Drain",
        [CALL_UNDRAIN] = "Undrain",
        [CALL_WAIT] = "Wait",
        [CALL_GET_INFO] = "GetInfo",
        [CALL_OFFER] = "Offer",
        [CALL_END] = "End",
        [CALL_WITHDRAWN] = "Withdrawn",
        [CALL_LOOK] = "Look",
        [CALL_SUBMIT_MANY] = "SubmitMany",
        [CALL_AGENT] = "Agent",
        [CALL_RESUME] = "Resume",
        [CALL_QUEUE] = "Queue",
        [CALL_AGENT_STATUS] = "AgentStatus",
        [CALL_AGENT_STOP] = "AgentStop",
};

static const char *const error_name_table[] = {
        [ERROR_NONE] = WIRE_INTERFACE ".None",
        [ERROR_BAD_REQUEST] = WIRE_INTERFACE ".BadRequest",
        [ERROR_METHOD_NOT_FOUND] = "org.varlink.service.MethodNotFound",
        [ERROR_NO_SUCH_TASK] = WIRE_INTERFACE ".NoSuchTask",
        [ERROR_NOT_PERMITTED] = WIRE_INTERFACE ".NotPermitted",
        [ERROR_IMPOSSIBLE] = WIRE_INTERFACE ".Impossible",
        [ERROR_CANNOT_START_NOW] = WIRE_INTERFACE ".CannotStartNow",
        [ERROR_LIMIT] = WIRE_INTERFACE ".Limit",
        [ERROR_WRONG_STATE] = WIRE_INTERFACE ".WrongState",
        [ERROR_NOT_AVAILABLE] = WIRE_INTERFACE ".NotAvailable",
        [ERROR_FAILED] = WIRE_INTERFACE ".Failed",
};

static const char *const id_outcome_table[] = {
        [ID_OUTCOME_DONE] = "done",           [ID_OUTCOME_ENDING] = "ending",
        [ID_OUTCOME_NO_RUNNER] = "no-runner", [ID_OUTCOME_NO_SUCH_TASK] = "no-such-task",
        [ID_OUTCOME_NOT_YOURS] = "not-yours", [ID_OUTCOME_WRONG_STATE] = "wrong-state",
        [ID_OUTCOME_LIMIT] = "limit",
};

DEFINE_STRING_TABLE(call_type, CallType);
DEFINE_STRING_TABLE(error_name, ErrorName);
DEFINE_STRING_TABLE(id_outcome, IdOutcome);

bool call_type_is_oneway(CallType type) {
        return call_specs[type].oneway;
}

/* Size */

/* Behind the string that begins at @s with its quote; or the end. */
static const char *skip_string(const char *s, const char *end) {
        for (s++; s < end && *s != '"'; s++)
                if (*s == '\\' && s + 1 < end)
                        s++;
        return s < end ? s + 1 : end;
}

/* Whether a message is small enough a tree to be looked at. */
static int check_shape(const char *bytes, size_t n, size_t n_values_max, Error *error) {
        const char *s = bytes, *end = bytes + n;
        size_t depth = 0, n_values = 0;

        while (s < end) {
                switch (*s) {
                case '"':
                        s = skip_string(s, end);
                        continue;
                case '{':
                case '[':
                        n_values++;
                        if (++depth > FIELDS_DEPTH_MAX)
                                return error_set(error, MESSAGE_E_BAD, "brackets go deeper than %d",
                                                 FIELDS_DEPTH_MAX);
                        break;
                case '}':
                case ']':
                        depth -= depth > 0;
                        break;
                case ',':
                        n_values++;
                        break;
                default:
                        break;
                }
                s++;
        }

        if (n_values > n_values_max)
                return error_set(error, MESSAGE_E_BAD, "more than %zu values", n_values_max);
        return 0;
}

/* Writing */

/* With more values than the other side takes it is too big, so that whoever writes it puts less into it. */
static int take_call(JsonText *text, char **ret, size_t *ret_n) {
        char *bytes;
        size_t n;
        int r;

        r = json_text_take(text, &bytes, &n);
        if (r < 0)
                return r;

        if (n > CALL_VALUES_MAX && check_shape(bytes, n, CALL_VALUES_MAX, NULL) != 0) {
                free(bytes);
                return -E2BIG;
        }

        *ret = bytes;
        if (ret_n)
                *ret_n = n;
        return 0;
}

int call_encode(const Call *call, char **ret, size_t *ret_n) {
        const CallSpec *spec = &call_specs[call->type];
        JsonText text = JSON_TEXT_NULL(FRAME_MESSAGE_MAX);

        json_text_open(&text, '{');
        json_text_key(&text, "method");
        json_text_string(&text, spec->method, TASK_TEXT_MAX);
        if (spec->call) {
                json_text_key(&text, "parameters");
                json_text_open(&text, '{');
                fields_encode(&text, spec->call->fields, call);
                json_text_close(&text, '}');
        }
        if (call->oneway || spec->oneway) {
                json_text_key(&text, "oneway");
                json_text_bool(&text, true);
        }
        if (call->more) {
                json_text_key(&text, "more");
                json_text_bool(&text, true);
        }
        json_text_close(&text, '}');
        return take_call(&text, ret, ret_n);
}

int reply_encode(const Reply *reply, char **ret, size_t *ret_n) {
        const Object *object = call_specs[reply->to].reply;
        JsonText text = JSON_TEXT_NULL(FRAME_MESSAGE_MAX);

        json_text_open(&text, '{');
        if (reply->error != ERROR_NONE) {
                json_text_key(&text, "error");
                json_text_string(&text, error_name_to_string(reply->error), TASK_TEXT_MAX);
        }
        json_text_key(&text, "parameters");
        json_text_open(&text, '{');
        fields_encode(&text, object_reply.fields, reply);
        if (object && reply->error == ERROR_NONE)
                fields_encode(&text, object->fields, reply);
        json_text_close(&text, '}');
        if (reply->continues) {
                json_text_key(&text, "continues");
                json_text_bool(&text, true);
        }
        json_text_close(&text, '}');
        return json_text_take(&text, ret, ret_n);
}

/* Reading */

/*
 * jansson's seed for its hash tables, against keys that are chosen to collide. By itself it would open and read
 * /dev/urandom for it, which is not there in every chroot.
 */
static void seed(void) {
        static bool done;
        size_t value;

        if (done)
                return;

        done = true;
        if (getrandom(&value, sizeof(value), GRND_NONBLOCK) == (ssize_t)sizeof(value))
                json_object_seed(value);
}

/* @word as it may be shown: whoever sent it is not trusted with anybody's terminal. */
static const char *visible(const char *word, char **buf) {
        *buf = text_visible(word);
        return *buf ? *buf : "?";
}

/* The object that a message is. */
static int load(const char *bytes, size_t n, size_t n_values_max, json_t **ret, Error *error) {
        _cleanup_free_ char *buf = NULL;
        json_error_t json_error;
        json_t *json;
        int r;

        r = check_shape(bytes, n, n_values_max, error);
        if (r != 0)
                return r;

        seed();
        json = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &json_error);
        if (!json && json_error_code(&json_error) == json_error_out_of_memory)
                return -ENOMEM;
        if (!json)
                return error_set(error, MESSAGE_E_BAD, "bad JSON: %s",
                                 visible(json_error.text, &buf));

        if (!json_is_object(json)) {
                json_decref(json);
                return error_set(error, MESSAGE_E_BAD, "no JSON object");
        }

        *ret = json;
        return 0;
}

typedef json_t Json;
static inline void json_freep(Json **json) {
        json_decref(*json);
}

/* The type of the method, -1: none of ours. */
static int find_method(const char *method) {
        for (int i = 0; i < N_CALL_TYPES; i++)
                if (strcmp(call_specs[i].method, method) == 0)
                        return i;
        return -1;
}

/* What stands around the parameters of a call. */
static int decode_call_envelope(json_t *json, Call *call, json_t **ret_parameters, Error *error) {
        json_t *oneway = json_object_get(json, "oneway"), *more = json_object_get(json, "more");
        json_t *method = json_object_get(json, "method"),
               *parameters = json_object_get(json, "parameters");
        _cleanup_free_ char *buf = NULL;
        size_t n_known = (size_t) !!oneway + !!more + !!method + !!parameters;
        int type;

        if (!json_is_string(method))
                return error_set(error, MESSAGE_E_BAD, "'method' must be a text");
        if (n_known < json_object_size(json))
                return error_set(error, MESSAGE_E_BAD,
                                 "unknown key beside 'method' and 'parameters'");
        if (oneway && !json_is_boolean(oneway))
                return error_set(error, MESSAGE_E_BAD, "'oneway' must be true or false");
        if (more && !json_is_boolean(more))
                return error_set(error, MESSAGE_E_BAD, "'more' must be true or false");
        if (parameters && !json_is_object(parameters))
                return error_set(error, MESSAGE_E_BAD, "'parameters' must be an object");

        call->oneway = json_is_true(oneway);
        call->more = json_is_true(more);
        if (call->oneway && call->more)
                return error_set(error, MESSAGE_E_BAD, "'oneway' and 'more' exclude each other");

        type = find_method(json_string_value(method));
        if (type < 0)
                return error_set(error, MESSAGE_E_METHOD_NOT_FOUND, "no method '%.100s'",
                                 visible(json_string_value(method), &buf));

        call->type = (CallType)type;
        if (call_specs[type].oneway && !call->oneway)
                return error_set(error, MESSAGE_E_BAD, "'%s' has no reply: 'oneway' must be true",
                                 call_type_table[type]);
        *ret_parameters = parameters;
        return 0;
}

static int decode_call_parameters(json_t *parameters, Call *call, Error *error) {
        /* The daemon's own are read by runners, which may be older than it. */
        FieldsReader reader = { .strict = !call_specs[call->type].from_daemon, .error = error };
        const Object *object = call_specs[call->type].call;
        _cleanup_(json_freep) Json *none = NULL;

        if (!object) {
                if (json_object_size(parameters) > 0 && reader.strict)
                        return error_set(error, MESSAGE_E_BAD, "'%s' takes no parameters",
                                         call_type_table[call->type]);
                return 0;
        }

        if (!parameters) {
                parameters = none = json_object();
                if (!none)
                        return -ENOMEM;
        }
        return fields_decode(&reader, object, parameters, call);
}

int call_decode(const char *bytes, size_t n, Call *ret, Error *error) {
        _cleanup_(json_freep) Json *json = NULL;
        json_t *parameters = NULL;
        Call call = {};
        int r;

        r = load(bytes, n, CALL_VALUES_MAX, &json, error);
        if (r != 0)
                return r;

        r = decode_call_envelope(json, &call, &parameters, error);
        if (r != 0)
                return r;

        r = decode_call_parameters(parameters, &call, error);
        if (r != 0) {
                call_done(&call);
                return r;
        }

        *ret = call;
        return 0;
}

/* The error that a reply is, with the name as the message if it has none. */
static int decode_error(const json_t *name, Reply *reply, Error *error) {
        int value;

        if (!json_is_string(name))
                return error_set(error, MESSAGE_E_BAD, "'error' must be a text");

        value = error_name_from_string(json_string_value(name));
        reply->error = value <= ERROR_NONE ? ERROR_FAILED : (ErrorName)value;
        if (reply->message)
                return 0;

        reply->message = strdup(json_string_value(name));
        return reply->message ? 0 : -ENOMEM;
}

static int decode_reply(json_t *json, Reply *reply, Error *error) {
        FieldsReader reader = { .error = error };
        json_t *name = json_object_get(json, "error"),
               *continues = json_object_get(json, "continues");
        json_t *parameters = json_object_get(json, "parameters");
        const Object *object = call_specs[reply->to].reply;
        int r;

        if (continues && !json_is_boolean(continues))
                return error_set(error, MESSAGE_E_BAD, "'continues' must be true or false");
        reply->continues = json_is_true(continues);

        if (parameters) {
                r = fields_decode(&reader, &object_reply, parameters, reply);
                if (r != 0)
                        return r;
        }

        if (name)
                return decode_error(name, reply, error);
        if (!object)
                return 0;
        if (!parameters)
                return error_set(error, MESSAGE_E_BAD, "'parameters' is missing");
        return fields_decode(&reader, object, parameters, reply);
}

int reply_decode(CallType to, const char *bytes, size_t n, Reply *ret, Error *error) {
        _cleanup_(json_freep) Json *json = NULL;
        Reply reply = { .to = to };
        int r;

        r = load(bytes, n, REPLY_VALUES_MAX, &json, error);
        if (r != 0)
                return r;

        r = decode_reply(json, &reply, error);
        if (r != 0) {
                reply_done(&reply);
                return r;
        }

        *ret = reply;
        return 0;
}

/* Whether the string that begins at @s with its quote is `method`. */
static bool is_method_key(const char *s, const char *end) {
        static const char key[] = "\"method\"";

        return (size_t)(end - s) >= strlen(key) && memcmp(s, key, strlen(key)) == 0;
}

bool message_is_call(const char *bytes, size_t n) {
        const char *s = bytes, *end = bytes + n;
        bool at_key = false;
        size_t depth = 0;

        while (s < end) {
                if (*s == '"') {
                        if (depth == 1 && at_key && is_method_key(s, end))
                                return true;
                        at_key = false;
                        s = skip_string(s, end);
                        continue;
                }
                if (*s == '{' || *s == '[')
                        depth++;
                else if (*s == '}' || *s == ']')
                        depth -= depth > 0;
                if (*s == '{' || *s == ',')
                        at_key = true;
                s++;
        }

        return false;
}

/* Releasing */

void call_done(Call *call) {
        const Object *object = call_specs[call->type].call;

        if (object)
                fields_done(object->fields, call);
        *call = (Call){ .type = call->type };
}

void reply_done(Reply *reply) {
        const Object *object = call_specs[reply->to].reply;

        fields_done(object_reply.fields, reply);
        if (object && reply->error == ERROR_NONE)
                fields_done(object->fields, reply);
        *reply = (Reply){ .to = reply->to };
}
