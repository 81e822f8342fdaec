/* The module's own pages: which requests are for it, and how answers are sent. */
#include "shim.h"

/* For each request of the server, most of them for others ("proxy-server" goes furthest). */
static int is_other(const char *name)
{
    return name == NULL || name[0] != 'p' || name[1] != 'r' || name[2] != 'o' || name[3] != 'x' || name[4] != 'y'
           || name[5] != '-' || name[6] != 'l';
}

static int handler(request_rec *r)
{
    if (is_other(r->handler)) {
        return DECLINED;
    }
    if (strcmp(r->handler, "proxy-live-status") == 0) {
        return live_handle(r, LIVE_HANDLER_STATUS);
    }
    if (strcmp(r->handler, "proxy-live-ready") == 0) {
        return live_handle(r, LIVE_HANDLER_READY);
    }
    return DECLINED;
}

/* Before mod_proxy's: SetHandler in a <Location> is what the administrator wants there, whatever ProxyPass "/" says. */
void live_hook_handler(void)
{
    static const char *const before[] = { "mod_proxy.c", NULL };

    ap_hook_handler(handler, NULL, before, APR_HOOK_FIRST);
}

void live_hook_mod_status(int (*f)(request_rec *r, int flags))
{
    APR_OPTIONAL_HOOK(ap, status_hook, f, NULL, NULL, APR_HOOK_MIDDLE);
}

/* HEAD is a GET here, as everywhere in httpd. */
int live_is_get(const request_rec *r)
{
    return r->method_number == M_GET;
}

void live_allow_get(request_rec *r)
{
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, -1);
}

const char *live_header_in(const request_rec *r, const char *name)
{
    return apr_table_get(r->headers_in, name);
}

void live_set_header(request_rec *r, const char *name, const char *value)
{
    apr_table_set(r->headers_out, name, value);
}

void live_respond(request_rec *r, int status, const char *type, const char *body, apr_size_t size)
{
    /* What a kept-alive client sends next must not be taken for the end of this request. */
    ap_discard_request_body(r);
    /* As the document of an error (ErrorDocument) the page does not change what the error was. */
    if (status != HTTP_OK) {
        r->status = status;
        r->status_line = NULL;
    }
    ap_set_content_type(r, apr_pstrdup(r->pool, type));
    ap_set_content_length(r, (apr_off_t)size);
    if (!r->header_only) {
        live_write(r, body, size);
    }
}

void live_write(request_rec *r, const char *text, apr_size_t size)
{
    /* The length is an int there. */
    while (size > 0) {
        int piece = size > 65536 ? 65536 : (int)size;

        if (ap_rwrite(text, piece, r) < 0) {
            return;
        }
        text += piece;
        size -= (apr_size_t)piece;
    }
}
