/* The children that a graceful restart ends, as the scoreboard knows them. */
#include "shim.h"

#include "ap_mpm.h"
#include "scoreboard.h"
#include <sys/wait.h>

/* Whether a child has ended; it is left to the MPM, which waits for it. */
static int has_ended(pid_t pid)
{
    siginfo_t info;

    info.si_pid = 0;
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

void live_reload_children(int *all, int *ended)
{
    int used = 0, i;
    global_score *global;

    *all = *ended = 0;
    if (!ap_exists_scoreboard_image() || ap_mpm_query(AP_MPMQ_MAX_DAEMON_USED, &used) != APR_SUCCESS) {
        return;
    }
    global = ap_get_scoreboard_global();
    for (i = 0; i < used; i++) {
        process_score *child = ap_get_scoreboard_process(i);
        /* The generation that runs is that of the new configuration. */
        if (child != NULL && child->pid > 0 && child->generation == global->running_generation - 1) {
            (*all)++;
            *ended += has_ended(child->pid);
        }
    }
}
