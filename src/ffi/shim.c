#include "shim.h"

/* mod_proxy may not be loaded: its symbols must not stop the loader before we can say so. */
#pragma weak proxy_module
#pragma weak proxy_hook_scheme_handler
#pragma weak proxy_hook_get_scheme_handler
#pragma weak proxy_hook_post_request
#pragma weak proxy_hook_pre_request
#pragma weak proxy_hook_get_pre_request
#pragma weak ap_proxy_initialize_worker
#pragma weak ap_proxy_define_worker
#pragma weak ap_proxy_acquire_connection
#pragma weak ap_proxy_release_connection
#pragma weak ap_proxy_determine_address
#pragma weak ap_proxy_sync_balancer

extern module AP_MODULE_DECLARE_DATA proxy_live_module;
extern module AP_MODULE_DECLARE_DATA core_module;
extern module AP_MODULE_DECLARE_DATA proxy_module;
APLOG_USE_MODULE(proxy_live);

static const char scheme[] = "PROXYLIVE";

const command_rec live_commands[] = {
    AP_INIT_TAKE12("ProxyLive", live_cmd_proxy_live, NULL, RSRC_CONF | ACCESS_CONF,
                   "on, off or observe: the default of live= for workers; optionally a template"),
    AP_INIT_RAW_ARGS("ProxyLiveResolver", live_cmd_resolver, NULL, RSRC_CONF,
                     "system, or address[:port] ..., with timeout= and attempts="),
    AP_INIT_TAKE_ARGV("ProxyLiveTemplate", live_cmd_template, NULL, RSRC_CONF,
                      "a name, and key=value as on the lines of workers"),
    AP_INIT_TAKE1("ProxyLiveDrainFile", live_cmd_drain_file, NULL, RSRC_CONF,
                  "while this file exists the handler proxy-live-ready answers 503"),
    { NULL }
};

int live_log_enabled(const server_rec *s, int level)
{
    return s ? APLOG_IS_LEVEL(s, level) : level <= APLOG_WARNING;
}

void live_log(const server_rec *s, int level, const char *text)
{
    ap_log_error(APLOG_MARK, level, 0, s, "%s", text);
}

/* Symbols alone do not tell: mod_proxy's code stays in memory when a reload leaves mod_proxy out. */
int live_proxy_loaded(void)
{
    return ap_find_linked_module("mod_proxy.c") != NULL && &proxy_module != NULL && proxy_hook_scheme_handler != NULL
           && proxy_hook_get_scheme_handler != NULL && ap_proxy_initialize_worker != NULL
           && ap_proxy_define_worker != NULL && ap_proxy_acquire_connection != NULL
           && ap_proxy_release_connection != NULL;
}

int live_core_minor(void)
{
    return core_module.minor_version;
}

int live_proxy_minor(void)
{
    return proxy_module.minor_version;
}

proxy_server_conf *live_proxy_conf(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &proxy_module);
}

const char *live_hooking(const char *name)
{
    const char *before = apr_hook_debug_current;

    apr_hook_debug_current = name;
    return before;
}

/* Whoever chooses between members does it in this hook (mod_proxy_balancer; not mod_proxy itself). */
int live_balances(void)
{
    const apr_array_header_t *all = proxy_hook_get_pre_request != NULL ? proxy_hook_get_pre_request() : NULL;

    return all != NULL && all->nelts > 0;
}

static proxy_HOOK_scheme_handler_t *wrapper;

void live_hook_scheme_handler(int (*f)(request_rec *, proxy_worker *, proxy_server_conf *, char *,
                                       const char *, apr_port_t))
{
    wrapper = f;
    proxy_hook_scheme_handler(f, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

void live_hook_post_request(int (*f)(proxy_worker *, proxy_balancer *, request_rec *, proxy_server_conf *))
{
    static const char *const before[] = { "mod_proxy_balancer.c", NULL };

    if (proxy_hook_post_request != NULL) {
        proxy_hook_post_request(f, NULL, before, APR_HOOK_REALLY_FIRST);
    }
}

/* The handlers behind our own. */
static const proxy_LINK_scheme_handler_t *handlers, *handlers_end;

void live_find_scheme_handlers(void)
{
    const apr_array_header_t *all = proxy_hook_get_scheme_handler();
    const proxy_LINK_scheme_handler_t *link = (const proxy_LINK_scheme_handler_t *)all->elts;

    handlers_end = link + all->nelts;
    while (link != handlers_end && link->pFunc != wrapper) {
        link++;
    }
    handlers = link == handlers_end ? link : link + 1;
}

/* As proxy_run_scheme_handler(), which would run our own handler once more. */
int live_run_scheme_handler(request_rec *r, proxy_worker *w, proxy_server_conf *conf, char *url,
                            const char *proxyhost, apr_port_t proxyport)
{
    const proxy_LINK_scheme_handler_t *link;
    int status = DECLINED;

    for (link = handlers; link != handlers_end && status == DECLINED; link++) {
        status = link->pFunc(r, w, conf, url, proxyhost, proxyport);
    }
    return status;
}

apr_status_t live_initialize_worker(proxy_worker *w, server_rec *s, apr_pool_t *p)
{
    return ap_proxy_initialize_worker(w, s, p);
}

const char *live_define_worker(apr_pool_t *p, proxy_worker **w, const char *url)
{
    return ap_proxy_define_worker(p, w, NULL, NULL, url, 0);
}

int live_acquire_connection(proxy_conn_rec **conn, proxy_worker *w, server_rec *s)
{
    return ap_proxy_acquire_connection(scheme, conn, w, s);
}

void live_release_connection(proxy_conn_rec *conn, server_rec *s)
{
    ap_proxy_release_connection(scheme, conn, s);
}

apr_status_t live_determine_address(proxy_conn_rec *conn, const char *host, apr_port_t port, server_rec *s)
{
    if (ap_proxy_determine_address == NULL) {
        return APR_ENOTIMPL;
    }
    return ap_proxy_determine_address(scheme, conn, host, port, 0, NULL, s);
}

int live_worker_trylock(proxy_worker *w)
{
    return w->cp != NULL && w->tmutex != NULL && apr_thread_mutex_trylock(w->tmutex) == APR_SUCCESS;
}

void live_worker_unlock(proxy_worker *w)
{
    apr_thread_mutex_unlock(w->tmutex);
}

unsigned live_status_or(proxy_worker_shared *s, unsigned bits)
{
    return __atomic_fetch_or(&s->status, bits, __ATOMIC_SEQ_CST);
}

unsigned live_status_and_not(proxy_worker_shared *s, unsigned bits)
{
    return __atomic_fetch_and(&s->status, ~bits, __ATOMIC_SEQ_CST);
}

unsigned live_status_get(const proxy_worker_shared *s)
{
    return __atomic_load_n(&s->status, __ATOMIC_RELAXED);
}

/* What ap_proxy_retry_worker() and a good connect leave: as if there had never been an error. */
void live_forgive(proxy_worker_shared *s)
{
    __atomic_store_n(&s->error_time, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->retries, 0, __ATOMIC_RELAXED);
    __atomic_fetch_and(&s->status, ~PROXY_WORKER_IN_ERROR, __ATOMIC_SEQ_CST);
}

apr_time_t live_error_time(const proxy_worker_shared *s)
{
    return __atomic_load_n(&s->error_time, __ATOMIC_RELAXED);
}

int live_connect_timeout_is_set(const proxy_worker_shared *s)
{
    return s->conn_timeout_set;
}

/* A bit-field beside others: only while nobody else runs (post_config). */
void live_connect_timeout_mark(proxy_worker_shared *s, int set)
{
    s->conn_timeout_set = set ? 1 : 0;
}

apr_interval_time_t live_connect_timeout(const proxy_worker_shared *s)
{
    return __atomic_load_n(&s->conn_timeout, __ATOMIC_RELAXED);
}

void live_connect_timeout_store(proxy_worker_shared *s, apr_interval_time_t micros)
{
    __atomic_store_n(&s->conn_timeout, micros, __ATOMIC_RELAXED);
}

/* What ap_proxy_connect_backend() waits for a connection without connectiontimeout. */
apr_interval_time_t live_worker_timeout(const proxy_worker_shared *s, const server_rec *server)
{
    proxy_server_conf *conf = live_proxy_conf(server);

    if (s->timeout_set) {
        return s->timeout;
    }
    return conf && conf->timeout_set ? conf->timeout : server->timeout;
}

/* Whether mod_proxy_balancer's post_request is about to put the worker into error because of the answer
 * (failonstatus, failontimeout). */
int live_answer_fails_worker(const proxy_worker *w, const proxy_balancer *b, const request_rec *r)
{
    int i;

    if (live_status_get(w->s) & PROXY_WORKER_IGNORE_ERRORS) {
        return 0;
    }
    for (i = 0; b->errstatuses && i < b->errstatuses->nelts; i++) {
        if (((const int *)b->errstatuses->elts)[i] == r->status) {
            return 1;
        }
    }
    return b->failontimeout && apr_table_get(r->notes, "proxy_timedout") != NULL;
}

/* With ProxyErrorOverride mod_proxy_http returns the status that the backend itself has sent. */
int live_is_backends_answer(const request_rec *r)
{
    return apr_table_get(r->notes, "proxy-error-override") != NULL;
}

int live_balancer_recovers(const proxy_balancer_shared *b)
{
    return b->forcerecovery;
}

apr_interval_time_t live_worker_retry(const proxy_worker_shared *s)
{
    return s->retry;
}

/* As ap_proxy_initialize_worker() will decide it: httpd asks DNS itself for each connection. */
int live_worker_address_reusable(const proxy_worker_shared *s)
{
    return s->is_address_reusable && s->address_ttl != 0 && (s->address_ttl_set || !s->disablereuse);
}

int live_worker_disables_reuse(const proxy_worker_shared *s)
{
    return s->disablereuse;
}

int live_worker_host_matchable(const proxy_worker_shared *s)
{
    return s->is_host_matchable;
}

int live_balancer_max_attempts(const proxy_balancer *b)
{
    return b->s->max_attempts_set ? b->s->max_attempts : 0;
}

int live_balancer_fails_on_timeout(const proxy_balancer *b)
{
    return b->failontimeout;
}

int live_balancer_binds_sessions(const proxy_balancer *b)
{
    return b->s->sticky_force;
}

/* Members were added in another process, which this one has not looked at yet. Without a lock: a first look. */
int live_balancer_is_outdated(const proxy_balancer *b)
{
    return __atomic_load_n(&b->s->wupdated, __ATOMIC_ACQUIRE) > __atomic_load_n(&b->wupdated, __ATOMIC_RELAXED);
}

int live_balancer_count(const proxy_balancer *b)
{
    return __atomic_load_n(&b->workers->nelts, __ATOMIC_ACQUIRE);
}

/* The lock under which requests choose members and add those of other processes. */
int live_balancer_trylock(proxy_balancer *b)
{
    return b->tmutex != NULL && apr_thread_mutex_trylock(b->tmutex) == APR_SUCCESS;
}

void live_balancer_unlock(proxy_balancer *b)
{
    apr_thread_mutex_unlock(b->tmutex);
}

int live_balancer_sync(proxy_balancer *b, server_rec *s)
{
    if (ap_proxy_sync_balancer == NULL) {
        return APR_ENOTIMPL;
    }
    return ap_proxy_sync_balancer(b, s, live_proxy_conf(s));
}

/* balancer-manager may be adding one in another thread right now: the count is read first (it is raised last), and
 * the place may still be empty. */
proxy_worker *live_balancer_member(const proxy_balancer *b, int i)
{
    int count = live_balancer_count(b);
    proxy_worker *const *members = __atomic_load_n((proxy_worker *const **)&b->workers->elts, __ATOMIC_ACQUIRE);

    return i < count ? __atomic_load_n(&members[i], __ATOMIC_ACQUIRE) : NULL;
}

/* Whether this member is complete: it has its shared part in the balancer's slots, and its pool of connections.
 * One that balancer-manager is still making may hold any value as its `s`, which is compared, never followed. */
int live_balancer_shares(const proxy_balancer *b, const proxy_worker *w)
{
    const proxy_worker_shared *shared = __atomic_load_n(&w->s, __ATOMIC_ACQUIRE);
    int i;

    if (b->storage == NULL || b->wslot == NULL || __atomic_load_n(&w->cp, __ATOMIC_ACQUIRE) == NULL) {
        return 0;
    }
    for (i = 0; i < b->max_workers; i++) {
        void *slot = NULL;

        if (b->storage->dptr(b->wslot, (unsigned int)i, &slot) == APR_SUCCESS && slot == (const void *)shared) {
            return shared->hash.def != 0 && shared->hash.fnv != 0;
        }
    }
    return 0;
}

/* As mod_proxy_balancer sets the attempts of a balancer of several members when a child begins. */
void live_balancer_allow_attempts(proxy_balancer *b, int attempts)
{
    if (!b->s->max_attempts_set) {
        b->s->max_attempts = attempts;
        b->s->max_attempts_set = 1;
    }
}

/* What proxy_handler() does after a failed connect. */
void live_set_in_error(proxy_worker_shared *s)
{
    __atomic_store_n(&s->error_time, apr_time_now(), __ATOMIC_RELAXED);
    __atomic_fetch_or(&s->status, PROXY_WORKER_IN_ERROR, __ATOMIC_SEQ_CST);
}

void live_hook_pre_request(int (*f)(proxy_worker **, proxy_balancer **, request_rec *, proxy_server_conf *, char **))
{
    if (proxy_hook_pre_request != NULL) {
        proxy_hook_pre_request(f, NULL, NULL, APR_HOOK_REALLY_FIRST);
    }
}

/* ap_proxy_retry_worker() ends an error `retry` after this time. */
void live_extend_error(proxy_worker_shared *s, apr_interval_time_t micros)
{
    __atomic_store_n(&s->error_time, apr_time_now() + micros, __ATOMIC_RELAXED);
    /* Another request may just have ended it. */
    __atomic_fetch_or(&s->status, PROXY_WORKER_IN_ERROR, __ATOMIC_SEQ_CST);
}

static int request_status(int *status, request_rec *r)
{
    if (live_request_of(r) != NULL) {
        live_request_status(status, r);
    }
    return DECLINED;
}

void live_hook_request_status(void)
{
    APR_OPTIONAL_HOOK(proxy, request_status, request_status, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
