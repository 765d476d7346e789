"""Who posts, and how each proves it: the table behind `auth:`, `senders` and docs/senders.md.

To add a sender that signs, add its entry to SENDERS; nothing else changes. Its `ways` are
Recipes (see signature.py), more than one if it has several; `steps` tell a person what to
paste where on the sender's side, with `<URL>` for the hook's address and `<SECRET>` for the
value of the config var. Patience is what the sender's documentation says; where it says nothing,
ten seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from hookrunner.auth import handshake
from hookrunner.auth.scheme import NO_HANDSHAKE, Handshake
from hookrunner.auth.signature import Recipe
from hookrunner.model import Manners, Names


@dataclass(frozen=True, slots=True)
class InHeader:
    """A sender that shows the secret itself, in a header."""

    header: str
    names: Names = Names()
    secret_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender, or a scheme of nobody's in particular (then it has no `ways`)."""

    title: str
    example: str
    """What stands after `auth:`."""

    steps: str
    ways: tuple[Recipe | InHeader, ...] = ()
    manners: Manners = Manners(patience=10.0)
    handshake: Handshake = NO_HANDSHAKE
    shown: bool = False
    """True if the sender shows the secret, False if you make one up."""

    words: tuple[str, ...] = ()
    """Further secrets, as settings of the scheme."""

    flags: tuple[str, ...] = ()
    """Further settings that are true or false."""

    replay: str = ""
    """What becomes of a delivery that is sent again, where the ways do not say it."""

    note: str = ""
    kind: Literal["sender", "scheme"] = "sender"


UNTIMED = "not refused: nothing signed tells when it was sent"

STANDARD = Recipe(
    signature="webhook-signature",
    prefix="v1,",
    separator=" ",
    encoding="base64",
    secret_encoding="whsec",
    message="{id}.{timestamp}.{body}",
    timestamp="webhook-timestamp",
    id=("webhook-id",),
)
"""https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""

STANDARD_KEY = replace(
    STANDARD, prefix="v1a,", algorithm="ed25519", secret_encoding="whpk", secret_prefix="whpk_"
)
SVIX = replace(STANDARD, signature="svix-signature", timestamp="svix-timestamp", id=("svix-id",))
SVIX_KEY = replace(
    STANDARD_KEY, signature="svix-signature", timestamp="svix-timestamp", id=("svix-id",)
)
SHOPIFY = Recipe(
    signature="x-shopify-hmac-sha256",
    encoding="base64",
    id=("x-shopify-webhook-id",),
    event=("x-shopify-topic",),
)
STRIPE = Recipe(
    signature="stripe-signature",
    prefix="v1=",
    separator=",",
    message="{timestamp}.{body}",
    timestamp="item:t=",
    id=("payload:/id",),
    event=("payload:/type",),
)
FORGEJO = Recipe(
    signature="x-forgejo-signature",
    form_field="payload",
    also_secret=(
        "x-gitea-signature",
        "x-gogs-signature",
        "x-hub-signature",
        "x-hub-signature-256",
    ),
    id=("x-forgejo-delivery",),
    event=("x-forgejo-event",),
)
GITEA = Recipe(
    signature="x-gitea-signature",
    form_field="payload",
    also_secret=("x-gogs-signature", "x-hub-signature", "x-hub-signature-256"),
    id=("x-gitea-delivery",),
    event=("x-gitea-event",),
)
MAILGUN = Recipe(
    signature="payload:/signature/signature",
    message="{timestamp}{id}",
    timestamp="payload:/signature/timestamp",
    # It tries again for eight hours; the token, which is signed, makes each delivery one run.
    tolerance=9 * 3600.0,
    id=("payload:/signature/token",),
    event=("payload:/event-data/event",),
)

SENDERS: dict[str, Sender] = {
    "github": Sender(
        title="GitHub",
        example="{github: $GITHUB_SECRET}",
        steps="Settings of the repository or organisation, Webhooks, Add webhook. Payload URL: "
        "`<URL>`. Content type: application/json. Secret: `<SECRET>`.",
        ways=(
            # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
            Recipe(
                signature="x-hub-signature-256",
                prefix="sha256=",
                also_secret=("x-hub-signature",),
                id=("x-github-delivery",),
                event=("x-github-event",),
            ),
        ),
        handshake=handshake.GITHUB,
        flags=("ping",),
        note="The `ping` of a new webhook is answered by the runner; with "
        "`{github: {secret: $GITHUB_SECRET, ping: true}}` it makes a run.",
    ),
    "gitlab": Sender(
        title="GitLab",
        example="{gitlab: $GITLAB_TOKEN}",
        steps="Settings of the project or group, Webhooks, Add new webhook. URL: `<URL>`. "
        "Secret token: `<SECRET>`; or, where there is one, the signing token that GitLab "
        "makes (whsec_…) as the config var's value.",
        ways=(
            # https://docs.gitlab.com/user/project/integrations/webhooks/
            replace(
                STANDARD,
                secret_prefix="whsec_",
                event=("x-gitlab-event",),
                also_secret=("x-gitlab-token",),
            ),
            InHeader(
                "x-gitlab-token",
                Names(("idempotency-key",), ("x-gitlab-event",)),
            ),
        ),
        note="A value that begins with `whsec_` is a signing token; any other is the secret "
        "token, which GitLab sends as it is.",
    ),
    "bitbucket": Sender(
        title="Bitbucket",
        example="{bitbucket: $BITBUCKET_SECRET}",
        steps="Repository settings, Webhooks, Add webhook. URL: `<URL>`. Secret: `<SECRET>`.",
        ways=(
            # https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/
            Recipe(
                signature="x-hub-signature",
                prefix="sha256=",
                id=("x-request-uuid", "x-request-id"),
                event=("x-event-key",),
            ),
        ),
        note="Bitbucket Cloud and Data Center.",
    ),
    "jira": Sender(
        title="Jira",
        example="{jira: $JIRA_SECRET}",
        steps="Settings, System, WebHooks, Create a WebHook. URL: `<URL>`. Secret: `<SECRET>`.",
        ways=(
            # https://developer.atlassian.com/cloud/jira/platform/webhooks/
            Recipe(
                signature="x-hub-signature",
                prefix="sha256=",
                id=("x-atlassian-webhook-identifier",),
                event=("payload:/webhookEvent",),
            ),
        ),
        manners=Manners(patience=30.0),
    ),
    "gitea": Sender(
        title="Gitea",
        example="{gitea: $GITEA_SECRET}",
        steps="Settings of the repository, Webhooks, Add webhook, Gitea. Target URL: `<URL>`. "
        "HTTP method: POST. Secret: `<SECRET>`.",
        ways=(GITEA,),
        manners=Manners(patience=5.0),
        note="Both of its content types are taken.",
    ),
    "forgejo": Sender(
        title="Forgejo",
        example="{forgejo: $FORGEJO_SECRET}",
        steps="Settings of the repository, Webhooks, Add webhook, Forgejo. Target URL: `<URL>`. "
        "HTTP method: POST. Secret: `<SECRET>`.",
        ways=(FORGEJO, GITEA),
        manners=Manners(patience=5.0),
        note="Both of its content types are taken, and the headers of older versions, too. "
        "Codeberg is a Forgejo.",
    ),
    "slack": Sender(
        title="Slack",
        example="{slack: $SLACK_SIGNING_SECRET}",
        steps="api.slack.com/apps, your app. Basic Information, App Credentials, Signing Secret: "
        "the config var's value. Event Subscriptions, Slash Commands or Interactivity, "
        "Request URL: `<URL>`.",
        ways=(
            # https://api.slack.com/authentication/verifying-requests-from-slack
            Recipe(
                signature="x-slack-signature",
                prefix="v0=",
                message="v0:{timestamp}:{body}",
                timestamp="x-slack-request-timestamp",
                id=("payload:/event_id", "payload:/trigger_id"),
                event=("payload:/event/type", "payload:/type", "payload:/command"),
            ),
        ),
        manners=Manners(patience=3.0, accepted=200, bare=True),
        handshake=handshake.SLACK,
        shown=True,
        note="What a script prints within 2.5s with `respond: output` is Slack's reply to a slash "
        "command; otherwise the answer is an empty 200, and a slower script posts to the "
        "payload's response_url.",
    ),
    "stripe": Sender(
        title="Stripe",
        example="{stripe: $STRIPE_WEBHOOK_SECRET}",
        steps="Workbench, Webhooks, Add destination, Webhook endpoint. Endpoint URL: `<URL>`. Then "
        "Signing secret, Reveal: the config var's value (whsec_…).",
        ways=(STRIPE,),  # https://docs.stripe.com/webhooks#verify-manually
        shown=True,
    ),
    "standard-webhooks": Sender(
        title="Standard Webhooks",
        example="{standard-webhooks: $WEBHOOK_SECRET}",
        steps="Wherever the sender asks for an endpoint: `<URL>`. The signing secret that it shows "
        "(whsec_…, or a public key whpk_…): the config var's value.",
        ways=(STANDARD, STANDARD_KEY),
        manners=Manners(patience=15.0),
        shown=True,
        note="OpenAI, Replicate and others sign so: https://www.standardwebhooks.com/",
    ),
    "svix": Sender(
        title="Svix",
        example="{svix: $SVIX_SECRET}",
        steps="The sender's page of webhooks, Add endpoint. Endpoint URL: `<URL>`. Then Signing "
        "secret: the config var's value (whsec_…).",
        ways=(SVIX, STANDARD, SVIX_KEY, STANDARD_KEY),
        manners=Manners(patience=15.0),
        shown=True,
        note="Clerk, Resend and others send through Svix.",
    ),
    "shopify": Sender(
        title="Shopify",
        example="{shopify: $SHOPIFY_SECRET}",
        steps="Settings, Notifications, Webhooks, Create webhook. Format: JSON. URL: `<URL>`. The "
        "key that is shown below the list (of an app: its client secret): the config var's value.",
        ways=(
            SHOPIFY,  # https://shopify.dev/docs/apps/build/webhooks/subscribe/https
            replace(
                SHOPIFY,
                signature="shopify-hmac-sha256",
                id=("shopify-webhook-id",),
                event=("shopify-topic",),
            ),
        ),
        manners=Manners(patience=5.0, accepted=200),
        shown=True,
    ),
    "woocommerce": Sender(
        title="WooCommerce",
        example="{woocommerce: $WOOCOMMERCE_SECRET}",
        steps="WooCommerce, Settings, Advanced, Webhooks, Add webhook. Delivery URL: `<URL>`. "
        "Secret: `<SECRET>`.",
        ways=(
            # https://woocommerce.com/document/webhooks/
            Recipe(
                signature="x-wc-webhook-signature",
                encoding="base64",
                id=("x-wc-webhook-delivery-id",),
                event=("x-wc-webhook-topic",),
            ),
        ),
        manners=Manners(patience=30.0),
        handshake=handshake.WOOCOMMERCE,
        note="The unsigned ping that WooCommerce sends when a webhook is saved is answered 200 "
        "by the runner.",
    ),
    "linear": Sender(
        title="Linear",
        example="{linear: $LINEAR_SECRET}",
        steps="Settings, API, Webhooks, New webhook. URL: `<URL>`. Signing secret: the config "
        "var's value.",
        ways=(
            # https://linear.app/developers/webhooks
            Recipe(
                signature="linear-signature",
                timestamp="payload:/webhookTimestamp",
                unit=1000,
                tolerance=60.0,
                # Linear-Delivery is not signed; together these are one change of one thing.
                id=(
                    ("payload:/type", "payload:/action", "payload:/data/id", "payload:/createdAt"),
                ),
                event=("payload:/type",),
            ),
        ),
        manners=Manners(patience=5.0, accepted=200),
        shown=True,
    ),
    "zoom": Sender(
        title="Zoom",
        example="{zoom: $ZOOM_SECRET_TOKEN}",
        steps="marketplace.zoom.us, Manage, your app, Features, Event Subscriptions. Secret "
        "Token: the config var's value. Event notification endpoint URL: `<URL>`, then Validate.",
        ways=(
            # https://developers.zoom.us/docs/api/webhooks/
            Recipe(
                signature="x-zm-signature",
                prefix="v0=",
                message="v0:{timestamp}:{body}",
                timestamp="x-zm-request-timestamp",
                event=("payload:/event",),
            ),
        ),
        manners=Manners(patience=3.0, accepted=200),
        handshake=handshake.ZOOM,
        shown=True,
    ),
    "typeform": Sender(
        title="Typeform",
        example="{typeform: $TYPEFORM_SECRET}",
        steps="The form, Connect, Webhooks, Add a webhook. Endpoint: `<URL>`. Edit, Secret: "
        "`<SECRET>`.",
        ways=(
            # https://www.typeform.com/developers/webhooks/secure-your-webhooks/
            Recipe(
                signature="typeform-signature",
                prefix="sha256=",
                encoding="base64",
                id=("payload:/event_id",),
                event=("payload:/event_type",),
            ),
        ),
        manners=Manners(patience=30.0),
    ),
    "calendly": Sender(
        title="Calendly",
        example="{calendly: $CALENDLY_SIGNING_KEY}",
        steps="Create a webhook subscription with Calendly's API: url: `<URL>`, signing_key: "
        "`<SECRET>`.",
        ways=(
            # https://developer.calendly.com/api-docs/webhook-signatures
            replace(
                STRIPE, signature="calendly-webhook-signature", id=(), event=("payload:/event",)
            ),
        ),
    ),
    "meta": Sender(
        title="Meta (Facebook, Instagram, WhatsApp)",
        example="{meta: {secret: $META_APP_SECRET, verify_token: $META_VERIFY_TOKEN}}",
        steps="developers.facebook.com, your app. App settings, Basic, App secret: the value of "
        "META_APP_SECRET. Webhooks, Callback URL: `<URL>`, Verify token: the value of "
        "META_VERIFY_TOKEN, which you make up.",
        ways=(
            # https://developers.facebook.com/docs/graph-api/webhooks/getting-started
            Recipe(
                signature="x-hub-signature-256",
                prefix="sha256=",
                also_secret=("x-hub-signature",),
                event=("payload:/object",),
            ),
        ),
        manners=Manners(patience=10.0, accepted=200),
        handshake=handshake.META,
        shown=True,
        words=("verify_token",),
        note="The GET that Meta asks with is answered by the runner; `methods` stays `[POST]`.",
    ),
    "dropbox": Sender(
        title="Dropbox",
        example="{dropbox: $DROPBOX_APP_SECRET}",
        steps="dropbox.com/developers/apps, your app, Settings. App secret, Show: the config "
        "var's value. Webhooks, Webhook URIs: `<URL>`, Add.",
        ways=(
            # https://www.dropbox.com/developers/reference/webhooks
            Recipe(signature="x-dropbox-signature"),
        ),
        handshake=handshake.DROPBOX,
        shown=True,
        note="The GET that Dropbox asks with is answered by the runner; `methods` stays `[POST]`.",
    ),
    "paddle": Sender(
        title="Paddle",
        example="{paddle: $PADDLE_SECRET}",
        steps="Developer tools, Notifications, New destination. Webhook, URL: `<URL>`. Then Secret "
        "key: the config var's value (pdl_ntfset_…).",
        ways=(
            # https://developer.paddle.com/webhooks/signature-verification
            Recipe(
                signature="paddle-signature",
                prefix="h1=",
                separator=";",
                message="{timestamp}:{body}",
                timestamp="item:ts=",
                id=("payload:/notification_id", "payload:/event_id"),
                event=("payload:/event_type",),
            ),
        ),
        manners=Manners(patience=5.0, accepted=200),
        shown=True,
    ),
    "vercel": Sender(
        title="Vercel",
        example="{vercel: $VERCEL_SECRET}",
        steps="Settings of the team, Webhooks, Create webhook. Endpoint URL: `<URL>`. The secret "
        "that is shown once: the config var's value.",
        ways=(
            # https://vercel.com/docs/webhooks/webhooks-api
            Recipe(
                signature="x-vercel-signature",
                algorithm="sha1",
                id=("payload:/id",),
                event=("payload:/type",),
            ),
        ),
        manners=Manners(patience=30.0),
        shown=True,
    ),
    "mailgun": Sender(
        title="Mailgun",
        example="{mailgun: $MAILGUN_SIGNING_KEY}",
        steps="Send, Sending, Webhooks. HTTP webhook signing key: the config var's value. Add "
        "webhook, URL: `<URL>`.",
        ways=(
            # https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
            MAILGUN,
            # A route that forwards mail to a URL posts the same three as fields of a form.
            replace(
                MAILGUN,
                signature="payload:/signature",
                timestamp="payload:/timestamp",
                id=("payload:/token",),
                event=(),
            ),
        ),
        manners=Manners(patience=10.0, accepted=200),
        shown=True,
        note="Mailgun signs a time and a token, not the event: who has seen one of its "
        "deliveries can post another event with it, once its run has failed or is forgotten.",
    ),
    "google-forms": Sender(
        title="Google Forms",
        example="{google-forms: $FORM_SECRET}",
        steps="The form, ⋮, Apps Script: paste what `python runner.py form /PATH --url "
        "https://YOUR-APP.herokuapp.com` prints, and do what stands at its top. It posts to "
        "`<URL>` and signs with `<SECRET>`.",
        ways=(
            # Its key is the secret's text as it is, because
            # Utilities.computeHmacSha256Signature takes text most readily.
            replace(STANDARD, secret_encoding="text"),
        ),
        manners=Manners(patience=30.0),
        note="The id is `responseId.timestamp`, so that an edited answer is a new delivery.",
    ),
    "twilio": Sender(
        title="Twilio",
        example='{twilio: {secret: $TWILIO_AUTH_TOKEN, url: "https://YOUR-APP.herokuapp.com"}}',
        steps="console.twilio.com, Account Info, Auth Token: the config var's value. Phone "
        "numbers, your number, A message comes in: Webhook, `<URL>`.",
        manners=Manners(patience=15.0, accepted=204, bare=True),
        shown=True,
        note="Twilio signs its fields and the address that it posts to: `url` is that address as "
        "Twilio has it, without a query; if it has no path, the hook's is added. "
        "No path with <names> is taken.",
        replay=f"{UNTIMED}; an unchanged repeat with an I-Twilio-Idempotency-Token joins its run",
    ),
    "discord": Sender(
        title="Discord",
        example="{discord: $DISCORD_PUBLIC_KEY}",
        steps="discord.com/developers/applications, your application, General Information. Public "
        "Key: the config var's value. Interactions Endpoint URL, or Webhooks, Endpoint: `<URL>`.",
        ways=(
            # https://docs.discord.com/developers/interactions/overview
            Recipe(
                signature="x-signature-ed25519",
                algorithm="ed25519",
                secret_encoding="hex",
                message="{timestamp}{body}",
                timestamp="x-signature-timestamp",
                id=("payload:/id",),
                event=("payload:/event/type", "payload:/data/name", "payload:/type"),
            ),
        ),
        manners=Manners(patience=3.0, accepted=204, bare=True),
        handshake=handshake.DISCORD,
        shown=True,
        note="What a script prints within 2.5s with `respond: {mode: output, type: "
        "application/json}` is the reply to an interaction; otherwise the answer is an empty 204.",
    ),
    "sendgrid": Sender(
        title="SendGrid",
        example="{sendgrid: $SENDGRID_PUBLIC_KEY}",
        steps="Settings, Mail Settings, Event Webhook. Post URL: `<URL>`. Signature verification "
        "on; Verification Key: the config var's value.",
        ways=(
            # https://www.twilio.com/docs/sendgrid/for-developers/tracking-events
            Recipe(
                signature="x-twilio-email-event-webhook-signature",
                algorithm="ecdsa-p256",
                encoding="base64",
                secret_encoding="base64",
                message="{timestamp}{body}",
                timestamp="x-twilio-email-event-webhook-timestamp",
                event=("payload:/0/event",),
            ),
        ),
        shown=True,
    ),
    "aws-sns": Sender(
        title="Amazon SNS",
        example='{aws-sns: {topics: ["arn:aws:sns:eu-central-1:123456789012:orders"]}}',
        steps="SNS, the topic, Create subscription. Protocol: HTTPS. Endpoint: `<URL>`. Raw "
        "message delivery: off, for it is not signed.",
        manners=Manners(patience=15.0),
        handshake=handshake.SNS,
        replay="refused after 2h; within that it joins the first run",
        note="The runner confirms the subscription. A field that SNS does not know is not signed. "
        "To check a signature it fetches SNS's "
        "certificate from the host of the topic's region, once a day.",
    ),
    "microsoft-graph": Sender(
        title="Microsoft Graph",
        example="{microsoft-graph: $GRAPH_CLIENT_STATE}",
        steps="Create a subscription with Graph's API: notificationUrl: `<URL>`, "
        "clientState: `<SECRET>`.",
        manners=Manners(patience=3.0),
        handshake=handshake.MICROSOFT_GRAPH,
        note="Graph signs nothing; `clientState` stands in the payload, so the script sees it. "
        "The JWTs of rich notifications are not checked.",
    ),
    "hmac": Sender(
        title="any other HMAC",
        example="{hmac: {header: X-Signature, secret: $MY_SECRET}}",
        steps="As the sender says; docs/auth.md has every setting.",
        manners=Manners(patience=30.0),
        replay="as its timestamp and id say",
        kind="scheme",
    ),
    "bearer": Sender(
        title="a bearer token",
        example="{bearer: $MY_TOKEN}",
        steps="The sender adds the header `Authorization: Bearer <SECRET>`.",
        manners=Manners(patience=30.0),
        kind="scheme",
    ),
    "token": Sender(
        title="a token in a header or in the query",
        example="{token: {header: X-Token, value: $MY_TOKEN}}",
        steps="The sender adds the header `X-Token: <SECRET>`; with `query: token` in place of "
        "`header`, it posts to `<URL>?token=<SECRET>`.",
        manners=Manners(patience=30.0),
        kind="scheme",
        note="For IFTTT, Zapier and others that sign nothing.",
    ),
    "basic": Sender(
        title="HTTP Basic",
        example="{basic: {user: me, password: $MY_PASSWORD}}",
        steps="The sender posts to `https://me:<SECRET>@HOST/PATH`.",
        manners=Manners(patience=30.0),
        kind="scheme",
    ),
    "ip": Sender(
        title="certain addresses",
        example="{ip: [192.0.2.0/24, '2001:db8::/32']}",
        steps="Nothing; the addresses are those that the sender says it posts from.",
        manners=Manners(patience=30.0),
        kind="scheme",
        note="Behind a proxy it needs FORWARDED_ALLOW; a dyno trusts its router. Many senders "
        "share their addresses with all of their customers: better beside a signature, "
        "`{github: {secret: $GITHUB_SECRET, ip: [192.0.2.0/24]}}`, where both must hold.",
    ),
}
