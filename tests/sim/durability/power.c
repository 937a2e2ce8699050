/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "power.h"

#include "agents.h"
#include "check.h"
#include "files.h"
#include "host.h"
#include "keepers.h"
#include "links.h"
#include "people.h"
#include "runners.h"
#include "store.h"
#include "world.h"

void power_kill_all(void) {
        if (actor_lives(&world.daemon))
                world.daemon.dead = true;
        for (unsigned i = 0; i < N_AGENTS; i++)
                if (actor_lives(&agents[i].actor))
                        agents[i].actor.dead = true;
        keepers_kill_all();
        runners_kill_all();
}

/* What the disks have kept, and the next boot. */
static void boot_again(void) {
        check_power_lost();
        proc_exit_all();
        links_drop_all();
        store_lose_power();
        agents_lose_power();
        files_lose_power();
        check_disk();
        world.power_lost = false;
        world.boot++;
        world.now_us += world_below(20 * US_PER_SEC);
        world.booted_us = world.now_us;
        world_note("machine", "is up again", world.boot, 0);
        host_start_soon(world_below(3 * US_PER_SEC));
        people_booted();
}

void power_bury(void) {
        if (world.daemon.dead)
                host_bury();
        agents_bury();
        keepers_bury();
        runners_bury();
        if (world.power_lost)
                boot_again();
}
