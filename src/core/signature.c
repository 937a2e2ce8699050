/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/signature.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "util/macro.h"

enum {
        WORDS_MAX = 64, /* that are looked at */
};

/* A part of a text. */
typedef struct Word {
        const char *at;
        size_t n;
} Word;

typedef struct Words {
        size_t n;
        Word words[WORDS_MAX];
} Words;

static void add(Words *words, const char *at, size_t n) {
        if (n > 0 && words->n < WORDS_MAX)
                words->words[words->n++] = (Word){ at, n };
}

/* "LR=3" */
static bool is_assignment(Word word) {
        size_t n = 0;

        while (n < word.n && (isalnum((unsigned char)word.at[n]) || word.at[n] == '_'))
                n++;
        return n > 0 && n < word.n && word.at[n] == '=' && !isdigit((unsigned char)word.at[0]);
}

/* What a shell would do more with than to execute words. */
static bool is_plain(const char *line) {
        return strpbrk(line, "\"'\\`$&|;<>(){}*?[]#~!\n") == NULL;
}

static void split(Words *words, const char *line) {
        while (*line) {
                size_t n = strcspn(line, " \t");

                if (words->n > 0 || !is_assignment((Word){ line, n }))
                        add(words, line, n);
                line += n;
                line += strspn(line, " \t");
        }
}

/* A line that is not plain is one word. */
static void take_words(Words *words, const Task *task) {
        const char *line = task->argv && task->argv[0] ? task->argv[0] : task->command;

        if (task->argv && task->argv[0] && task->argv[1]) {
                for (size_t i = 0; task->argv[i] && words->n < WORDS_MAX; i++)
                        add(words, task->argv[i], strlen(task->argv[i]));
                return;
        }
        if (line && is_plain(line))
                split(words, line);
        else if (line)
                add(words, line, strlen(line));
}

static bool is_script(Word word) {
        static const char *const endings[] = { ".py", ".sh",  ".R",  ".r",  ".jl", ".ipynb",
                                               ".pl", ".lua", ".rb", ".js", ".m",  ".sbatch" };

        for (size_t i = 0; i < ELEMENTSOF(endings); i++) {
                size_t n = strlen(endings[i]);

                if (word.n > n && memcmp(word.at + word.n - n, endings[i], n) == 0)
                        return true;
        }
        return false;
}

static Word find_script(const Words *words) {
        for (size_t i = 1; i < words->n; i++)
                if (is_script(words->words[i]) && words->words[i].at[0] != '-')
                        return words->words[i];
        for (size_t i = 1; i < words->n; i++)
                if (words->words[i].at[0] != '-')
                        return words->words[i];
        return (Word){ "", 0 };
}

static Word base_of(Word word) {
        const char *slash = memrchr(word.at, '/', word.n);

        if (slash && slash + 1 < word.at + word.n)
                return (Word){ slash + 1, (size_t)(word.at + word.n - slash - 1) };
        return word;
}

/* FNV-1a; the end of each text counts, too. */
static uint64_t mix(uint64_t hash, Word word) {
        static const uint64_t prime = UINT64_C(0x100000001b3);

        for (size_t i = 0; i < word.n; i++)
                hash = (hash ^ (unsigned char)word.at[i]) * prime;
        return (hash ^ 0xff) * prime;
}

uint64_t signature_of(const Task *task, char label[SIGNATURE_LABEL_MAX]) {
        const char *cwd = task->cwd ? task->cwd : "";
        Word program = { "", 0 }, script;
        Words words = {};
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        take_words(&words, task);
        script = find_script(&words);
        if (words.n > 0)
                program = words.words[0];
        if (program.n > 0 && program.at[0] != '.') /* one in PATH, or by its whole name */
                program = base_of(program);
        if (label)
                (void)snprintf(label, SIGNATURE_LABEL_MAX, "%.*s%s%.*s", (int)MIN(program.n, 60U),
                               program.at, script.n > 0 ? " " : "", (int)MIN(script.n, 60U),
                               script.at);

        hash = mix(mix(hash, program), script);
        if ((program.n > 0 && program.at[0] == '.') || (script.n > 0 && script.at[0] != '/'))
                hash = mix(hash, (Word){ cwd, strlen(cwd) });
        hash &= INT64_MAX;
        return hash != 0 ? hash : 1;
}
