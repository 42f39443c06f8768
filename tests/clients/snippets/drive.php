<?php
// Answers with what verify.php says of each case.

declare(strict_types=1);

set_error_handler(fn (int $level, string $message) => throw new ErrorException($message));
require getenv('SNIPPETS') . '/verify.php';

function is_right(array $case): bool
{
    try {
        return verify_webhook($case['headers'], base64_decode($case['body']), $case['secret']);
    } catch (InvalidArgumentException) {
        return false;
    }
}

echo json_encode(array_map('is_right', json_decode(file_get_contents('php://stdin'), true)));
