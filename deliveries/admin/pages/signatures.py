"""The signature workbench: paste a request, and see what is right and what is wrong with its signature.

Nothing of what is pasted is kept or logged, and a typed secret is not even shown to whoever typed it. Those
who may see bodies, and nobody else, can check against the secrets of a webhook: see `inspecting`.
"""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from deliveries import clock
from deliveries.admin import bodies
from deliveries.admin.pages.showing import seen_by, show
from deliveries.admin.pages.signature_form import SignatureForm
from deliveries.admin.pages.snippets import snippets
from deliveries.models import Webhook
from deliveries.services import inspecting
from deliveries.services.inspecting import Inspection

# What an example may be asked to be, and whether that is one with a changed body.
EXAMPLES = {"right": False, "changed": True}


@sensitive_post_parameters("headers", "body", "secret")
@require_http_methods(["GET", "HEAD", "POST"])
@seen_by("deliveries.view_webhook")
def page(request: HttpRequest) -> HttpResponse:
    """Show the form, filled in with an example where one is asked for; or what was found, and the form."""
    may_choose = request.user.has_perm(bodies.PERMISSION)
    if request.method == "POST":
        return _check(request, SignatureForm(request.POST, may_choose=may_choose))
    if request.GET.get("example") in EXAMPLES:
        changed = EXAMPLES[request.GET["example"]]
        example = inspecting.example(changed=changed, now=clock.now())
        filled_in = {"headers": example.headers, "body": example.body}
        form = SignatureForm(initial=filled_in, may_choose=may_choose, made_up=example.secret)
        return _page(request, form, made_up=example.secret)
    chosen = {"webhook": request.GET.get("webhook", "")}
    return _page(request, SignatureForm(initial=chosen, may_choose=may_choose))


def _check(request: HttpRequest, form: SignatureForm) -> HttpResponse:
    if not form.is_valid():
        return _page(request, form)
    given = form.cleaned_data
    webhook: Webhook | None = given.get("webhook")
    inspection = inspecting.inspect(
        headers=given["headers"], body=given["body"], against=webhook or given["secret"], now=clock.now()
    )
    return _page(request, form, inspection=inspection, webhook=webhook)


def _page(
    request: HttpRequest,
    form: SignatureForm,
    *,
    inspection: Inspection | None = None,
    webhook: Webhook | None = None,
    made_up: str = "",
) -> HttpResponse:
    return show(
        request,
        "signatures.html",
        title="Check a signature",
        form=form,
        inspection=inspection,
        webhook=webhook,
        made_up=made_up,
        snippets=snippets(),
    )
