<?php

namespace App\Services;

final class AgentToken
{
    public function __construct(private string $file) {}

    public function issue(int|string $subject, array $claims = [], int $seconds = 60): string
    {
        $secret = file_get_contents($this->file); // each time: the key rotates
        if ($secret === false || $secret === '') {
            throw new \RuntimeException("no signing key in {$this->file}");
        }
        $now = time();
        $head = self::encode(json_encode(['alg' => 'HS256', 'typ' => 'JWT']));
        $body = self::encode(json_encode(['sub' => $subject, 'iat' => $now, 'exp' => $now + $seconds] + $claims, JSON_THROW_ON_ERROR));

        return "$head.$body.".self::encode(hash_hmac('sha256', "$head.$body", $secret, true));
    }

    private static function encode(string $bytes): string
    {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }
}
