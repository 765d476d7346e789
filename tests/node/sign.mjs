// Signs what stands on its standard input, as the senders' own libraries for Node do.
import { sign } from "@octokit/webhooks-methods";
import Stripe from "stripe";

const { secret, body, at } = JSON.parse(await new Response(process.stdin).text());
const stripe = new Stripe("sk_test_unused");
const made = {
  github: { "X-Hub-Signature-256": await sign(secret, body) },
  stripe: {
    "Stripe-Signature": stripe.webhooks.generateTestHeaderString({
      payload: body,
      secret,
      timestamp: at,
    }),
  },
};
process.stdout.write(JSON.stringify(made));
