// Verify the signature of a webhook's request; needs nothing but Node.js.
import { createHmac, timingSafeEqual } from "node:crypto";

const TOLERANCE = 5 * 60; // seconds

// Tell whether a request was signed with this secret within the last five minutes.
// `headers`: with names in lower case, as in `request.headers`.
// `body`: the Buffer that came, before anything parsed it; in Express by `express.raw({ type: "*/*" })`.
export function verify(headers, body, secret) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  if (!id || !/^[0-9]{1,12}$/.test(timestamp)) return false;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) return false;
  const expected = createHmac("sha256", keyOf(secret)).update(`${id}.${timestamp}.`).update(body).digest();
  // While a secret is replaced there are several, separated by spaces.
  return (headers["webhook-signature"] ?? "").split(" ").some((signature) => {
    const [version, value = ""] = signature.split(",");
    const given = Buffer.from(value, "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

function keyOf(secret) {
  const key = secret.startsWith("whsec_")
    ? Buffer.from(secret.slice("whsec_".length), "base64")
    : Buffer.from(secret, "utf8");
  if (key.length === 0) throw new Error("The webhook's secret is empty."); // anybody could sign with it
  return key;
}
