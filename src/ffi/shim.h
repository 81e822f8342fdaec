/* What Rust cannot say: httpd's macros, variadic functions and symbols of mod_proxy that may be absent. */
#ifndef PROXY_LIVE_SHIM_H
#define PROXY_LIVE_SHIM_H

#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "http_connection.h"
#include "http_protocol.h"
#include "util_filter.h"
#include "ap_mpm.h"
#include "mpm_common.h"
#include "apr_optional.h"
#include "apr_optional_hooks.h"
#include "apr_portable.h"
#include "apr_signal.h"
#include "mod_proxy.h"
#include "mod_status.h"
#include "hold.h"
#include "source.h"

/* The command table; its functions are in Rust. */
extern const command_rec live_commands[];
const char *live_cmd_proxy_live(cmd_parms *cmd, void *dir, const char *mode, const char *tmpl);
const char *live_cmd_resolver(cmd_parms *cmd, void *dir, const char *args);
const char *live_cmd_template(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *live_cmd_drain_file(cmd_parms *cmd, void *dir, const char *path);

/* Log: `text` is never a format. `s` may be NULL (before the configuration is read). */
int live_log_enabled(const server_rec *s, int level);
void live_log(const server_rec *s, int level, const char *text);

/* Symbols of mod_proxy are weak: absent ones are found here, with a message, not by the loader. */
int live_proxy_loaded(void);
int live_core_minor(void);
int live_proxy_minor(void);
proxy_server_conf *live_proxy_conf(const server_rec *s);
/* Hooks registered from now on are those of the module of this name; returns the one before. */
const char *live_hooking(const char *name);
/* Whether there is a module for balancers. All modules have registered their hooks. */
int live_balances(void);
void live_hook_scheme_handler(int (*f)(request_rec *, proxy_worker *, proxy_server_conf *, char *,
                                       const char *, apr_port_t));
void live_hook_post_request(int (*f)(proxy_worker *, proxy_balancer *, request_rec *, proxy_server_conf *));
/* In a child, whose hooks do not change any more; before the first request. */
void live_find_scheme_handlers(void);
int live_run_scheme_handler(request_rec *r, proxy_worker *w, proxy_server_conf *conf, char *url,
                            const char *proxyhost, apr_port_t proxyport);
apr_status_t live_initialize_worker(proxy_worker *w, server_rec *s, apr_pool_t *p);
const char *live_define_worker(apr_pool_t *p, proxy_worker **w, const char *url);
int live_acquire_connection(proxy_conn_rec **conn, proxy_worker *w, server_rec *s);
void live_release_connection(proxy_conn_rec *conn, server_rec *s);
apr_status_t live_determine_address(proxy_conn_rec *conn, const char *host, apr_port_t port, server_rec *s);

/* The worker's own mutex, tried only; a worker without one (not initialized) counts as locked by others. */
int live_worker_trylock(proxy_worker *w);
void live_worker_unlock(proxy_worker *w);

/* Bits in shared or concurrently used words. */
unsigned live_status_or(proxy_worker_shared *s, unsigned bits);
unsigned live_status_and_not(proxy_worker_shared *s, unsigned bits);
unsigned live_status_get(const proxy_worker_shared *s);
void live_forgive(proxy_worker_shared *s);
apr_time_t live_error_time(const proxy_worker_shared *s);
int live_connect_timeout_is_set(const proxy_worker_shared *s);
void live_connect_timeout_mark(proxy_worker_shared *s, int set);
apr_interval_time_t live_connect_timeout(const proxy_worker_shared *s);
void live_connect_timeout_store(proxy_worker_shared *s, apr_interval_time_t micros);
apr_interval_time_t live_worker_timeout(const proxy_worker_shared *s, const server_rec *server);
int live_answer_fails_worker(const proxy_worker *w, const proxy_balancer *b, const request_rec *r);
int live_balancer_recovers(const proxy_balancer_shared *b);
int live_is_backends_answer(const request_rec *r);
apr_interval_time_t live_worker_retry(const proxy_worker_shared *s);
int live_worker_address_reusable(const proxy_worker_shared *s);
int live_worker_disables_reuse(const proxy_worker_shared *s);
int live_worker_host_matchable(const proxy_worker_shared *s);
int live_balancer_max_attempts(const proxy_balancer *b);
int live_balancer_fails_on_timeout(const proxy_balancer *b);
int live_balancer_binds_sessions(const proxy_balancer *b);
int live_balancer_is_outdated(const proxy_balancer *b);
int live_balancer_count(const proxy_balancer *b);
int live_balancer_trylock(proxy_balancer *b);
void live_balancer_unlock(proxy_balancer *b);
int live_balancer_sync(proxy_balancer *b, server_rec *s);
proxy_worker *live_balancer_member(const proxy_balancer *b, int i);
int live_balancer_shares(const proxy_balancer *b, const proxy_worker *w);
void live_balancer_allow_attempts(proxy_balancer *b, int attempts);
void live_set_in_error(proxy_worker_shared *s);
void live_hook_pre_request(int (*f)(proxy_worker **, proxy_balancer **, request_rec *, proxy_server_conf *, char **));
void live_extend_error(proxy_worker_shared *s, apr_interval_time_t micros);
/* Calls live_request_status(), which is in Rust, for requests with a history. */
void live_hook_request_status(void);
void live_request_status(int *status, request_rec *r);
/* Calls f for requests whose handler (SetHandler) is one of this module's. */
void live_hook_handler(void);
int live_handle(request_rec *r, int which);
#define LIVE_HANDLER_STATUS 1
#define LIVE_HANDLER_READY 2
/* Adds to mod_status's page, if that is loaded. */
void live_hook_mod_status(int (*f)(request_rec *r, int flags));
int live_is_get(const request_rec *r);
void live_allow_get(request_rec *r);
const char *live_header_in(const request_rec *r, const char *name);
void live_set_header(request_rec *r, const char *name, const char *value);
/* Sends a whole answer; texts are copied. */
void live_respond(request_rec *r, int status, const char *type, const char *body, apr_size_t size);
void live_write(request_rec *r, const char *text, apr_size_t size);

/* What is known of a request whose first attempt did not succeed; in the request's own pool. */
typedef struct live_request {
    int runs;               /* attempts so far that did not succeed */
    int turns;              /* of them those that mod_proxy's own loop began */
    int rescued;            /* one rescue was made: 1 + the number of the worker it left */
    int has_body;           /* seen before an attempt */
    int shown;              /* status for the client instead of 502; 0: none */
    proxy_worker *provoked; /* a member that mod_proxy puts into error only because of our 503 */
    proxy_worker *leaving;  /* the member of the attempt that has just failed, if its error is deserved */
} live_request;

live_request *live_request_of(const request_rec *r);
live_request *live_request_make(request_rec *r);

/* What an attempt changes in its request and a further attempt needs back. */
typedef struct live_saved {
    int has_body; /* as far as it is not to be seen afterwards as well */
    int status;
    const char *status_line;
    apr_table_t *headers_out;
} live_saved;

void live_request_save(request_rec *r, live_saved *saved);
void live_request_reset(request_rec *r, const live_saved *saved);
void live_request_forget_timeout(request_rec *r);
int live_request_has_body(const request_rec *r);
int live_request_body_is_unsent(const request_rec *r);
int live_request_is_answered(const request_rec *r);
int live_request_may_have_body(const request_rec *r);
int live_request_upgrades(const request_rec *r);
/* Has live_request_ends(), which is in Rust, called when the request's pool ends. */
void live_request_watch_end(request_rec *r);
void live_request_ends(request_rec *r);
int live_request_is_cut(const request_rec *r);
int live_request_is_in_session_of(const request_rec *r, const proxy_worker *w);
int live_request_has_status(const request_rec *r);
int live_request_has_final_status(const request_rec *r);
int live_brigade_is_empty(const apr_bucket_brigade *bb);
int live_tls_failed(const conn_rec *c);
/* Environment variables; `addr` is copied, the others are constants. */
/* `size` 0: the text stays for ever, it is not copied. */
void live_env_first(request_rec *r, const char *addr, apr_size_t size);
void live_env_begin(request_rec *r);
void live_env_addr(request_rec *r, const char *addr);
void live_env_attempts(request_rec *r, int attempts);
void live_env_rescue(request_rec *r, const char *reason);

/* reload.c: the children of the generation before the running one, and how many of them have ended. */
void live_reload_children(int *all, int *ended);

#endif
