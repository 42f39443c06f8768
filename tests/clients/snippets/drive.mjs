// Answers with what verify.mjs says of each case.
import { readFileSync } from "node:fs";

const { verify } = await import(`${process.env.SNIPPETS}/verify.mjs`);

function isRight({ headers, body, secret }) {
  try {
    return verify(headers, Buffer.from(body, "base64"), secret);
  } catch (error) {
    if (!/secret is empty/.test(error.message)) throw error;
    return false;
  }
}

const cases = Object.entries(JSON.parse(readFileSync(0)));
console.log(JSON.stringify(Object.fromEntries(cases.map(([name, each]) => [name, isRight(each)]))));
