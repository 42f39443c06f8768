<?php
// Verify the signature of a webhook's request; needs nothing but PHP 8.

declare(strict_types=1);

const WEBHOOK_TOLERANCE = 5 * 60; // seconds

/**
 * Tell whether a request was signed with this secret within the last five minutes.
 *
 * @param array<string, string> $headers with names in lower case: array_change_key_case(getallheaders())
 * @param string $body the bytes that came, before anything parsed them: file_get_contents('php://input')
 */
function verify_webhook(array $headers, string $body, string $secret): bool
{
    $id = $headers['webhook-id'] ?? '';
    $timestamp = $headers['webhook-timestamp'] ?? '';
    if ($id === '' || !preg_match('/^[0-9]{1,12}$/D', $timestamp)) {
        return false;
    }
    if (abs(time() - (int) $timestamp) > WEBHOOK_TOLERANCE) {
        return false;
    }
    $expected = base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", webhook_key($secret), true));
    // While a secret is replaced there are several, separated by spaces.
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $signature) {
        [$version, $value] = [...explode(',', $signature, 2), ''];
        if ($version === 'v1' && hash_equals($expected, $value)) {
            return true;
        }
    }
    return false;
}

function webhook_key(string $secret): string
{
    $key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, strlen('whsec_')), true) : $secret;
    if ($key === false || $key === '') {
        throw new InvalidArgumentException("The webhook's secret is empty, or not base64."); // anybody could sign
    }
    return $key;
}
