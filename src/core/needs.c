/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/needs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* NULL if there are none. Return: 0 or -ENOMEM. */
static int copy_array(void *ret, const void *items, size_t n, size_t size) {
        void *copy = NULL;

        if (n > 0) {
                copy = calloc(n, size);
                if (!copy)
                        return -ENOMEM;
                memcpy(copy, items, n * size);
        }

        memcpy(ret, &copy, sizeof(copy));
        return 0;
}

int needs_copy(Needs *ret, const Needs *needs) {
        Needs copy = *needs;

        if (copy_array(&copy.gpus, needs->gpus, needs->n_gpus, sizeof(*needs->gpus)) < 0)
                return -ENOMEM;
        if (copy_array(&copy.tokens, needs->tokens, needs->n_tokens, sizeof(*needs->tokens)) < 0) {
                free(copy.gpus);
                return -ENOMEM;
        }

        *ret = copy;
        return 0;
}

void needs_done(Needs *needs) {
        free(needs->gpus);
        free(needs->tokens);
        *needs = (Needs){};
}

int needs_add_gpu(Needs *needs, const char *want, uint64_t bytes) {
        size_t n_want = strlen(want);
        GpuNeed *gpus;

        if (n_want == 0 || n_want >= GPU_WANT_MAX)
                return -EINVAL;
        if (needs->n_gpus >= NEEDS_GPUS_MAX)
                return -E2BIG;

        gpus = reallocarray(needs->gpus, (size_t)needs->n_gpus + 1, sizeof(*gpus));
        if (!gpus)
                return -ENOMEM;

        needs->gpus = gpus;
        gpus[needs->n_gpus] = (GpuNeed){ .bytes = bytes };
        memcpy(gpus[needs->n_gpus].want, want, n_want);
        needs->n_gpus++;
        return 0;
}

int needs_add_token(Needs *needs, const Token *token) {
        unsigned at = needs->n_tokens;
        Token *tokens;

        if (token_find(needs->tokens, needs->n_tokens, token->name) >= 0)
                return -EEXIST;
        if (needs->n_tokens >= NEEDS_TOKENS_MAX)
                return -E2BIG;

        tokens = reallocarray(needs->tokens, (size_t)needs->n_tokens + 1, sizeof(*tokens));
        if (!tokens)
                return -ENOMEM;

        for (; at > 0 && strcmp(tokens[at - 1].name, token->name) > 0; at--)
                tokens[at] = tokens[at - 1];
        tokens[at] = *token;
        needs->tokens = tokens;
        needs->n_tokens++;
        return 0;
}

int needs_add_tokens(Needs *needs, const char *list) {
        char word[TOKEN_NAME_MAX + sizeof(":1000000")];

        while (*list) {
                size_t n = strcspn(list, " ");
                Token token;
                int r;

                if (n >= sizeof(word))
                        return -EINVAL;
                memcpy(word, list, n);
                word[n] = '\0';
                if (token_parse(word, &token, NULL) < 0)
                        return -EINVAL;
                r = needs_add_token(needs, &token);
                if (r < 0)
                        return r == -ENOMEM ? r : -EINVAL;
                list += n + (list[n] == ' ');
        }

        return 0;
}

static int compare_tokens(const void *a, const void *b) {
        const Token *x = a, *y = b;

        return strcmp(x->name, y->name);
}

bool needs_sort_tokens(Needs *needs) {
        if (needs->n_tokens > 1)
                qsort(needs->tokens, needs->n_tokens, sizeof(*needs->tokens), compare_tokens);
        for (unsigned i = 1; i < needs->n_tokens; i++)
                if (strcmp(needs->tokens[i - 1].name, needs->tokens[i].name) == 0)
                        return false;

        return true;
}

void needs_drop_tokens(Needs *needs) {
        free(needs->tokens);
        needs->tokens = NULL;
        needs->n_tokens = 0;
}

unsigned needs_n_of_token(const Needs *needs, const char *name) {
        int at = token_find(needs->tokens, needs->n_tokens, name);

        return at < 0 ? 0 : needs->tokens[at].n;
}

bool needs_equal(const Needs *a, const Needs *b) {
        if (a->memory_bytes != b->memory_bytes || a->cpus != b->cpus || a->n_gpus != b->n_gpus ||
            a->n_tokens != b->n_tokens)
                return false;

        for (unsigned i = 0; i < a->n_tokens; i++)
                if (a->tokens[i].n != b->tokens[i].n ||
                    strcmp(a->tokens[i].name, b->tokens[i].name) != 0)
                        return false;

        for (unsigned i = 0; i < a->n_gpus; i++)
                if (a->gpus[i].bytes != b->gpus[i].bytes ||
                    strncmp(a->gpus[i].uuid, b->gpus[i].uuid, GPU_UUID_MAX) != 0)
                        return false;

        return true;
}

bool needs_is_empty(const Needs *needs) {
        return needs->memory_bytes == 0 && needs->cpus == 0 && needs->n_gpus == 0 &&
               needs->n_tokens == 0;
}
