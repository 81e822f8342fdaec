/* mod_proxy_http2 changes the request while it tries, and up to httpd 2.4.65 it calls ap_die() inside its
 * handler, whatever failed: the client has the error before mod_proxy can go on to another member, and the
 * answer of that member behind it. So a filter stands in front of the protocol filters and lets nothing pass
 * but the backend's answer. An answer that breaks off is ended as mod_proxy_http does it. */
#include "hold.h"
#include "shim.h"

/* A success, so that a body is still asked for (Expect: 100-continue), but not 200: ap_die() looks for an
 * ErrorDocument only then. */
#define UNANSWERED 299

struct live_hold {
    ap_filter_t *filter;
    request_rec *r;
    int passed;                 /* the backend's answer has begun, with this status */
    int inside;                 /* it is being passed on: errors of the filters behind belong to it */
    int sent;                   /* the backend may have seen the request */
    int stopped;                /* the client's connection is shown as aborted */
    /* What the handler and ap_die() change. */
    ap_filter_t *output_filters;
    apr_table_t *headers_out, *err_headers_out, *errors_now;
    apr_array_header_t *content_languages;
    const char *content_type, *content_encoding, *status_line, *host;
    apr_off_t clength;
    ap_request_bnotes_t bnotes;
    request_rec *next;
    ap_conn_keepalive_e keepalive;
    int status, no_local_copy, eos_sent, suppress_charset;
};

/* Set when the request is about to be sent. */
static const char sent_note[] = "proxy-source-port";
static ap_filter_rec_t *hold_filter;

/* The backend's answer, or an error of httpd's? ap_send_error_response() exchanges the two tables; an
 * ErrorDocument has a request of its own; without a final status nothing can be the backend's. */
static int is_answer(const live_hold *hold)
{
    const request_rec *r = hold->r;
    const char *status;

    if (r->headers_out == hold->errors_now || hold->filter->r != r) {
        return 0;
    }
    return hold->passed || ((status = apr_table_get(r->notes, "proxy-status")) != NULL && *status >= '2');
}

static int has_error(const apr_bucket_brigade *bb)
{
    const apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        if (AP_BUCKET_IS_ERROR(b)) {
            return 1;
        }
    }
    return 0;
}

static apr_status_t hold_output(ap_filter_t *f, apr_bucket_brigade *bb)
{
    live_hold *hold = f->ctx;
    apr_status_t rv;

    if (!hold->inside && (!is_answer(hold) || has_error(bb))) {
        apr_brigade_cleanup(bb);
        return APR_SUCCESS;
    }
    if (!hold->passed) {
        hold->passed = hold->r->status;
    }
    hold->inside++;
    rv = ap_pass_brigade(f->next, bb);
    hold->inside--;
    return rv;
}

void live_hold_register(void)
{
    hold_filter = ap_register_output_filter("PROXY_LIVE_HOLD", hold_output, NULL, AP_FTYPE_PROTOCOL);
}

/* The first of the protocol filters, behind those of the resource: ap_add_output_filter() would put it
 * behind others of its kind. */
static void link_filter(request_rec *r, ap_filter_t *filter)
{
    ap_filter_t *first = r->proto_output_filters, *f = r->output_filters;

    filter->next = first;
    r->proto_output_filters = filter;
    if (f == first) {
        r->output_filters = filter;
        return;
    }
    while (f != NULL && f->next != first) {
        f = f->next;
    }
    if (f != NULL) {
        f->next = filter;
    }
}

/* The handler writes to copies. */
static void give_tables(live_hold *hold)
{
    request_rec *r = hold->r;

    r->headers_out = apr_table_copy(r->pool, hold->headers_out);
    r->err_headers_out = hold->errors_now = apr_table_copy(r->pool, hold->err_headers_out);
    r->status = UNANSWERED;
    r->status_line = hold->status_line;
    apr_table_unset(r->notes, "proxy-status");
    apr_table_unset(r->notes, sent_note);
    /* h2_proxy_session.c takes it away when it makes `:authority`. */
    if (hold->host != NULL && apr_table_get(r->headers_in, "Host") == NULL) {
        apr_table_setn(r->headers_in, "Host", hold->host);
    }
}

live_hold *live_hold_begin(request_rec *r)
{
    const core_request_config *core = ap_get_core_module_config(r->request_config);
    live_hold *hold;

    /* While an error is answered, ap_die() goes back to the request that failed first. */
    if (hold_filter == NULL || r->proto_output_filters == NULL || (r->prev && r->prev->status != HTTP_OK)) {
        return NULL;
    }
    hold = apr_pcalloc(r->pool, sizeof(*hold));
    hold->r = r;
    hold->headers_out = r->headers_out;
    hold->err_headers_out = r->err_headers_out;
    hold->content_languages = r->content_languages;
    hold->content_type = r->content_type;
    hold->content_encoding = r->content_encoding;
    hold->status_line = r->status_line;
    hold->host = apr_table_get(r->headers_in, "Host");
    hold->clength = r->clength;
    hold->bnotes = r->bnotes;
    hold->next = r->next;
    hold->keepalive = r->connection->keepalive;
    hold->status = r->status;
    hold->no_local_copy = r->no_local_copy;
    hold->eos_sent = r->eos_sent;
    hold->suppress_charset = core->suppress_charset;
    hold->filter = apr_pcalloc(r->pool, sizeof(*hold->filter));
    hold->filter->frec = hold_filter;
    hold->filter->ctx = hold;
    hold->filter->r = r;
    hold->filter->c = r->connection;
    link_filter(r, hold->filter);
    hold->output_filters = r->output_filters;
    give_tables(hold);
    return hold;
}

void live_hold_closed(request_rec *r, int last)
{
    ap_filter_t *f = r->proto_output_filters;

    while (f != NULL && f->frec != hold_filter) {
        f = f->next;
    }
    if (f != NULL && f->r == r && !((live_hold *)f->ctx)->passed) {
        live_hold *hold = f->ctx;

        hold->sent = last && apr_table_get(r->notes, sent_note) != NULL;
        give_tables(hold);
        if (last && !r->connection->aborted) {
            /* It looks at this before it connects once more. */
            r->connection->aborted = 1;
            hold->stopped = 1;
        }
    }
}

/* Filters that an ErrorDocument took over. */
static void take_filters_back(request_rec *r, ap_filter_t *f, const request_rec *from)
{
    for (; f != NULL; f = f->next) {
        if (f->r == from) {
            f->r = r;
        }
    }
}

static void unlink_filter(live_hold *hold)
{
    request_rec *r = hold->r;

    if (r->next != NULL && r->next != hold->next) {
        take_filters_back(r, r->proto_output_filters, r->next);
        take_filters_back(r, r->input_filters, r->next);
        r->next = hold->next;
    }
    hold->filter->r = r;
    ap_remove_output_filter(hold->filter);
}

/* Everything of the failed attempt is forgotten. */
static void restore(live_hold *hold)
{
    request_rec *r = hold->r, *p;
    core_request_config *core = ap_get_core_module_config(r->request_config);

    r->output_filters = hold->output_filters;
    unlink_filter(hold);
    give_tables(hold);
    r->headers_out = hold->headers_out;
    r->err_headers_out = hold->err_headers_out;
    r->content_languages = hold->content_languages;
    r->content_type = hold->content_type;
    r->content_encoding = hold->content_encoding;
    r->clength = hold->clength;
    r->bnotes = hold->bnotes;
    r->connection->keepalive = hold->keepalive;
    r->status = hold->status;
    r->no_local_copy = hold->no_local_copy;
    core->suppress_charset = hold->suppress_charset;
    if (!hold->eos_sent) {
        for (p = r; p != NULL; p = p->prev) {
            p->eos_sent = 0;
        }
    }
}

/* The client has a part of the answer: it must see that the rest is missing. */
static void break_off(request_rec *r)
{
    conn_rec *c = r->connection;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, c->bucket_alloc);

    r->eos_sent = 0;
    r->no_cache = 1;
    if (r->main) {
        r->main->no_cache = 1;
    }
    APR_BRIGADE_INSERT_TAIL(bb, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, c->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(c->bucket_alloc));
    ap_pass_brigade(r->output_filters, bb);
    apr_brigade_destroy(bb);
}

int live_hold_end(live_hold *hold, int *status)
{
    request_rec *r = hold->r;

    if (hold->stopped) {
        r->connection->aborted = 0;
    }
    if (hold->passed) {
        unlink_filter(hold);
        if (*status != OK) {
            r->status = hold->passed;
            break_off(r);
            *status = DONE;
        }
        return 2;
    }
    hold->sent |= apr_table_get(r->notes, sent_note) != NULL;
    restore(hold);
    return hold->sent;
}

int live_brigade_ends(const apr_bucket_brigade *bb, int waits)
{
    const apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        if (b->length != 0) {
            return 0;
        }
    }
    return waits || !APR_BRIGADE_EMPTY(bb);
}

apr_interval_time_t live_socket_timeout(conn_rec *c)
{
    apr_socket_t *socket = ap_get_conn_socket(c);
    apr_interval_time_t timeout = -1;

    if (socket != NULL) {
        apr_socket_timeout_get(socket, &timeout);
    }
    return timeout;
}
