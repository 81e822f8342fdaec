/* A request between its attempts: what is remembered, put back, and told to the environment. */
#include "shim.h"

extern module AP_MODULE_DECLARE_DATA proxy_live_module;

live_request *live_request_of(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &proxy_live_module);
}

live_request *live_request_make(request_rec *r)
{
    live_request *known = live_request_of(r);

    if (known == NULL) {
        known = apr_pcalloc(r->pool, sizeof(*known));
        ap_set_module_config(r->request_config, &proxy_live_module, known);
    }
    return known;
}

void live_request_save(request_rec *r, live_saved *saved)
{
    /* Filters that change a body (mod_deflate, mod_sed) take its length out of the header when they run. */
    saved->has_body = r->input_filters != r->proto_input_filters && live_request_has_body(r);
    saved->status = r->status;
    saved->status_line = r->status_line;
    saved->headers_out = r->headers_out;
}

/* ap_proxy_http_process_response() and ap_proxyerror() leave these; a table that is replaced meanwhile
 * (r->headers_out) is not changed by them before. */
void live_request_reset(request_rec *r, const live_saved *saved)
{
    r->status = saved->status;
    r->status_line = saved->status_line;
    r->headers_out = saved->headers_out;
    apr_table_unset(r->notes, "error-notes");
    apr_table_unset(r->notes, "verbose-error-to");
    apr_table_unset(r->notes, "proxy-status");
    live_request_forget_timeout(r);
}

void live_request_forget_timeout(request_rec *r)
{
    apr_table_unset(r->notes, "proxy_timedout");
}

/* httpd 2.5 says here that an HTTP/2 body has no length; 2.4 makes it `Transfer-Encoding: chunked`. */
#if AP_MODULE_MAGIC_AT_LEAST(20211221, 1)
#define IS_INDETERMINATE(r) ((r)->body_indeterminate)
#else
#define IS_INDETERMINATE(r) 0
#endif

/* Content-Length given and not made of zeros: malformed ones count too. */
static int length_is_given(const request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    return length != NULL && (*length == '\0' || length[strspn(length, "0")] != '\0');
}

/* The body that mod_proxy_http has read so far, kept for a further attempt; NULL before the first. */
static apr_bucket_brigade *saved_body(const request_rec *r)
{
    void *body = NULL;

    apr_pool_userdata_get(&body, "proxy-req-input", r->pool);
    return body;
}

/* Bodies are consumed while they are sent: if in doubt, there is one. */
int live_request_has_body(const request_rec *r)
{
    apr_bucket_brigade *saved = saved_body(r);
    apr_bucket *e;

    if (IS_INDETERMINATE(r) || r->kept_body || length_is_given(r)
        || apr_table_get(r->headers_in, "Transfer-Encoding")) {
        return 1;
    }
    if (saved != NULL) {
        for (e = APR_BRIGADE_FIRST(saved); e != APR_BRIGADE_SENTINEL(saved); e = APR_BUCKET_NEXT(e)) {
            if (!APR_BUCKET_IS_EOS(e)) {
                return 1;
            }
        }
    }
    return 0;
}

/* Whether there is a body of which the backend has seen nothing: without it nothing was executed.
 * A body of unknown length may be empty, and then the backend has seen all of it. */
int live_request_body_is_unsent(const request_rec *r)
{
    apr_bucket_brigade *saved = saved_body(r);
    apr_bucket *e;

    if (length_is_given(r) && !apr_table_get(r->headers_in, "Transfer-Encoding")) {
        return 1;
    }
    if (saved != NULL) {
        for (e = APR_BRIGADE_FIRST(saved); e != APR_BRIGADE_SENTINEL(saved); e = APR_BUCKET_NEXT(e)) {
            if (!APR_BUCKET_IS_METADATA(e) && e->length != 0) {
                return 1;
            }
        }
    }
    return 0;
}

int live_request_is_answered(const request_rec *r)
{
    return r->eos_sent || r->bytes_sent || r->sent_bodyct;
}

#define INITIALS (1u << ('c' & 31) | 1u << ('t' & 31) | 1u << ('u' & 31))

/* Content-..., Transfer-..., Upgrade (and what begins alike). */
static int is_of_body(const char *key)
{
    switch (key[0] | 0x20) {
    case 'c':
        return (key[1] | 0x20) == 'o' && (key[2] | 0x20) == 'n' && (key[3] | 0x20) == 't';
    case 't':
        return (key[1] | 0x20) == 'r';
    case 'u':
        return (key[1] | 0x20) == 'p' && (key[2] | 0x20) == 'g';
    default:
        return 0;
    }
}

/* Whether more than a header may be sent to the backend: a body, or what a tunnel carries. A look that costs
 * little, for each request. */
int live_request_may_have_body(const request_rec *r)
{
    const apr_array_header_t *headers = apr_table_elts(r->headers_in);
    const apr_table_entry_t *e = (const apr_table_entry_t *)headers->elts, *end = e + headers->nelts;

    if (r->method_number != M_GET || r->expecting_100 || IS_INDETERMINATE(r)) {
        return 1;
    }
    for (; e != end; e++) {
        /* Most begin with another letter. */
        if (INITIALS >> (e->key[0] & 31) & 1 && is_of_body(e->key)) {
            return 1;
        }
    }
    return 0;
}

/* The client, still there, gets only a part of an answer; the end of a tunnel is none. */
int live_request_is_cut(const request_rec *r)
{
    return r->status != HTTP_SWITCHING_PROTOCOLS && !r->connection->aborted;
}

int live_request_upgrades(const request_rec *r)
{
    return apr_table_get(r->headers_in, "Upgrade") != NULL;
}

/* By a note of mod_proxy_balancer's pre_request. */
int live_request_is_in_session_of(const request_rec *r, const proxy_worker *w)
{
    const char *route = apr_table_get(r->notes, "session-route");

    return route != NULL && strcmp(route, w->s->route) == 0;
}

/* mod_proxy_http has read a status line in this attempt. */
int live_request_has_status(const request_rec *r)
{
    return apr_table_get(r->notes, "proxy-status") != NULL;
}

int live_request_has_final_status(const request_rec *r)
{
    const char *status = apr_table_get(r->notes, "proxy-status");

    return status != NULL && *status >= '2';
}

/* What a read at the end of a connection brings: ap_core_input_filter() calls the first one a success. */
int live_brigade_is_empty(const apr_bucket_brigade *bb)
{
    const apr_bucket *e;

    for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb); e = APR_BUCKET_NEXT(e)) {
        if (e->length != 0 || APR_BUCKET_IS_METADATA(e)) {
            return 0;
        }
    }
    return 1;
}

/* As ap_proxy_pass_brigade() finds out. */
int live_tls_failed(const conn_rec *c)
{
    const char *note = apr_table_get(c->notes, "SSL_connect_rv");

    return note != NULL && strcmp(note, "err") == 0;
}

/* For each request: adding is cheaper than setting. A sub-request begins with a copy of its parent's. */
static apr_status_t provoked_cleanup(void *r)
{
    live_request_ends(r);
    return APR_SUCCESS;
}

void live_request_watch_end(request_rec *r)
{
    apr_pool_cleanup_register(r->pool, r, provoked_cleanup, apr_pool_cleanup_null);
}

void live_env_first(request_rec *r, const char *addr, apr_size_t size)
{
    apr_table_t *env = r->subprocess_env;

    if (r->main != NULL) {
        live_env_begin(r);
        live_env_addr(r, addr);
        return;
    }
    apr_table_addn(env, "LIVE_ATTEMPTS", "1");
    apr_table_addn(env, "LIVE_RESCUE", "");
    apr_table_addn(env, "LIVE_ADDR", size != 0 ? apr_pmemdup(r->pool, addr, size) : addr);
}

void live_env_begin(request_rec *r)
{
    apr_table_setn(r->subprocess_env, "LIVE_ATTEMPTS", "1");
    apr_table_setn(r->subprocess_env, "LIVE_RESCUE", "");
}

void live_env_addr(request_rec *r, const char *addr)
{
    apr_table_setn(r->subprocess_env, "LIVE_ADDR", apr_pstrdup(r->pool, addr));
}

void live_env_attempts(request_rec *r, int attempts)
{
    apr_table_setn(r->subprocess_env, "LIVE_ATTEMPTS", apr_itoa(r->pool, attempts));
}

void live_env_rescue(request_rec *r, const char *reason)
{
    apr_table_setn(r->subprocess_env, "LIVE_RESCUE", reason);
}
