#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The wait for room, in words
 *
 * Of RAM, of cores, of tokens and of GPUs: what is needed where, what is free, what is missing, and who has it or is to have it.
 */

#include "core/words.h"

/* Whether what is lacking is a GPU, or memory on one. */
bool room_is_of_gpu(const Lack *lack);

/* Whether what is lacking is told in numbers: what is asked, free and missing of something. */
bool room_has_numbers(WaitReason reason);

/* `needs 20G of RAM: 12G free, 8G missing (task 12 of alice holds 20G)` */
void room_say_place(Words *words, const Lack *lack);

/* `needs 4 cores: 2 of 8 free, 2 missing (task 12 of alice has 6)` */
void room_say_cores(Words *words, const Lack *lack);

/* `needs 2 tokens of matlab: 1 of 3 free, 1 missing (task 12 of alice has 2)` */
void room_say_tokens(Words *words, const Lack *lack);

/* GPUs that are alternatives: what is needed is said once. `GPU 0 has 3.9G free, ...` */
void room_say_alternative(Words *words, const Lack *lack, bool first);
